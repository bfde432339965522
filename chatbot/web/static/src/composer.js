// Where the next message is written: its text, what goes with it, and the draft that survives a reload.
import { Attachments } from "./attachments.js";
import { isComposing } from "./dom.js";
import { fitHeight, isTouch, sentence } from "./words.js";

const LONG_PASTE = 4000;
const ADDRESS = /(^|\s)#(https?:\/\/\S+)(?=\s|$)/g;

export class Composer {
  /** parts: form, input, send, chips, attach, picker, area (where files may be dropped), list (of commands), drafts,
   *  conversation. deeds: send(text, files), run(text) that is true for a command, editLast,
   *  tell(text) to a screen reader, problem, changed (what is written or attached). */
  constructor(parts, link, deeds) {
    Object.assign(this, parts);
    Object.assign(this, { link, deeds });
    this.waiting = null; // {place, text}: a message that is sent when what it needs is there
    const { chips, conversation, drafts } = parts;
    this.attachments = new Attachments(chips, { link, conversation, drafts, problem: deeds.problem, changed: () => this.draw() });
    this.mentions = null; // the list that a # opens, when its script is here
    this.listen();
    this.listenForFiles();
  }

  listen() {
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
    this.input.addEventListener("keydown", (event) => this.press(event));
    this.input.addEventListener("input", () => {
      this.takePages();
      this.keep();
      this.fit();
      this.draw();
      this.list.look();
      this.lookForMention();
    });
  }

  /** A # may begin the name of a shelf, a document or a file. */
  async lookForMention() {
    if (!this.mentions && this.input.value.includes("#")) {
      const { Mentions } = await import("./mentions.js").catch(() => ({})); // not reached: names can be typed in full
      if (Mentions) this.mentions ??= new Mentions(this.input, this.list.list, { ...this.deeds, link: this.link, conversation: this.conversation, changed: () => this.keep() });
    }
    this.mentions?.look();
  }

  listenForFiles() {
    this.attach.addEventListener("click", () => this.picker.click());
    this.picker.addEventListener("change", () => {
      this.attachments.add(this.picker.files);
      this.picker.value = "";
      this.input.focus();
    });
    this.input.addEventListener("paste", (event) => this.paste(event));
    const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
    const show = (isOver) => this.area.classList.toggle("dropping", isOver);
    this.area.addEventListener("dragover", (event) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      show(true);
    });
    this.area.addEventListener("dragleave", (event) => { if (!this.area.contains(event.relatedTarget)) show(false); });
    this.area.addEventListener("drop", (event) => {
      show(false);
      if (!hasFiles(event)) return;
      event.preventDefault();
      this.attachments.add(event.dataTransfer.files);
    });
  }

  press(event) {
    if (isComposing(event) || this.list.press(event) || this.mentions?.press(event)) return;
    const isPlain = !event.shiftKey && !event.ctrlKey && !event.metaKey && !event.altKey;
    if (event.key === "ArrowUp" && isPlain && !this.input.value) {
      if (this.deeds.editLast()) event.preventDefault();
    }
    const isSend = event.ctrlKey || event.metaKey || (!event.shiftKey && !isTouch);
    if (event.key !== "Enter" || !isSend) return;
    event.preventDefault();
    this.submit();
  }

  paste(event) {
    const text = event.clipboardData.getData("text/plain");
    const isOffice = text && event.clipboardData.types.includes("text/rtf"); // its picture shows the same text
    const files = isOffice ? [] : event.clipboardData.files;
    if (!files.length && text.length <= LONG_PASTE) return;
    event.preventDefault();
    this.attachments.add(files.length ? files : [new File([text], "Pasted text.txt", { type: "text/plain" })]);
  }

  /** Fetch the pages whose addresses stand in the text as #https://…, but for one that is still being written. */
  takePages(isWhole = false) {
    const { value, selectionEnd: caret } = this.input;
    const isWritten = ({ index, 0: all, 1: before }) => isWhole || caret <= index + before.length || caret > index + all.length;
    const found = [...value.matchAll(ADDRESS)].filter(isWritten);
    if (!found.length) return;
    for (const each of [...found].reverse()) this.cutOut(each);
    this.keep();
    this.fit();
    for (const [, , url] of found) this.attachments.addNamed(url);
  }

  /** Take an address out of the text, with one of the spaces around it; of a space and the end of a line the space. */
  cutOut({ index, 0: all, 1: before }) {
    const end = index + all.length;
    const after = this.input.value.charAt(end);
    const isLast = before && (!after || after === "\n");
    const [from, to] = isLast ? [index, end] : [index + before.length, end + after.length];
    this.input.setRangeText("", from, to, "preserve"); // the caret stays where the person writes
  }

  async submit() {
    if (this.isWaiting || this.deeds.run(this.input.value)) return;
    this.takePages(true);
    if (this.attachments.isBusy && !(await this.wait(this.attachments.settled()))) return;
    const { lack } = this.attachments;
    if (lack) {
      this.deeds.problem(`${sentence(lack)} Try again or remove the page, then send.`);
      return;
    }
    const text = this.input.value.trim() ? this.input.value : "";
    if (text || this.attachments.files.length) this.deeds.send(text, this.attachments.files);
  }

  /** Wait for what the message needs; false when it failed, or when by then another chat is open or another text is
   *  written: the person sends that one. */
  async wait(promise) {
    const waiting = { place: this.conversation.place, text: this.input.value };
    this.waiting = waiting;
    this.draw();
    const isThere = (await promise) ?? true;
    const isSame = this.waiting === waiting && this.isWaiting;
    if (this.waiting === waiting) this.waiting = null;
    this.draw();
    return isThere && isSame;
  }

  /** Whether the message that is written here waits to be sent. */
  get isWaiting() {
    return this.waiting?.place === this.conversation.place && this.waiting.text === this.input.value;
  }

  /** The message is on its way: make room for the next one. */
  clear() {
    this.setText("");
    this.attachments.clear();
  }

  /** Another chat is open: show what was being written there. */
  restore(id) {
    this.drafts.restore(id, (isLate) => {
      if (isLate && !(this.isEmpty && id === this.conversation.id)) return; // the person went on
      this.setText(this.draft(id));
      this.attachments.restore(id);
    });
  }

  /** Put a text into the field, as if it had been typed. */
  write(text) {
    this.setText(text);
    this.keep();
    this.input.focus();
  }

  /** Put words before what is written, unless it begins with them. */
  putBefore(words) {
    const { value } = this.input;
    this.write(value.startsWith(words) ? value : words + value);
  }

  get isEmpty() {
    return !this.input.value && !this.attachments.chips.length;
  }

  /** Put a message back that was not sent, before what is written by now. */
  putBack({ content, files }) {
    this.setText([content, this.input.value].filter(Boolean).join("\n\n"));
    this.keep();
    this.attachments.addReady(files);
  }

  /** Put what was taken back in a chat into the message box there, words and files together, where that is empty. */
  giveBack(id, { content, files = [] }) {
    if (id !== this.conversation.id) {
      if (!this.draft(id) && !this.attachments.kept(id).length) this.hold(id, { text: content, files });
    } else if (this.isEmpty) {
      if (content) this.write(content);
      if (files.length) this.attachments.addReady(files);
    }
  }

  /** A message stands in the conversation: it is written here no longer, unless something of it was changed. */
  takeAway({ content, files = [] }) {
    const { chips } = this.attachments;
    const isSame = chips.length === files.length && chips.every(({ file }, nth) => file?.id === files[nth].id);
    if (this.input.value !== content || !isSame) return;
    this.clear();
    this.forget(this.conversation.id, content, files);
  }

  /** What is written in a chat belongs to another one now: the new chat has got its id, or the chat is gone. What was
   *  written in either of them before. */
  move(from, to) {
    const before = [this.held(from), this.held(to)]; // something else may be written there already
    this.hold(to, joined(before));
    this.hold(from, joined([]));
    return before;
  }

  /** What was moved goes back: to each its own, or all of it when something was written since. */
  moveBack(from, to, before) {
    if (JSON.stringify(this.held(to)) !== JSON.stringify(joined(before))) this.move(to, from);
    else [from, to].forEach((id, nth) => this.hold(id, before[nth]));
  }

  held(id) {
    return { text: this.draft(id), files: this.attachments.kept(id) };
  }

  hold(id, { text, files }) {
    this.drafts.write("draft", id, text);
    this.attachments.write(id, files);
  }

  setText(text) {
    this.input.value = text;
    this.fit();
    this.draw();
    this.list.look();
  }

  draft(id) {
    return this.drafts.read("draft", id) ?? "";
  }

  keep() {
    this.drafts.write("draft", this.conversation.id, this.input.value);
  }

  /** The server has a message: its draft is not needed any more. */
  forget(id, text, files) {
    if (this.draft(id).trim() === text.trim()) this.drafts.write("draft", id, "");
    this.attachments.forget(id, files);
  }

  fit() {
    fitHeight(this.input, this.form);
  }

  draw() {
    this.deeds.changed();
    this.send.disabled = this.isWaiting || !(this.input.value.trim() || this.attachments?.chips.length);
  }

  focus() {
    if (!isTouch) this.input.focus(); // on a phone it would bring up the keyboard
  }
}

/** Several that were being written as one. */
function joined(written) {
  return { text: written.map(({ text }) => text).filter(Boolean).join("\n\n"), files: written.flatMap(({ files }) => files) };
}
