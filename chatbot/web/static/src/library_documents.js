// The documents of a shelf: a list that is found in, opened and deleted from, and grows as far as somebody reads on.
import { ago } from "./amounts.js";
import { iconButton, make } from "./dom.js";
import { keepingFocus } from "./library_parts.js";
import { outside, readable } from "./place.js";
import { button, counted, sentence, short } from "./words.js";

const WAIT_MS = 150;

export class Documents {
  constructor(lib, shelfId) {
    Object.assign(this, { lib, shelfId });
    this.shown = [];
    this.going = new Set(); // ids of what is being deleted here
    this.of = ""; // the shelf's state for which the list was asked
    this.asked = 0;
    this.text = ""; // for which shown was found
    this.field = make("input", { type: "search", id: "documents-filter", autocomplete: "off", placeholder: "Find by title or address", "aria-label": "Find a document" });
    this.field.addEventListener("input", () => {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.load(), WAIT_MS);
    });
    this.said = make("p", { class: "facts", role: "status" });
    this.list = make("ul", { class: "documents", "aria-labelledby": "documents-title" });
    this.more = button("", "Show more", () => this.load(true));
    this.heading = make("h2", { id: "documents-title", tabindex: "-1" }, "Documents");
    this.element = make("section", { hidden: true }, make("div", { class: "row" }, this.heading, this.field), this.said, this.list, this.more);
  }

  /** The shelf is so now: the list is asked for again where it may be another one. */
  draw({ is_own: isOwn, n_documents: n, sources }, isChanged) {
    this.isOwn = isOwn;
    this.element.hidden = !n && !this.field.value;
    const isRunning = sources.some(({ state }) => state === "running");
    if (this.of === String(n) && !(isChanged && !isRunning)) return;
    if (isRunning && this.shown.length >= 50) return; // it grows at its end; asked for when the run is over
    this.of = String(n);
    this.load();
  }

  end() {
    clearTimeout(this.timer);
    this.asked++;
  }

  /** Ask for the list, as far as it was read; isMore: for what follows what is shown. */
  async load(isMore = false) {
    const asked = ++this.asked;
    const text = this.field.value.trim();
    const before = isMore ? this.shown : [];
    const wanted = !isMore && text === this.text ? this.shown.length : 0;
    try {
      const told = await this.ask(text, before, wanted, asked);
      if (asked !== this.asked) return;
      Object.assign(this, { text, shown: told.documents });
      this.show(told, text);
      if (isMore) this.list.children[before.length]?.querySelector("a")?.focus();
    } catch (failure) {
      if (asked === this.asked) this.said.textContent = sentence(failure.message);
    }
  }

  /** What the server tells of the list, with the documents that follow those of before: so many as wanted, or one lot. */
  async ask(text, before, wanted, asked) {
    const after = before.at(-1)?.uri;
    const told = await this.lib.link.call("shelf", { shelf_id: this.shelfId, ...(text && { text }), ...(after && { after }) });
    const documents = [...before, ...told.documents];
    const isEnough = !told.more || documents.length >= wanted || asked !== this.asked;
    return isEnough ? { ...told, documents } : this.ask(text, documents, wanted, asked);
  }

  show({ n_documents: n, more }, text) {
    const found = text ? (n ? `${counted(n, "document")} found` : `No title or address has “${text}”.`) : "";
    if (this.said.textContent !== found) this.said.textContent = found;
    this.more.hidden = !more;
    keepingFocus(this.list, () => this.list.replaceChildren(...this.shown.map((each) => this.row(each))), this.heading);
  }

  row(document) {
    const { id, title, uri, link, kind, n_chars: nChars, n_chunks: nChunks, added_at: at } = document;
    const facts = [kind, `${short(nChars)} characters`, counted(nChunks, "passage"), at && `added ${ago(at)}`].filter(Boolean).join(" · ");
    const name = make("a", { href: `/library/document/${id}`, "data-key": `document-${id}` }, title || uri);
    const out = outside(link);
    const original = out ? [make("a", { class: "facts", href: out, target: "_blank", rel: "noopener noreferrer", "aria-label": `Original of ${title}` }, "original")] : [];
    const words = make("div", { class: "words" }, name, make("span", { class: "facts" }, facts, ...original.flatMap((each) => [" · ", each])), make("span", { class: "facts uri" }, readable(uri)));
    const drop = iconButton("close", `Delete ${title || uri}`, { class: "quiet icon-only", onclick: () => this.remove(document) });
    const row = make("li", {}, words, ...(this.isOwn ? [drop] : []));
    row.addEventListener("keydown", (event) => {
      if (event.key !== "Delete" || !this.isOwn) return;
      event.preventDefault();
      this.remove(document);
    });
    return row;
  }

  /** Delete a document with a way back. Further ones join the same offer. */
  async remove(document) {
    if (this.going.has(document.id)) return; // pressed twice
    this.going.add(document.id);
    const isDone = await this.lib.call("document_delete", { document_ids: [document.id] });
    this.going.delete(document.id);
    if (!isDone) return;
    this.drop(document.id);
    this.lib.toast.offer({
      of: this,
      items: [document],
      words: (all) => (all.length === 1 ? `“${all[0].title || all[0].uri}” was taken off the shelf.` : `${all.length} documents were taken off the shelf.`),
      back: (all) => this.restore(all),
    });
    this.of = "";
    this.lib.refreshSoon();
  }

  /** A document is not there any more: the next one has the focus. */
  drop(id) {
    const at = this.shown.findIndex((each) => each.id === id);
    if (at < 0) return; // the list was asked for again meanwhile
    const row = this.list.children[at];
    const hadFocus = row.contains(document.activeElement);
    this.shown.splice(at, 1);
    row.remove();
    if (hadFocus) (this.list.children[Math.min(at, this.shown.length - 1)]?.querySelector("a") ?? this.heading).focus();
  }

  /** Bring deleted documents back; false when the server did not. */
  async restore(deleted) {
    const ids = deleted.map(({ id }) => id);
    if (!(await this.lib.call("document_restore", { document_ids: ids }))) return false;
    this.lib.toast.say(ids.length === 1 ? "The document is back." : `${ids.length} documents are back.`);
    this.of = "";
    this.lib.refresh(true);
    return true;
  }
}
