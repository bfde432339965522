// What the person does to the turns of the open chat: send, change, stop, answer again, go on, switch versions.
import { newKey } from "./link.js";
import { Outbox } from "./outbox.js";
import { sibling } from "./versions.js";
import { sentence } from "./words.js";

const NAMED = /(^|\s)#(?:"[^"]*"|\S+)/g; // shelves and documents, as a message names them

export class Turns {
  /** parts: link, conversation, list, composer, options, speaker. view: problem, attempt, attemptHere, load, sync,
   *  showAll, showOpened, showTurn, and begun, called when a new chat has got its address. */
  constructor(parts, view) {
    Object.assign(this, parts);
    this.view = view;
    this.outbox = new Outbox(this.composer.drafts, (message) => {
      this.unshow(message);
      this.view.showAll();
    });
    this.isResumed = false;
    this.isFree = !this.composer.drafts.hasSome(null); // nothing is written here that is for another chat
    // The last message on its way; the next one follows it. What an earlier page left goes first.
    this.sending = Outbox.isLeft ? new Promise((go) => { this.go = go; }) : Promise.resolve();
    this.maxChars = Number(document.body.dataset.maxChars);
  }

  /** It is known who is here: send what an earlier page could not. */
  async resume() {
    if (this.isResumed) return;
    this.isResumed = true;
    const { conversation } = this;
    const left = await this.outbox.read();
    const waiting = left.filter(({ refusal }) => !refusal);
    const begun = this.begunBefore(waiting);
    const isNew = conversation.id === null && !conversation.messages.length;
    if (isNew) for (const message of left) if (message.place === begun) message.place = conversation.place;
    const here = this.outbox.messages.filter(({ place }) => place === conversation.place);
    conversation.pending = [...new Set([...here, ...this.outbox.enter(conversation.place)])];
    const first = waiting.find(({ place }) => place === conversation.place);
    if (conversation.id === null && first) this.options.show(first.options);
    if (this.go) this.go(this.deliverAll(waiting));
    else this.sending = this.sending.then(() => this.deliverAll(waiting)); // of a tab that was closed meanwhile
    for (const { place } of waiting) place.arrival = this.sending;
    this.view.showAll();
  }

  /** The place of the new chat that this page goes on with: what its tab began last, else a tab that is closed. */
  begunBefore(waiting) {
    const fresh = waiting.filter(({ place }) => place.id === null);
    const { tab: own } = this.composer.drafts;
    return (fresh.findLast(({ tab }) => tab === own) ?? (this.isFree ? fresh.at(-1) : undefined))?.place;
  }

  /** Open another chat, or a new one: nothing of it is there yet but what was not sent. */
  enter(id) {
    this.conversation.enter(id);
    this.conversation.pending = this.outbox.enter(this.conversation.place);
    this.list.clear();
    this.view.showAll();
  }

  send(text, files) {
    if (this.isTooLong(text)) return;
    this.post({ content: text, files, options: this.conversation.options });
    this.composer.clear();
  }

  /** Send a changed message again, as another version of the one that it was; false when it is too long. */
  resend(message, text) {
    if (this.isTooLong(text)) return false;
    this.conversation.cut(message.id);
    this.post({ content: text, files: message.files ?? [], parent: message.parent_id, replaces: message.id });
    this.composer.focus();
    return true;
  }

  isTooLong(text) {
    const nChars = text.length > this.maxChars ? [...text].length : text.length; // the server counts an emoji as one
    if (nChars <= this.maxChars) return false;
    this.view.problem(`This message has ${nChars.toLocaleString()} characters, ${this.maxChars.toLocaleString()} are allowed.`);
    return true;
  }

  post(written) {
    const { place, messages } = this.conversation;
    const message = { ...written, id: newKey(), role: "user", pending: true, place, behind: messages.at(-1)?.id };
    this.outbox.add(message);
    if (message.isKept) this.forget(message, place.id);
    this.conversation.pending.push(message);
    this.queue(message);
  }

  queue(message) {
    this.view.problem("");
    this.list.follow();
    this.view.showAll();
    this.sending = this.sending.then(() => this.deliverAll([message]));
    message.place.arrival = this.sending;
  }

  /** A message is kept by itself: what was being written, and chosen for a chat to begin, is free for the next one. */
  forget({ content, files }, id) {
    this.composer.forget(id, content, files);
    if (id === null) this.options.forgetKept();
  }

  async deliverAll(messages) {
    for (const message of messages) await this.deliver(message).catch(reportError); // a fault of the page holds nothing up
  }

  async deliver(message) {
    const { place } = message;
    const from = place.id;
    const asked = this.link.callUntilAnswered("send", requestOf(message));
    const turn = await asked.catch((failure) => this.refuse(message, failure));
    if (turn) this.outbox.drop(message);
    if (!this.outbox.isSending(place)) place.arrival = null;
    if (!turn) return;
    if (!message.isKept) this.forget(message, from);
    this.arrive(message, turn);
  }

  /** The server has a message. */
  arrive({ id, place }, turn) {
    const isNew = place.id === null;
    place.id = turn.chat.id;
    if (isNew) this.outbox.move(place);
    if (isNew && place === this.conversation.fresh) this.composer.move(null, place.id);
    if (this.conversation.place !== place) {
      this.view.sync(); // the server now tells this page of that chat: open the right one again
      return;
    }
    this.conversation.settle((sent) => sent.id === id);
    if (isNew) {
      this.options.forgetKept();
      this.view.begun(place.id);
    }
    this.view.showTurn(turn);
    if (isNew) this.view.sync(); // events may have come before this page knew the chat's id
  }

  /** The server does not want a message: it goes back to where it was written, or stays in sight as not sent. */
  refuse(message, { message: reason, code }) {
    if (code === "not_logged_in") return; // it is kept, and sent when its person is back
    this.unshow(message);
    if (code === "unknown_chat") this.rehome(message);
    else if (message.place.id === null) this.takeOver(message);
    this.options.keepAgain(message);
    const isHere = message.place === this.conversation.place;
    if (message.replaces) this.reopen(message, isHere);
    else if (isHere && this.composer.isEmpty) this.takeBack(message);
    else this.keepRefused(message, reason, isHere);
    this.view.showAll();
    if (isHere && message.refusal) this.speaker.say(`Not sent. ${sentence(reason)}`); // as it stands at the message
    else this.view.problem(isHere ? reason : elsewhere(message, reason), code);
  }

  /** Its chat is gone: what was said there may begin a new one. */
  rehome(message) {
    const { place } = this.conversation;
    Object.assign(message, { place: place.id === null ? place : { id: null, begins: message.id }, parent: undefined, replaces: undefined });
  }

  /** A message that was to begin a chat goes over to the new one that is open, where nothing is on its way there. */
  takeOver(message) {
    const { place, options } = this.conversation;
    if (place.id !== null || place.arrival) return;
    message.place = place;
    if (!Object.keys(options).length) this.options.show(message.options);
  }

  /** A change that was refused stands open again, in the message that it would have replaced. */
  reopen({ replaces, content, ...message }, isHere) {
    this.composer.drafts.write("edit", replaces, content);
    this.outbox.drop(message);
    if (isHere) this.view.load().catch(() => {}); // what was cut is still there
  }

  takeBack(message) {
    this.outbox.drop(message);
    this.composer.putBack(message);
  }

  keepRefused(message, reason, isHere) {
    message.refusal = reason;
    this.outbox.keep(message);
    if (isHere) this.conversation.pending.push(message);
  }

  unshow(message) {
    this.conversation.pending = this.conversation.pending.filter((each) => each !== message);
  }

  /** Send a message once more that was refused. */
  tryAgain(message) {
    delete message.refusal;
    if (message.place.id === null) message.options = this.conversation.options; // as the panel shows them by now
    this.outbox.keep(message);
    if (message.place.id === null && message.isKept) this.options.forgetKept();
    this.queue(message);
  }

  /** Forget a message that was refused. */
  discard(message) {
    this.outbox.drop(message);
    this.unshow(message);
    this.view.problem("");
    this.view.showAll();
    this.composer.focus();
  }

  /** Put a message that was refused into the composer, before what is there. */
  takeUp(message) {
    this.discard(message);
    this.composer.putBack(message);
    this.composer.input.focus();
  }

  /** Stop what is being answered: in sight, else on a branch that is not shown. */
  async stop() {
    const { running, id } = this.conversation;
    await this.view.attempt(this.link.call("stop", running ? { answer_id: running.id } : { chat_id: id }));
  }

  /** Take back a message that waits in line; its text returns to the composer where that is empty. */
  async dequeue(answer) {
    if (this.conversation.last("assistant")?.id === answer.id) {
      await this.undo();
      return;
    }
    const { id } = this.conversation;
    const asked = this.conversation.find(answer.parent_id);
    if (!(await this.view.attempt(this.link.call("dequeue", { answer_id: answer.id })))) return;
    if (asked) this.composer.giveBack(id, asked);
  }

  async retry(answer) {
    if (this.isRetrying) return; // a double click
    this.isRetrying = true;
    const turn = await this.view.attempt(this.link.call("retry", { answer_id: answer.id }));
    this.isRetrying = false;
    if (!turn || turn.chat.id !== this.conversation.id) return;
    if (turn.replaces || answer.id === this.conversation.messages.at(-1)?.id) this.list.follow();
    this.view.showTurn(turn);
  }

  /** Put the question of an answer into the composer, before what is there, to be asked without documents. */
  async askWithout(answer) {
    const asked = this.conversation.find(answer.parent_id)?.content ?? "";
    if (!(await this.view.attemptHere(this.options.askNoShelf()))) return;
    this.composer.putBack({ content: asked.replace(NAMED, "$1").trim(), files: [] });
    this.composer.input.focus();
  }

  /** Answer the last message once more; false when there is none. */
  again() {
    const answer = this.conversation.last("assistant");
    if (answer) this.retry(answer);
    return Boolean(answer);
  }

  async goOn(answer) {
    const told = await this.view.attemptHere(this.link.call("continue", { answer_id: answer.id }));
    if (!told) return;
    this.list.follow();
    this.take(told.answer);
  }

  /** Put another text into an answer; whether the server has it. */
  async change(answer, content) {
    const told = await this.view.attempt(this.link.call("edit", { answer_id: answer.id, content }));
    if (told) this.take(told.message);
    return Boolean(told);
  }

  take(message) {
    this.conversation.put(message);
    this.view.showAll();
  }

  /** Show another version of a message, and give the focus back to the switch. */
  async branch(id, way) {
    const opened = await this.view.attemptHere(this.link.call("branch", { chat_id: this.conversation.id, message_id: id }));
    if (!opened) return;
    this.view.showOpened(opened);
    const { element } = this.list.entry(id) ?? {};
    if (!element) return;
    element.scrollIntoView({ block: "nearest" });
    const buttons = [...element.querySelectorAll("[data-step]")];
    const wanted = buttons.find((button) => button.dataset.step === way && !button.disabled);
    (wanted ?? buttons.find((button) => !button.disabled) ?? this.composer).focus();
    this.speaker.say(element.querySelector(".place")?.getAttribute("aria-label") ?? "");
  }

  /** Show what was taken back. What of it stands in the composer as it was is there no longer. */
  async bringBack(id) {
    const { place, messages } = this.conversation;
    const before = new Set(messages.map((message) => message.id));
    await this.branch(id, "earlier");
    if (this.conversation.place !== place) return;
    for (const message of this.conversation.messages) {
      if (message.role === "user" && !before.has(message.id)) this.composer.takeAway(message);
    }
  }

  /** A step through the versions of the message that has the focus, else of the last one that has any. */
  step(by) {
    const focused = document.activeElement.closest?.(".message");
    const candidates = this.conversation.messages.filter((message) => sibling(message, by));
    const inFocus = candidates.find(({ id }) => this.list.entry(id)?.element === focused);
    const found = inFocus ?? (this.composer.input.value ? undefined : candidates.at(-1));
    if (!found) return false;
    this.branch(sibling(found, by), by > 0 ? "later" : "earlier");
    return true;
  }

  /** Open the last message for a change; false when there is none. */
  editLast() {
    const said = this.conversation.last("user");
    if (said) this.list.entry(said.id).edit();
    return Boolean(said);
  }

  /** Take the last message and its answer back. */
  async undo() {
    const { id } = this.conversation;
    const asked = this.conversation.last("user");
    const told = await this.view.attempt(this.link.call("undo", { chat_id: id }));
    if (!told) return;
    if (this.conversation.id === id) await this.view.attempt(this.view.load());
    this.composer.giveBack(id, { content: told.text, files: asked?.content === told.text ? asked.files : [] });
  }
}

function requestOf({ id, place, content, files, parent, options }) {
  const body = { chat_id: place.id, text: content, key: id, files: files.map((file) => file.id) };
  if (parent !== undefined) body.parent = parent;
  if (place.id === null && options && Object.keys(options).length) body.options = options;
  return body;
}

/** Why a message was not sent whose chat is not open, and where it is kept. */
function elsewhere({ place, replaces }, reason) {
  const where = place.id === null ? "It is kept under New chat" : replaces ? "Its text is kept there" : "It is kept there";
  return `A message ${place.id === null ? "" : "in another chat "}was not sent. ${sentence(reason)} ${where}.`;
}
