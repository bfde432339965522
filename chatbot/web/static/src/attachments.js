// What goes with the next message: files and pages as chips, each with its name, its cost and a way to drop it.
import { make } from "./dom.js";
import { Failure } from "./link.js";
import { addressOf, fitting, isPicture, isShown } from "./pictures.js";
import { sendFile } from "./post.js";
import { button, counted, sentence, short } from "./words.js";

const CHARS_PER_TOKEN = 4; // about, for English; the drawer counts exactly
const PAGE_TIMEOUT_MS = 30000;
const NOT_YET = "This page has not been read yet.";

export class Attachments {
  /** changed: called after each change. */
  constructor(holder, { link, conversation, drafts, problem, changed }) {
    Object.assign(this, { holder, link, conversation, drafts, problem, changed });
    // {name, place: where it was attached, file: what the server made of it, work: while it is on its way, url: of a page
    // out of the text, which stays until it is read, failed: why it is not}
    this.chips = [];
    this.coming = new Set(); // those on their way, in whatever chat
    this.maxBytes = Infinity;
    this.uploads = Promise.resolve(); // the last one; the next is counted against the room that it leaves
  }

  get files() {
    return this.chips.flatMap(({ file }) => file ?? []);
  }

  get isBusy() {
    return this.chips.some(({ work }) => work);
  }

  /** Why a page of the text is not there, as far as one is not. */
  get lack() {
    return this.chips.find(({ failed }) => failed)?.failed;
  }

  /** Attach files of the person's machine. */
  add(files) {
    this.problem(""); // what was wrong with others before
    for (const file of files) {
      const why = isPicture(file) ? "" : this.excess(file); // a picture may become smaller
      if (why) this.problem(why);
      else this.uploads = this.begin({ name: file.name }, this.send(file));
    }
  }

  async send(file) {
    const [{ place }, { chips }] = [this.conversation, this];
    await this.uploads;
    const ready = isPicture(file) ? await fitting(file) : file;
    const why = this.excess(ready);
    if (why) throw new Failure(why, "file_too_large");
    const beside = idsOf(chips).map((each) => ["files", each]);
    return (await sendFile("/files", ready, [...beside, ...(place.id ? [["chat_id", place.id]] : [])])).file;
  }

  /** Why a file is too large; nothing when it is not. */
  excess({ name, size }) {
    if (size <= this.maxBytes) return "";
    const most = `${Math.floor(this.maxBytes / 1e6).toLocaleString()} MB`;
    return `The file ${name} has ${(size / 1e6).toFixed(1)} MB, at most ${most} are allowed.`;
  }

  /** Attach the text of a web page; the chip in the end, nothing when it cannot be fetched. */
  addPage(url) {
    return this.begin({ name: url }, this.read(url));
  }

  /** Attach a page whose address stood in the text: one that cannot be fetched stays here, to be tried again. */
  addNamed(url) {
    this.begin({ name: url, url }, this.read(url));
    this.keep();
  }

  async read(url) {
    const asked = { chat_id: this.conversation.id, url, files: idsOf(this.chips) };
    return (await this.link.call("url", asked, PAGE_TIMEOUT_MS)).file;
  }

  again(chip) {
    this.problem("");
    delete chip.failed;
    this.follow(chip, this.read(chip.url));
    document.getElementById("input").focus();
  }

  /** Attach what the server has made ready. */
  addReady(files) {
    this.chips.push(...files.map((file) => ({ name: file.name, file })));
    this.keep();
  }

  begin(chip, promise) {
    this.chips.push(chip);
    return this.follow(chip, promise);
  }

  follow(chip, promise) {
    chip.place = this.conversation.place;
    this.coming.add(chip);
    chip.work = promise.then(
      (file) => Object.assign(chip, { file, name: file.name }),
      (failure) => {
        chip.failed = failure.message;
        if (!chip.url) this.chips = this.chips.filter((each) => each !== chip);
        this.problem(this.isHere(chip) ? failure.message : elsewhere(chip, failure), failure.code);
      },
    ).finally(() => {
      delete chip.work;
      this.coming.delete(chip);
      if (this.isHere(chip)) this.keep();
      else this.keepElsewhere(chip);
    });
    this.draw();
    return chip.work;
  }

  /** Whether the chat is open that something was attached in. */
  isHere({ place }) {
    return place.id === this.conversation.id;
  }

  /** Another chat is open by now: what was attached is kept where that was. */
  keepElsewhere({ place: { id }, file, url }) {
    if (file) this.write(id, [...this.kept(id).filter((each) => !url || each.url !== url), file]);
  }

  /** Wait until all are there, with those that are added meanwhile; false when one failed. */
  async settled() {
    const awaited = new Set();
    while (this.isBusy) {
      for (const chip of this.chips) awaited.add(chip);
      await Promise.all(this.chips.map(({ work }) => work));
    }
    return ![...awaited].some(({ failed }) => failed);
  }

  drop(chip) {
    const at = this.chips.indexOf(chip);
    this.chips.splice(at, 1);
    if (chip.failed) this.problem("");
    this.keep();
    if (chip.file && !this.drafts.isNeeded(chip.file.id)) this.unfile(chip.file);
    (this.holder.querySelectorAll(".remove")[Math.min(at, this.chips.length - 1)] ?? document.getElementById("input")).focus();
  }

  unfile({ id }) {
    this.link.call("unfile", { file_id: id }).catch(() => {}); // the server forgets it by itself
  }

  /** Show what was attached in a chat and not sent. */
  restore(id) {
    const coming = [...this.coming].filter((chip) => this.isHere(chip));
    for (const chip of coming) chip.place = this.conversation.place; // of the new chat that is open, as its words are
    const kept = this.kept(id).filter(({ url }) => !url || !coming.some((chip) => chip.url === url));
    this.chips = [...kept.map((each) => (each.id ? { name: each.name, file: each } : { name: each.url, url: each.url, failed: NOT_YET })), ...coming];
    this.draw();
  }

  /** These are sent: no more is attached than what is on its way. What was kept goes with forget, when the server has the
   *  message. */
  clear() {
    this.chips = this.chips.filter(({ work }) => work);
    this.draw();
  }

  forget(id, files) {
    const sent = new Set(files.map((file) => file.id));
    this.write(id, this.kept(id).filter((file) => !sent.has(file.id)));
  }

  /** What was attached in a chat and not sent: files, and the addresses of pages that are not read yet. */
  kept(id) {
    return this.drafts.readJson("files", id) ?? [];
  }

  keep() {
    this.write(this.conversation.id, this.chips.flatMap(({ file, url }) => file ?? (url ? { url } : [])));
    this.draw();
  }

  write(id, files) {
    this.drafts.write("files", id, files.length ? JSON.stringify(files) : "");
  }

  draw() {
    this.holder.hidden = !this.chips.length;
    this.holder.replaceChildren(...this.chips.map((chip) => this.line(chip)));
    this.changed();
  }

  line(chip) {
    const line = make("li", { class: "chip", "aria-busy": chip.work ? "true" : "false", "data-failed": Boolean(chip.failed) });
    const isPictured = chip.file && isShown(chip.file);
    if (isPictured) line.append(make("img", { class: "thumb", src: addressOf(chip.file), alt: "" })); // its name is beside it
    line.append(make("span", { class: "name", title: chip.file?.source || chip.name }, chip.name));
    const title = chip.file && !isPictured ? counted(chip.file.n_chars, "character") : "";
    line.append(make("span", { class: "size", title }, chip.failed ? "not read" : sizeOf(chip)));
    if (chip.failed) line.append(button("quiet again", "Try again", () => this.again(chip), `Try again to read ${chip.name}`));
    if (!chip.work) line.append(button("quiet remove", "×", () => this.drop(chip), `Remove ${chip.name}`));
    return line;
  }
}

function sizeOf({ file }) {
  if (!file) return "reading…";
  return file.is_whole === false ? "read in parts" : cost(file);
}

/** What a file takes of the model's memory. */
function cost({ kind, n_tokens, n_chars }) {
  if (kind === "image") return n_tokens ? `about ${tokens(n_tokens)}` : "picture";
  return n_tokens ? tokens(n_tokens) : `about ${tokens(Math.ceil(n_chars / CHARS_PER_TOKEN))}`;
}

function tokens(n) {
  return `${short(n)} token${n === 1 ? "" : "s"}`;
}

/** What was attached in a chat that is not open, and why it is not there. */
function elsewhere({ url }, { message }) {
  return `A file in another chat was not attached. ${sentence(message)}${url ? " Its address is kept there." : ""}`;
}

function idsOf(chips) {
  return chips.flatMap(({ file }) => file?.id ?? []);
}
