// One chat's messages as this page knows them: snapshots from the server, then numbered events.
// Says when something is missing; never guesses. Progress is not kept in the numbers: it bears that of the event before
// it, and the next event ends it.

const FINAL = new Set(["done", "stopped", "error", "interrupted"]);
const PROGRESS = new Set(["queued", "reading"]);
const NOT_META = new Set(["seq", "type", "chat_id", "answer_id", "status"]);

export function isFinal(message) {
  return FINAL.has(message.status);
}

/** Whether an answer ended before the first word of its text. */
function isEmpty(message) {
  return isFinal(message) && message.status !== "done" && !message.content;
}

/** Whether it has no thoughts either: then it is given where it stands. */
export function hasNoWord(message) {
  return isEmpty(message) && !message.reasoning;
}

/** Whether no answer behind a message has a word, so that this one can go on. */
export function isOpen(messages, { id }) {
  if (messages.at(-1)?.role === "user") return false; // its answer is about to begin
  const at = messages.findLastIndex((each) => each.id === id || (each.role !== "user" && !isEmpty(each)));
  return messages[at]?.id === id;
}

export function isProgress(event) {
  return PROGRESS.has(event.type);
}

/** The number that an event must have to follow what is known of a message. */
function due(message, event) {
  return isProgress(event) ? message.seq : message.seq + 1;
}

/** A step of an answer from the library. */
function stepOf({ question, n_passages, answer, is_answered }) {
  return { question, n_passages, answer, is_answered };
}

/** Which of two states of a message to believe. Events may have overtaken a snapshot on its way here. */
function newer(mine, item) {
  if (!mine || isFinal(item) || item.seq > mine.seq) return item;
  if (item.seq < mine.seq) return mine;
  return isFinal(mine) ? item : { ...item, progress: mine.progress }; // the first: somebody continues it
}

export class Conversation {
  constructor(id) {
    this.enter(id);
  }

  get id() {
    return this.place.id;
  }

  /** Leave this chat for another, or for a new one (null); its messages come with take. */
  enter(id) {
    this.place = { id }; // one object a visit: a new chat gets its id when it is stored
    if (id === null) this.fresh = this.place; // the last new chat: what is written under New chat is for this one
    this.messages = [];
    this.pending = []; // sent from here, not yet taken by the server, or refused
    this.further = []; // ids of what was said behind the last of them, and is not shown
    this.strangers = new Set(); // answers on other branches, whose events are none of this page's
    this.options = {};
    this.takeNotes(null);
  }

  get shown() {
    return [...this.messages, ...this.pending];
  }

  get answers() {
    return this.messages.filter((message) => message.role === "assistant");
  }

  get running() {
    return this.answers.find((message) => !isFinal(message));
  }

  /** The server has a message of this page: it is pending no more. */
  settle(found) {
    const at = this.pending.findIndex((sent) => !sent.refusal && found(sent));
    if (at >= 0) this.pending.splice(at, 1);
  }

  find(id) {
    return this.messages.find((message) => message.id === id);
  }

  /** The last message of a role. */
  last(role) {
    return this.messages.filter((message) => message.role === role).at(-1);
  }

  /** The last event number of each answer that is still on its way, for asking what was missed. */
  known() {
    const running = this.answers.filter((message) => !isFinal(message));
    return Object.fromEntries(running.map((message) => [message.id, message.seq]));
  }

  /** Take what `open` answered: whole messages, or the missed events of those that are known. True when events of an
   *  answer that is still on its way were not heard meanwhile: then it has to be asked for again. */
  take(received) {
    const unheard = received.filter((item) => this.strangers.delete(item.id) && !isFinal(item));
    const placeOf = (id) => received.findIndex((item) => item.id === id);
    for (const [at, { id, role, content }] of received.entries()) {
      const isNew = role === "user" && !this.find(id);
      if (isNew) this.settle((sent) => sent.content === content && placeOf(sent.behind) < at); // an older one may say the same
    }
    this.messages = received.flatMap((item) => {
      const mine = this.find(item.id);
      if (item.missed && !mine) return []; // replaced meanwhile
      if (!item.missed) return newer(mine, item);
      for (const event of item.missed) this.apply(mine, event);
      mine.siblings = item.siblings;
      return mine;
    });
    return unheard.length > 0;
  }

  /** Take the notes that stand for the oldest messages, or none. */
  takeNotes(notes) {
    this.nFolded = notes?.n_folded ?? 0;
    this.outdated = new Set(notes?.outdated); // ids of answers that were edited after the notes were made of them
  }

  /** Take one message that somebody changed; false where it is none of the shown branch. */
  put(item) {
    const at = this.messages.findIndex(({ id }) => id === item.id);
    if (at >= 0) this.messages[at] = newer(this.messages[at], item);
    return at >= 0;
  }

  /** Add a turn that somebody began: "begun" when it was new here, "gap" when what it follows, or some of its events,
   *  is missing here. */
  begin({ user, answer }) {
    if (this.put(answer)) return "known";
    this.further = [];
    const isHeard = !this.strangers.delete(answer.id);
    const parent = (user ?? answer).parent_id;
    const at = this.messages.findIndex(({ id }) => id === parent);
    if (parent && at < 0) return "gap";
    if (user) this.settle((sent) => sent.content === user.content);
    this.messages = [...this.messages.slice(0, at + 1), ...(user ? [user] : []), answer];
    return isHeard ? "begun" : "gap";
  }

  /** Leave out a message and all after it: another branch begins there. */
  cut(id) {
    const at = this.messages.findIndex((message) => message.id === id);
    if (at >= 0) this.messages = this.messages.slice(0, at);
  }

  /** Apply an event: "done" when it fitted, "known" when it was old, "gap" when others are missing before it.
   *  An answer that is not here is missed once; when it is not there then, it belongs to another branch. */
  hear(event) {
    const message = this.find(event.answer_id);
    if (!message && this.strangers.has(event.answer_id)) return "known";
    if (!message) this.strangers.add(event.answer_id);
    if (!message || event.seq > due(message, event)) return "gap";
    if (event.seq < due(message, event)) return "known";
    this.apply(message, event);
    return "done";
  }

  apply(message, event) {
    if (event.seq !== due(message, event)) return;
    message.seq = event.seq;
    if (event.type !== "notice") message.progress = isProgress(event) ? event : null;
    if (event.type === "delta") message.content += event.text;
    if (event.type === "thought") message.reasoning = (message.reasoning ?? "") + event.text;
    if (event.type === "changed") {
      if (event.status === "queued" && hasNoWord(message)) message.meta = {}; // it begins anew
      message.status = event.status;
    }
    if (event.type === "looked") message.meta.library = { ...message.meta.library, steps: [...(message.meta.library?.steps ?? []), stepOf(event)] };
    if (event.type === "grounds") message.meta.library = event.library;
    if (event.type === "given") message.meta.files = { whole: event.whole, parts: event.parts };
    if (event.type === "notice") message.meta.notices = [...(message.meta.notices ?? []), event.text];
    if (event.type === "done") {
      message.status = event.status;
      const told = Object.entries(event).filter(([name, value]) => value && !NOT_META.has(name));
      const { notices, library, files } = message.meta;
      message.meta = { ...(notices && { notices }), ...(library && { library }), ...(files && { files }), ...Object.fromEntries(told) };
    }
  }
}
