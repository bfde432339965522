// The list of shelves: what there is, what goes on, a new one, a search over all.
import { askFor, field, tick } from "./confirm.js";
import { make } from "./dom.js";
import { head, keepingFocus, progressBar, progressWords } from "./library_parts.js";
import { Trial } from "./library_trial.js";
import { redraw } from "./redraw.js";
import { button, counted, sentence } from "./words.js";

export class ShelvesView {
  /** question: what is to be looked for at once; names: on which shelves, with commas between them. */
  constructor(lib, question, names) {
    Object.assign(this, { lib, question, names });
    this.way = button("main-way", "New shelf", () => this.add());
    this.way.hidden = true;
    const top = head({ crumb: null, title: "Library", ways: [this.way] });
    this.heading = top.heading;
    this.notice = make("p", { class: "notice", role: "status", hidden: true });
    this.trial = new Trial(lib, () => this.wanted());
    this.trial.element.hidden = true; // until it is known what there is
    this.list = make("div");
    this.element = make("div", {}, top.element,
      make("p", { class: "lead" }, "Documents that answers can come from. Write # and the name of a shelf in a message, or choose shelves in the options of a chat."),
      this.notice, this.list, this.trial.element);
  }

  begin() {
    this.lib.title("Library");
    this.heading.focus({ preventScroll: true });
  }

  fail(text) {
    this.list.replaceChildren(make("p", { class: "problem", role: "alert" }, text));
  }

  /** The shelves that are searched: those that were named, else all. */
  wanted() {
    const { shelves } = this.lib.known;
    const named = (this.names ?? "").toLowerCase().split(",").map((name) => name.trim()).filter(Boolean);
    const found = shelves.filter(({ called }) => named.includes(called.toLowerCase()));
    return (found.length ? found : shelves).map(({ id }) => id);
  }

  draw({ shelves, embedding }) {
    showEmbedding(this.notice, embedding);
    this.way.hidden = !shelves.length;
    this.trial.element.hidden = !shelves.some(({ n_documents: n }) => n);
    keepingFocus(this.list, () => redraw(this.list, shelves, () => (shelves.length ? [this.rows(shelves)] : [this.empty()])), this.heading);
    if (this.question) this.trial.run(this.question);
    this.question = null;
  }

  rows(shelves) {
    return make("ul", { class: "shelves", "aria-label": "Shelves" }, ...shelves.map((shelf) => rowOf(shelf)));
  }

  empty() {
    return make("div", { class: "nothing" }, make("h2", {}, "No shelves yet"),
      make("p", {}, "A shelf holds what you want to ask about: files, a folder, pages of the web, a whole site, a git repository. Answers then say where they come from."),
      button("main-way", "Make the first shelf", () => this.add()));
  }

  add() {
    askForShelf(this.lib, "New shelf", "Make it", {}, async (fields) => {
      const { shelf } = await this.lib.link.call("shelf_add", fields);
      this.lib.page.go(`/library/${shelf.id}`);
    });
  }

  /** Files that are dropped here need a shelf first. */
  take() {
    this.lib.toast.say("Open a shelf first: files are dropped on the page of a shelf.");
  }
}

/** Ask for the name of a shelf, and where there are accounts for whether others may read it. */
export function askForShelf(lib, title, verb, { name = "", is_shared: isShared = false }, act) {
  const shared = tick("Everybody who has an account here may read it", { name: "is_shared", checked: isShared });
  const fields = [field("Name", { id: "shelf-name", name: "name", required: true, maxlength: "80", value: name }, "Short is good: you will write it as #name.")];
  if (lib.page.hasAccounts()) fields.push(shared);
  return askFor({ title, verb, fields, act: ({ elements }) => act({ name: elements.name.value.trim(), is_shared: Boolean(elements.is_shared?.checked) }) });
}

/** Say who makes embeddings where nobody does, or how many are still to be made. */
export function showEmbedding(place, { notice, n_done: n, n_all: all }) {
  const isFilling = !notice && n < all;
  place.textContent = notice ? sentence(notice) : (isFilling ? `Passages are being made ready for search by meaning: ${n.toLocaleString()} of ${all.toLocaleString()}. Search by words works already.` : "");
  place.hidden = !place.textContent;
}

/** Whose a shelf is, in words. */
export function whose({ is_own: isOwn, is_shared: isShared, owner }) {
  if (!isOwn) return owner ? `shared by ${owner}` : "shared";
  return isShared ? "shared" : "private";
}

function rowOf(shelf) {
  const running = shelf.sources.find(({ state }) => state === "running");
  const failed = shelf.sources.filter(({ state }) => state === "failed").length;
  const facts = [whose(shelf), counted(shelf.n_documents, "document"), counted(shelf.n_chunks, "passage")].join(" · ");
  const state = running ? [make("span", { class: "state" }, progressWords(running)), progressBar(running, `${shelf.name}: how far it is read`)]
    : failed ? [make("span", { class: "state failed" }, `${counted(failed, "source")} could not be read`)] : [];
  const link = make("a", { href: `/library/${shelf.id}`, "data-key": `shelf-${shelf.id}` }, shelf.name);
  return make("li", {}, make("div", { class: "words" }, link, make("span", { class: "facts" }, facts)), make("div", { class: "now" }, ...state));
}
