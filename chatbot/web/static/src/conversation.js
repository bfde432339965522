// One chat's messages as this page knows them: snapshots from the server, then numbered events.
// Says when something is missing; never guesses. Progress is not kept in the numbers: it bears that of the event before
// it, and the next event ends it.

const FINAL = new Set(["done", "stopped", "error", "interrupted"]);
const PROGRESS = new Set(["queued", "reading"]);

export function isFinal(message) {
  return FINAL.has(message.status);
}

export function isProgress(event) {
  return PROGRESS.has(event.type);
}

/** The number that an event must have to follow what is known of a message. */
function due(message, event) {
  return isProgress(event) ? message.seq : message.seq + 1;
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
    this.messages = [];
    this.pending = []; // sent from here, not yet taken by the server
  }

  get shown() {
    return [...this.messages, ...this.pending];
  }

  /** The server has a message of this page: it is pending no more. */
  settle(found) {
    const at = this.pending.findIndex(found);
    if (at >= 0) this.pending.splice(at, 1);
  }

  find(id) {
    return this.messages.find((message) => message.id === id);
  }

  /** The last event number of each answer that is still on its way, for asking what was missed. */
  known() {
    const running = this.messages.filter((message) => message.role === "assistant" && !isFinal(message));
    return Object.fromEntries(running.map((message) => [message.id, message.seq]));
  }

  /** Take what `open` answered: whole messages, or the missed events of those that are known. */
  take(received) {
    for (const { id, role, content } of received) {
      if (role === "user" && !this.find(id)) this.settle((sent) => sent.content === content);
    }
    this.messages = received.flatMap((item) => {
      const mine = this.find(item.id);
      if (item.missed && !mine) return []; // replaced meanwhile
      for (const event of item.missed ?? []) this.apply(mine, event);
      if (item.missed) return mine;
      // Events may have overtaken this answer on its way here; what they brought is newer.
      return mine && !isFinal(item) && mine.seq >= item.seq ? mine : item;
    });
  }

  /** Add a turn that somebody began in this chat; true when it was new here. */
  begin({ user, answer, replaces }) {
    if (this.find(answer.id)) return false;
    if (replaces) this.messages = this.messages.filter((message) => message.id !== replaces);
    if (user && !this.find(user.id)) {
      this.settle((sent) => sent.content === user.content);
      this.messages.push(user);
    }
    this.messages.push(answer);
    return true;
  }

  /** Apply an event: "done" when it fitted, "known" when it was old, "gap" when others are missing before it. */
  hear(event) {
    const message = this.find(event.answer_id);
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
    if (event.type === "changed") message.status = event.status;
    if (event.type === "notice") message.meta.notices = [...(message.meta.notices ?? []), event.text];
    if (event.type === "done") {
      message.status = event.status;
      for (const name of ["error", "usage", "timings", "finish_reason"]) {
        if (event[name]) message.meta[name] = event[name];
      }
    }
  }
}
