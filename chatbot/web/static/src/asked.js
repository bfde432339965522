// Who answers in the open chat, and how full its memory is.
import { edgeOf, NO_EDGE, refusedIn } from "./edge.js";

const CHARS_A_TOKEN = 4; // of what no answer has counted yet
const MOST_CHARS_A_TOKEN = 8;
const STORED_MS = 300;
const TIMEOUT_MS = 30000; // a long conversation is counted part by part

export class Asked {
  /** parts: link, conversation, options, composer, changed: called when the memory was counted anew. */
  constructor(parts) {
    Object.assign(this, parts);
    this.counted = null; // what is sent of a conversation: {place, nFolded, last, n_used, is_estimate}
    this.isDue = false; // something was chosen while an answer was on its way
    this.heard = {}; // the options of the open chat as the server said last: {place, options}
    this.keepTurns = Infinity; // before the next message, where a chat's rule sends the last turns alone
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

  /** Where the part of the conversation begins that this model gets as it stands. */
  edge() {
    const rule = this.options.inForce.context_rule ?? "fold";
    return this.model?.is_base ? NO_EDGE : edgeOf(this.conversation, rule, this.keepTurns); // a base model gets one text
  }

  /** The server says what is chosen in the open chat, of which other options may send other things, and perhaps all of
   *  its messages. */
  hear(options, isOpened = false) {
    const { place } = this.conversation;
    const [before, now] = [this.heard, { place, options: JSON.stringify(options) }];
    this.heard = now;
    const isChanged = before.place === place && before.options !== now.options;
    if (isChanged || isOpened) this.recount(isChanged);
  }

  /** Have it counted anew what is sent, where the last answer does not tell that. isChanged: something else is chosen. */
  async recount(isChanged = false) {
    const { place, nFolded, messages, running, options } = this.conversation;
    this.isDue ||= isChanged;
    if (running || !messages.length || !(this.isDue || this.isInDoubt())) return;
    this.isDue = false;
    const next = { chat_id: place.id, text: "", files: [], options };
    const told = await this.link.call("context", next, TIMEOUT_MS).catch(() => null); // what is known stays
    if (!told || place !== this.conversation.place) return;
    this.counted = { ...told, place, nFolded, last: messages.at(-1).id };
    this.changed();
  }

  /** Whether other things are sent next than the last answer was made with, and what it said: notes, the last turns
   *  alone, an edited answer, no passages of the library, no thoughts. An answer that has read far too little for what
   *  stands before it was made with notes that are gone. */
  isInDoubt() {
    const { place, nFolded, shown } = this.conversation;
    const hadNotes = this.counted?.place === place && this.counted.nFolded > 0;
    if (nFolded || hadNotes || this.options.inForce.context_rule === "window" || shown.some(({ meta }) => meta?.edited)) return true;
    const told = shown.findLastIndex(({ meta }) => meta?.usage);
    if (told < 0) return false;
    const { meta, reasoning } = shown[told];
    const nChars = shown.slice(0, told).reduce((sum, { content }) => sum + content.length, 0);
    return Boolean(meta.library || reasoning) || nChars > MOST_CHARS_A_TOKEN * (meta.usage.prompt_tokens ?? Infinity);
  }

  /** An answer has ended: its end is stored in a moment. */
  ended() {
    setTimeout(() => this.recount(), STORED_MS);
  }

  /** How full its memory would be with what is written now: by what was counted last, or the last answer that says so,
   *  and an estimate of what came after it. */
  fill() {
    const { id, shown, options, nFolded } = this.conversation;
    const { counted, nCounted, isEstimate } = this.known();
    const refused = refusedIn(shown);
    const rest = shown.slice(Math.max(counted + 1, nCounted ? 0 : nFolded)).filter(({ id: each }) => !refused.has(each));
    const nCtx = this.model?.n_ctx ?? this.server.model?.n_ctx;
    const { input, attachments } = this.composer;
    const { files } = attachments;
    const nEstimated = tokensOf(rest, nCtx) + tokensOf([{ content: input.value.trim(), files }], nCtx);
    return {
      next: { chat_id: id, text: input.value, files: files.map((file) => file.id), options },
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

/** About how many tokens messages are. */
function tokensOf(messages, nCtx = Infinity) {
  const files = messages.flatMap((message) => message.files ?? []);
  const nChars = messages.reduce((sum, { content, reasoning = "" }) => sum + content.length + reasoning.length, 0);
  return Math.ceil(nChars / CHARS_A_TOKEN) + files.reduce((sum, file) => sum + costOf(file, nCtx), 0);
}

/** A file that is larger than the memory is read in parts, of which an answer tells the tokens. */
function costOf({ kind, n_tokens: nTokens, n_chars: nChars = 0, is_whole: isWhole }, nCtx) {
  const about = nTokens ?? (kind === "image" ? 0 : Math.ceil(nChars / CHARS_A_TOKEN));
  return isWhole === false || about > nCtx ? 0 : about;
}

function fromList({ name, n_ctx: nCtx, state }) {
  const lines = [nCtx && `A conversation may be ${nCtx.toLocaleString()} tokens long.`, state && `It is ${state}.`];
  return { name, summary: lines.filter(Boolean).join(" ") };
}
