// Who answers in the open chat, and how full its memory is.
const CHARS_A_TOKEN = 4; // of what no answer has counted yet
const TIMEOUT_MS = 30000; // a long conversation is counted part by part

export class Asked {
  /** parts: link, conversation, options, composer, changed: called when the memory was counted anew. */
  constructor(parts) {
    Object.assign(this, parts);
    this.counted = null; // what is sent of a conversation with notes: {place, nFolded, last, n_used, is_estimate}
    this.isDue = false;
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

  /** Notes that came or went, and turns that were taken back, make untrue what an answer told: have it counted anew. */
  async recount() {
    const { place, nFolded, messages, running, options } = this.conversation;
    const hadNotes = this.counted?.place === place && this.counted.nFolded > 0;
    this.isDue = Boolean(running);
    if (running || !messages.length || !(nFolded || hadNotes)) return;
    const next = { chat_id: place.id, text: "", files: [], options };
    const told = await this.link.call("context", next, TIMEOUT_MS).catch(() => null); // what is known stays
    if (!told || place !== this.conversation.place) return;
    this.counted = { ...told, place, nFolded, last: messages.at(-1).id };
    this.changed();
  }

  /** An answer has ended, before which it could not be counted. */
  ended() {
    if (this.isDue) this.recount();
  }

  /** How full its memory is, by the last answer that says so and an estimate of what came after it. */
  fill() {
    const { id, shown, options, nFolded } = this.conversation;
    const { counted, nCounted, isEstimate } = this.known();
    const refused = new Set(shown.filter(isTooLong).map(({ parent_id: question }) => question)); // the model never gets it
    const rest = shown.slice(Math.max(counted + 1, nCounted ? 0 : nFolded)).filter(({ id: each }) => !refused.has(each));
    const nCtx = this.model?.n_ctx ?? this.server.model?.n_ctx;
    const nEstimated = Math.ceil(rest.reduce((sum, message) => sum + chars(message, nCtx), 0) / CHARS_A_TOKEN);
    const files = this.composer.attachments.files.map((file) => file.id);
    return {
      next: { chat_id: id, text: this.composer.input.value, files, options },
      nUsed: nCounted + nEstimated,
      isEstimate: isEstimate || nEstimated > 0,
      nCtx,
    };
  }

  /** The last of the shown messages up to which it is known how much is used, and how much that is. */
  known() {
    const { place, shown, nFolded } = this.conversation;
    const told = shown.findLastIndex(({ meta }) => meta?.usage);
    const isSame = this.counted?.place === place && this.counted.nFolded === nFolded;
    const at = isSame ? shown.findIndex(({ id }) => id === this.counted.last) : -1;
    const { prompt_tokens: nRead = 0, completion_tokens: nWritten = 0 } = shown[told]?.meta.usage ?? {};
    return at >= 0 && at >= told
      ? { counted: at, nCounted: this.counted.n_used, isEstimate: this.counted.is_estimate }
      : { counted: told, nCounted: nRead + nWritten, isEstimate: false };
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
