// What is being written and not sent: text, files, and the options of a new chat. The browser keeps it under the name of
// its tab, so that tabs take nothing from each other; what a tab left that is closed by now goes to the next one.
import { stored } from "./dom.js";
import { newKey } from "./link.js";

const KINDS = ["draft", "files", "options"];
const SESSION = "sessionStorage"; // a tab's own: survives a reload
const ANSWER_MS = 200; // in which every open tab has said that it is there

export class Drafts {
  constructor() {
    this.tab = stored((store) => store.getItem("tab"), SESSION);
    if (!this.tab) this.takeName();
    this.open = new Set(); // the other tabs that have answered
    this.roll = null; // while they are asked
    this.channel = new BroadcastChannel("tabs");
    this.channel.addEventListener("message", ({ data }) => this.hear(data));
    this.channel.postMessage({ asks: true });
  }

  /** Names that begin with the time: the newest tab is the last in order. */
  takeName() {
    this.tab = `${Date.now().toString(36)}-${newKey()}`;
    stored((store) => store.setItem("tab", this.tab), SESSION);
  }

  hear({ asks, tab }) {
    if (asks) this.channel.postMessage({ tab: this.tab });
    else if (tab === this.tab) this.takeName(); // this one was made as a copy of that one
    else this.open.add(tab);
  }

  /** What this tab keeps for a chat (null for a new one), or null. */
  read(kind, id) {
    return stored((store) => store.getItem(nameOf(kind, id, this.tab)));
  }

  readJson(kind, id) {
    return stored(() => JSON.parse(this.read(kind, id)));
  }

  /** Keep a text for a chat; none when it is empty. */
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

  /** Where this tab keeps nothing for a chat, take what the newest tab left that is closed; whether there was some. */
  async takeOver(id) {
    const left = this.hasSome(id) ? [] : tabsWith(id);
    if (left.some(Boolean)) await this.callRoll();
    const from = left.filter((tab) => !this.open.has(tab)).sort().at(-1);
    if (from === undefined || this.hasSome(id)) return this.hasSome(id) && left.length > 0;
    for (const kind of KINDS) this.take(kind, id, from);
    return true;
  }

  take(kind, id, from) {
    const name = nameOf(kind, id, from);
    this.write(kind, id, stored((store) => store.getItem(name)));
    stored((store) => store.removeItem(name));
  }

  hasSome(id) {
    return KINDS.some((kind) => this.read(kind, id) !== null);
  }

  /** Find out which other tabs are open. */
  callRoll() {
    this.roll ??= new Promise((done) => {
      this.open.clear();
      this.channel.postMessage({ asks: true });
      setTimeout(() => { this.roll = null; done(); }, ANSWER_MS);
    });
    return this.roll;
  }
}

/** Earlier versions knew no tabs: theirs has no name. */
function nameOf(kind, id, tab) {
  return [kind, id ?? "new", ...(tab ? [tab] : [])].join(":");
}

/** The tabs that keep something for a chat. */
function tabsWith(id) {
  const split = (store) => Object.keys(store).map((name) => name.split(":"));
  const found = (stored(split) ?? []).filter(([kind, chat]) => KINDS.includes(kind) && chat === (id ?? "new"));
  return [...new Set(found.map(([, , tab = ""]) => tab))];
}
