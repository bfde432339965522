// What the person does to the turns of the open chat: send, change, stop, answer again, go on, switch versions.
import { newKey } from "./link.js";
import { sibling } from "./versions.js";

const NAMED = /(^|\s)#(?:"[^"]*"|\S+)/g; // shelves and documents, as a message names them

export class Turns {
  /** parts: link, conversation, list, composer, options, speaker. view: problem, attempt, load, sync, showAll,
   *  showOpened, showTurn, and begun, called when a new chat has got its address. */
  constructor(parts, view) {
    Object.assign(this, parts);
    this.view = view;
    this.sending = Promise.resolve(); // the last message on its way; the next one follows it
    this.maxChars = Number(document.body.dataset.maxChars);
  }

  send(text, files) {
    if (this.isTooLong(text)) return;
    this.post({ text, files, options: this.conversation.options });
    this.composer.clear();
  }

  /** Send a changed message again, as another version of the one that it was. */
  resend(message, text) {
    if (this.isTooLong(text)) return;
    this.conversation.cut(message.id);
    this.post({ text, files: message.files ?? [], parent: message.parent_id });
    this.composer.focus();
  }

  isTooLong(text) {
    const nChars = text.length > this.maxChars ? [...text].length : text.length; // the server counts an emoji as one
    if (nChars <= this.maxChars) return false;
    this.view.problem(`This message has ${nChars.toLocaleString()} characters, ${this.maxChars.toLocaleString()} are allowed.`);
    return true;
  }

  post(message) {
    const { place } = this.conversation;
    const key = newKey();
    this.conversation.pending.push({ id: key, role: "user", content: message.text, files: message.files, pending: true });
    this.view.problem("");
    this.list.follow();
    this.view.showAll();
    this.sending = this.sending.then(() => this.deliver(place, message, key));
  }

  async deliver(place, message, key) {
    const from = place.id;
    const isNew = from === null;
    try {
      const turn = await this.link.callUntilAnswered("send", requestOf(from, message, key));
      this.composer.forget(from, message.text, message.files);
      if (isNew) this.options.forgetKept();
      place.id = turn.chat.id;
      if (this.conversation.place !== place) {
        this.view.sync(); // the server now tells this page of that chat: open the right one again
        return;
      }
      this.conversation.settle((sent) => sent.id === key);
      if (isNew) this.view.begun(place.id);
      this.view.showTurn(turn);
      if (isNew) this.view.sync(); // events may have come before this page knew the chat's id
    } catch (failure) {
      if (this.conversation.place === place) this.takeBack(from, message, key);
      this.view.problem(failure.message, failure.code);
    }
  }

  /** The server does not want a message: give it back. */
  takeBack(from, { text, parent }, key) {
    this.conversation.settle((sent) => sent.id === key);
    if (parent !== undefined) this.view.load().catch(() => {}); // what was cut is still there
    if (!this.composer.input.value) this.composer.setText(text);
    if (!this.composer.attachments.chips.length) this.composer.attachments.restore(from);
    this.view.showAll();
  }

  async stop() {
    const { running } = this.conversation;
    if (running) await this.view.attempt(this.link.call("stop", { answer_id: running.id }));
  }

  /** Take back a message that waits in line; its text returns to the composer where that is empty. */
  async dequeue(answer) {
    if (this.conversation.last("assistant")?.id === answer.id) {
      await this.undo();
      return;
    }
    const asked = this.conversation.find(answer.parent_id);
    if (!(await this.view.attempt(this.link.call("dequeue", { answer_id: answer.id })))) return;
    if (asked) this.giveBack(asked);
  }

  /** Put what was taken back into the composer, as far as that is empty. */
  giveBack({ content, files }) {
    const { input, attachments } = this.composer;
    if (!input.value && content) this.composer.write(content);
    if (!attachments.chips.length && files?.length) attachments.addReady(files);
  }

  async retry(answer) {
    if (this.isRetrying) return; // a double click
    this.isRetrying = true;
    const turn = await this.view.attempt(this.link.call("retry", { answer_id: answer.id }));
    this.isRetrying = false;
    if (!turn || turn.chat.id !== this.conversation.id) return;
    this.list.follow();
    this.view.showTurn(turn);
  }

  /** Put the question of an answer into the composer, to be asked without documents. */
  async askWithout(answer) {
    const { place, options } = this.conversation;
    const asked = this.conversation.find(answer.parent_id)?.content ?? "";
    if (options.library && !(await this.view.attempt(this.options.set("library", undefined)))) return;
    if (this.conversation.place === place) this.composer.write(asked.replace(NAMED, "$1").trim());
  }

  /** Answer the last message once more; false when there is none. */
  again() {
    const answer = this.conversation.last("assistant");
    if (answer) this.retry(answer);
    return Boolean(answer);
  }

  async goOn(answer) {
    const told = await this.view.attempt(this.link.call("continue", { answer_id: answer.id }));
    if (!told) return;
    this.list.follow();
    this.take(told.answer);
  }

  /** Put another text into an answer. */
  async change(answer, content) {
    const told = await this.view.attempt(this.link.call("edit", { answer_id: answer.id, content }));
    if (told) this.take(told.message);
  }

  take(message) {
    this.conversation.put(message);
    this.view.showAll();
  }

  /** Show another version of a message, and give the focus back to the switch. */
  async branch(id, way) {
    const { place } = this.conversation;
    const opened = await this.view.attempt(this.link.call("branch", { chat_id: place.id, message_id: id }));
    if (!opened || this.conversation.place !== place) return;
    this.view.showOpened(opened);
    const { element } = this.list.entry(id) ?? {};
    if (!element) return;
    element.scrollIntoView({ block: "nearest" });
    const buttons = [...element.querySelectorAll("[data-step]")];
    const wanted = buttons.find((button) => button.dataset.step === way && !button.disabled);
    (wanted ?? buttons.find((button) => !button.disabled))?.focus();
    this.speaker.say(element.querySelector(".place")?.getAttribute("aria-label") ?? "");
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
    const asked = this.conversation.last("user");
    const told = await this.view.attempt(this.link.call("undo", { chat_id: this.conversation.id }));
    if (!told) return;
    await this.view.attempt(this.view.load());
    this.giveBack({ content: told.text, files: asked?.content === told.text ? asked.files : [] });
  }
}

function requestOf(chatId, { text, files, parent, options }, key) {
  const body = { chat_id: chatId, text, key, files: files.map(({ id }) => id) };
  if (parent !== undefined) body.parent = parent;
  if (chatId === null && options && Object.keys(options).length) body.options = options;
  return body;
}
