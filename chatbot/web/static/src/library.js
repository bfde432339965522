// The library over the conversation: which of its views the address asks for, and what the server tells of it. Fetched
// when it is first opened.
import { make } from "./dom.js";
import { AddTo } from "./library_add.js";
import { DocumentView } from "./library_document.js";
import { ShelfView } from "./library_shelf.js";
import { ShelvesView } from "./library_shelves.js";
import { passageAt } from "./place.js";
import { counted, sentence } from "./words.js";

const WAIT_MS = 300; // several changes at once are asked for once
const DOCUMENT = /^\/library\/document\/(\d+)$/;
const SHELF = /^\/library\/(\d+)$/;

export class Library {
  /** page: link, toast, menu, say(text), ask(text), go(address), leave(), hasAccounts(). */
  constructor(holder, page) {
    Object.assign(this, { holder, page, link: page.link, toast: page.toast });
    this.known = null; // what `library` answered last
    this.view = null;
    this.adding = new Map(); // what each shelf is sent from here, whatever is looked at meanwhile
    this.body = make("div", { class: "library" });
    this.link.on("library_changed", () => this.refreshSoon());
    this.link.on("library_run", (run) => this.hear(run));
    this.link.on("connect", () => this.refreshSoon());
    for (const event of ["dragover", "drop", "dragleave"]) {
      page.main.addEventListener(event, (dragged) => this.drag(dragged), { capture: true });
    }
  }

  /** Show what an address asks for. */
  async open({ pathname, search }) {
    const asked = new URLSearchParams(search);
    const [document, shelf] = [DOCUMENT.exec(pathname)?.[1], SHELF.exec(pathname)?.[1]];
    this.close();
    if (document) this.view = new DocumentView(this, Number(document), passageAt(asked));
    else if (shelf) this.view = new ShelfView(this, Number(shelf), asked.get("q"));
    else this.view = new ShelvesView(this, asked.get("q"), asked.get("in"));
    this.body.replaceChildren(this.view.element);
    this.holder.replaceChildren(this.body);
    this.holder.scrollTop = 0;
    this.view.begin();
    if (this.known) this.view.draw(this.known);
    await this.refresh();
  }

  close() {
    this.view?.end?.();
    this.view = null;
  }

  /** The name of what is shown, for the window's title. */
  title(name) {
    document.title = `${name} · Paddock`;
  }

  refreshSoon() {
    clearTimeout(this.timer);
    if (this.view) this.timer = setTimeout(() => this.refresh(true), WAIT_MS);
  }

  /** Ask how the library is now. isChanged: what a view lists may be another one, too. */
  async refresh(isChanged = false) {
    const { view } = this;
    if (!view) return;
    try {
      this.known = await this.link.call("library");
    } catch (failure) {
      if (view === this.view && !this.known) view.fail?.(sentence(failure.message));
      if (failure.code === "no_answer") this.refreshSoon();
      return;
    }
    if (view === this.view) view.draw(this.known, isChanged);
  }

  /** How far a run is, or how it ended. */
  hear({ shelf_id: id, source }) {
    const shelf = this.known?.shelves.find((each) => each.id === id);
    if (!shelf) return;
    const before = shelf.sources.find((each) => each.id === source.id);
    shelf.sources = before ? shelf.sources.map((each) => (each.id === source.id ? source : each)) : [...shelf.sources, source];
    this.view?.draw(this.known);
    if (before?.state !== "running" || source.state === "running") return;
    this.page.say(`${shelf.name}: ${source.problem || `${source.address} is read, ${counted(source.n_documents, "document")}.`}`);
    this.refreshSoon();
  }

  shelf(id) {
    return this.known?.shelves.find((each) => each.id === id);
  }

  /** What adds to a shelf: the same one as long as the page is open. */
  addTo(id) {
    if (!this.adding.has(id)) this.adding.set(id, new AddTo(this, id));
    return this.adding.get(id);
  }

  /** Ask the server; what it refuses is told at the foot of the page. Undefined then. */
  async call(name, body) {
    try {
      return await this.link.call(name, body);
    } catch (failure) {
      this.toast.say(sentence(failure.message));
      return undefined;
    }
  }

  /** Tell what was done, and offer the call that takes it back. said: what is told when it is done. */
  offer(text, name, body, said = "") {
    const back = async () => {
      if (!(await this.call(name, body))) return false;
      if (said) this.toast.say(said);
      this.refresh(true);
      return true;
    };
    this.toast.offer({ words: () => text, back });
  }

  /** While the library is open, what is dropped is for it. */
  drag(event) {
    if (!this.view || !event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    const isOver = event.type === "dragover" || (event.type === "dragleave" && this.page.main.contains(event.relatedTarget));
    this.holder.classList.toggle("target", isOver && Boolean(this.view.take));
    if (event.type === "drop") this.view.take?.([...event.dataTransfer.items].filter(({ kind }) => kind === "file"));
  }
}
