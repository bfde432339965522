// What is being written and not sent: text, files, the options of a new chat, and changes of messages that were sent. The
// browser keeps it under the name of its tab, so that tabs take nothing from each other; what a tab left that is closed by now goes to the next one.
import { stored } from "./dom.js";
import { newKey } from "./link.js";

const KINDS = ["draft", "files", "options"]; // of a chat
const EDIT = "edit"; // of a message
const SESSION = "sessionStorage"; // a tab's own: survives a reload
const ANSWER_MS = 200; // in which every open tab has said that it is there

export class Drafts {
  constructor() {
    this.tab = stored((store) => store.getItem("tab"), SESSION);
    if (!this.tab) this.takeName();
    this.open = new Set(); // the other tabs that have answered
    this.roll = null; // while they are asked
    this.isCopied = false; // another tab was made as a copy of this one
    this.channel = new BroadcastChannel("tabs");
    this.channel.addEventListener("message", ({ data }) => this.hear(data));
    this.ask();
  }

  /** Names that begin with the time: the newest tab is the last in order. */
  takeName() {
    this.tab = `${Date.now().toString(36)}-${newKey()}`;
    stored((store) => store.setItem("tab", this.tab), SESSION);
  }

  /** Ask which other tabs are open; each answers with its name. */
  ask() {
    this.channel.postMessage({ asks: true, tab: this.tab });
  }

  hear({ asks, tab }) {
    if (asks) {
      this.isCopied ||= tab === this.tab; // the copy does not know yet that it is one
      this.channel.postMessage({ tab: this.tab });
    } else if (tab === this.tab) this.takeName(); // this one was made as a copy of that one
    else this.open.add(tab);
  }

  /** What this tab keeps for a chat (null for a new one) or a message, or null. */
  read(kind, id) {
    return stored((store) => store.getItem(nameOf(kind, id, this.tab)));
  }

  readJson(kind, id) {
    return stored(() => JSON.parse(this.read(kind, id)));
  }

  /** Keep a text for a chat or a message; none when it is empty. */
  write(kind, id, text) {
    const name = nameOf(kind, id, this.tab);
    stored((store) => (text ? store.setItem(name, text) : store.removeItem(name)));
  }

  /** Show what this tab keeps for a chat, and show(true) once more when something of a closed tab was found. */
  async restore(id, show) {
    const taking = this.takeOver(id);
    show(false);
    if (await taking) show(true);
  }

  /** Take the changes of these messages that closed tabs left; whether there were some. */
  async restoreEdits(ids) {
    const left = new Set(names().filter(([kind]) => kind === EDIT).map(([, id]) => id));
    const found = [];
    for (const id of ids) if (left.has(id) && !this.hasSome(id, [EDIT])) found.push(await this.takeOver(id, [EDIT]));
    return found.includes(true);
  }

  /** Where this tab keeps nothing for a chat, take what the newest tab left that is closed; whether there was some. */
  async takeOver(id, kinds = KINDS) {
    const left = this.hasSome(id, kinds) ? [] : tabsWith(id, kinds);
    if (left.some(Boolean)) await this.callRoll();
    const from = left.filter((tab) => !this.open.has(tab)).sort().at(-1);
    if (from === undefined || this.hasSome(id, kinds)) return this.hasSome(id, kinds) && left.length > 0;
    for (const kind of kinds) this.take(kind, id, from);
    return true;
  }

  take(kind, id, from) {
    const name = nameOf(kind, id, from);
    this.write(kind, id, stored((store) => store.getItem(name)));
    stored((store) => store.removeItem(name));
  }

  /** Whether a file that this tab has dropped may be needed by another, or by a message that was not sent. */
  isNeeded(fileId) {
    return this.isCopied || stored((store) => Object.values(store).some((text) => text.includes(fileId)));
  }

  hasSome(id, kinds = KINDS) {
    return kinds.some((kind) => this.read(kind, id) !== null);
  }

  /** Find out which other tabs are open. */
  callRoll() {
    this.roll ??= new Promise((done) => {
      this.open.clear();
      this.ask();
      setTimeout(() => { this.roll = null; done(); }, ANSWER_MS);
    });
    return this.roll;
  }
}

/** Earlier versions knew no tabs: theirs has no name. */
function nameOf(kind, id, tab) {
  return [kind, id ?? "new", ...(tab ? [tab] : [])].join(":");
}

/** The tabs that keep something of these kinds for a chat or a message. */
function tabsWith(id, kinds) {
  const found = names().filter(([kind, of]) => kinds.includes(kind) && of === (id ?? "new"));
  return [...new Set(found.map(([, , tab = ""]) => tab))];
}

/** What the browser keeps, each name as [kind, id, tab]. */
function names() {
  return stored((store) => Object.keys(store).map((name) => name.split(":"))) ?? [];
}
