// Who answers in the open chat, and how full its memory is.
const CHARS_A_TOKEN = 4; // of what no answer has counted yet

export class Asked {
  /** parts: link, conversation, options, composer. */
  constructor(parts) {
    Object.assign(this, parts);
    this.server = { state: "", model: null, notice: "" }; // as the chat server said last
  }

  /** The model that answers in this chat: the one that was chosen, else the server's. */
  get model() {
    const name = this.conversation.options.model;
    if (!name || name === this.server.model?.name) return this.server.model;
    return this.options.known.models.find((each) => each.name === name) ?? { name };
  }

  /** What is known of it, as the panel under its name wants it. */
  async tell() {
    const chosen = this.model;
    if (!chosen || chosen === this.server.model) return (await this.link.call("about")).about;
    try {
      return (await this.link.call("about", { model: chosen.name })).about;
    } catch {
      return fromList(chosen); // one that is being loaded tells nothing yet
    }
  }

  /** How full its memory is, by the last answer that says so and an estimate of what came after it. */
  fill() {
    const { id, shown, options, nFolded } = this.conversation;
    const counted = shown.map(({ meta }) => Boolean(meta?.usage)).lastIndexOf(true);
    const usage = shown[counted]?.meta.usage;
    const refused = new Set(shown.filter(isTooLong).map(({ parent_id: question }) => question)); // the model never gets it
    const rest = shown.slice(Math.max(counted + 1, usage ? 0 : nFolded)).filter(({ id: each }) => !refused.has(each));
    const nCtx = this.model?.n_ctx ?? this.server.model?.n_ctx;
    const nEstimated = Math.ceil(rest.reduce((sum, message) => sum + chars(message, nCtx), 0) / CHARS_A_TOKEN);
    const files = this.composer.attachments.files.map((file) => file.id);
    return {
      next: { chat_id: id, text: this.composer.input.value, files, options },
      nUsed: (usage ? usage.prompt_tokens + usage.completion_tokens : 0) + nEstimated,
      isEstimate: nEstimated > 0,
      nCtx,
    };
  }
}

function isTooLong({ content, meta }) {
  return !content && meta?.error?.code === "context_full";
}

/** A file that is larger than the memory is read in parts, of which an answer tells the tokens. */
function chars({ content, reasoning = "", files = [] }, nCtx = Infinity) {
  const whole = files.map((file) => file.n_chars ?? 0).filter((n) => n / CHARS_A_TOKEN <= nCtx);
  return content.length + reasoning.length + whole.reduce((sum, n) => sum + n, 0);
}

function fromList({ name, n_ctx: nCtx, state }) {
  const lines = [nCtx && `A conversation may be ${nCtx.toLocaleString()} tokens long.`, state && `It is ${state}.`];
  return { name, summary: lines.filter(Boolean).join(" ") };
}
