// The connection to the chat server: calls that are answered or fail with a sentence, and events.
import { io } from "socket.io-client";

const CALL_TIMEOUT_MS = 10000;
const REFUSED_RETRY_MS = 5000;
const ACK = 3; // the type of a packet that answers a call, in Socket.IO's protocol
const KEPT = new Set(["send", "edit"]); // events with what a person wrote, which stays until they are answered

export class Link {
  constructor() {
    this.socket = io({ transports: ["websocket", "polling"], reconnectionDelay: 300, reconnectionDelayMax: 3000 });
    this.refusal = ""; // why the server does not want this page, in its words
    this.onLoggedOut = () => {};
    this.onSilence = () => {}; // a server that is connected has not answered
    this.onAnswer = () => {}; // to a call, also when it comes too late for who made it
    this.socket.io.on("packet", ({ type }) => { if (type === ACK) this.onAnswer(); });
    this.socket.on("connect", () => (this.refusal = ""));
    this.socket.on("connect_error", (error) => {
      if (this.socket.active) return; // not reached: socket.io itself tries again
      this.refusal = error.message;
      if (error.data?.code === "not_logged_in") this.onLoggedOut();
      setTimeout(() => this.socket.connect(), REFUSED_RETRY_MS);
    });
    this.socket.on("disconnect", (why) => {
      if (why === "io server disconnect") this.socket.connect(); // if this page is not wanted any more, it hears why
    });
  }

  on(name, handler) {
    this.socket.on(name, handler);
  }

  get connected() {
    return this.socket.connected;
  }

  /** Try to connect now instead of at the next turn: there is a reason to think that it works again. */
  hurry() {
    this.socket.disconnect().connect();
  }

  /** Send an event and wait for its answer. Throws Failure with a message for the person. */
  async call(name, body = {}, timeout_ms = CALL_TIMEOUT_MS) {
    let answer;
    try {
      answer = await this.socket.timeout(timeout_ms).emitWithAck(name, body);
    } catch {
      const kept = KEPT.has(name) ? " Your text is kept here." : "";
      const failure = new Failure(`The chat server does not answer.${kept}`, "no_answer");
      if (this.connected) this.onSilence(failure);
      throw failure;
    }
    if (answer.error?.code === "not_logged_in") this.onLoggedOut();
    if (!answer.ok) throw new Failure(answer.error.message, answer.error.code, answer.error.option);
    return answer;
  }

  /** As call, repeated until the server answers: for events that may arrive twice without harm. */
  async callUntilAnswered(name, body) {
    for (;;) {
      try {
        return await this.call(name, body);
      } catch (failure) {
        if (failure.code !== "no_answer") throw failure;
      }
    }
  }
}

export class Failure extends Error {
  /** option: the name of the option that was refused, where one was. */
  constructor(message, code, option = "") {
    super(message);
    this.code = code;
    this.option = option;
  }
}

/** A key that is different each time, also where crypto.randomUUID is missing (plain http). */
export function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
