// One shelf: what it is made of, what goes on, its documents, and what can be done with it.
import { Documents } from "./library_documents.js";
import { head, moreButton } from "./library_parts.js";
import { askForShelf, showEmbedding, whose } from "./library_shelves.js";
import { Sources } from "./library_sources.js";
import { Trial } from "./library_trial.js";
import { make } from "./dom.js";
import { written } from "./named.js";
import { button, counted } from "./words.js";

export class ShelfView {
  /** question: what is to be looked for at once. */
  constructor(lib, id, question) {
    Object.assign(this, { lib, id, question });
    this.asking = button("main-way", "Ask this shelf", () => this.ask());
    this.more = moreButton(lib, "Actions for this shelf", "shelf-more", () => this.choices());
    const top = head({ crumb: make("a", { href: "/library" }, "← Library"), title: "…", ways: [this.asking, this.more] });
    this.heading = top.heading;
    this.facts = make("p", { class: "facts" });
    this.notice = make("p", { class: "notice", role: "status", hidden: true });
    this.trial = new Trial(lib, () => [id], true);
    this.add = lib.addTo(id);
    this.sources = new Sources(lib);
    this.documents = new Documents(lib, id);
    this.parts = make("div", { hidden: true }, this.facts, this.notice, this.add.element, this.sources.element, this.trial.element, this.documents.element);
    this.problem = make("p", { class: "problem", role: "alert", hidden: true });
    this.element = make("div", {}, top.element, this.problem, this.parts);
  }

  get shelf() {
    return this.lib.shelf(this.id);
  }

  begin() {
    this.heading.focus({ preventScroll: true });
  }

  end() {
    this.documents.end();
  }

  fail(text) {
    this.problem.textContent = text;
    this.problem.hidden = false;
  }

  draw({ embedding, may_read_disk: mayReadDisk }, isChanged) {
    const { shelf } = this;
    this.parts.hidden = !shelf;
    this.asking.hidden = !shelf?.n_documents;
    this.more.hidden = !shelf?.is_own;
    this.problem.hidden = true;
    if (!shelf) {
      this.heading.textContent = "Library";
      this.fail("There is no such shelf: it was deleted, or is another person's.");
      return;
    }
    const { name, is_own: isOwn, sources, n_documents: nDocuments, n_chunks: nChunks } = shelf;
    this.heading.textContent = name;
    this.lib.title(name);
    this.facts.textContent = [whose(shelf), counted(nDocuments, "document"), counted(nChunks, "passage")].join(" · ");
    showEmbedding(this.notice, embedding);
    this.add.draw({ isOwn, mayReadDisk, isEmpty: !nDocuments && !sources.length });
    this.sources.draw(sources, isOwn, this.heading);
    this.trial.element.hidden = !nDocuments;
    this.documents.draw(shelf, isChanged);
    if (this.question && nDocuments) this.trial.run(this.question);
    this.question = null;
  }

  /** Into the conversation, with the name of this shelf written. */
  ask() {
    this.lib.page.leave();
    this.lib.page.ask(`${written(this.shelf.name)} `);
  }

  choices() {
    const { is_shared: isShared } = this.shelf;
    const share = { label: isShared ? "Keep it to myself" : "Share with everybody here", run: () => this.change({ is_shared: !isShared }, isShared ? "The shelf is private now." : "Everybody with an account can read the shelf now.") };
    return [
      { label: "Rename", run: () => this.rename() },
      ...(isShared || this.lib.page.hasAccounts() ? [share] : []),
      { label: "Delete", run: () => this.remove(), danger: true, line: true },
    ];
  }

  /** Change it with a way back; false when the server did not. */
  async change(fields, said) {
    const before = { is_shared: this.shelf?.is_shared };
    if (!(await this.lib.call("shelf_change", { shelf_id: this.id, ...fields }))) return false;
    await this.lib.refresh();
    this.lib.toast.offer({ words: () => said, back: () => this.change(before, "The shelf is as it was.") });
    return true;
  }

  rename() {
    const before = this.shelf.name;
    askForShelf(this.lib, "Rename the shelf", "Rename", this.shelf, async (fields) => {
      await this.lib.link.call("shelf_change", { shelf_id: this.id, ...fields });
      await this.lib.refresh();
      if (fields.name === before) return;
      this.lib.offer(`“${before}” is called “${fields.name}” now.`, "shelf_change", { shelf_id: this.id, name: before });
    });
  }

  /** Delete the shelf, with a way back. */
  async remove() {
    const { lib, id, shelf: { name } } = this;
    if (!(await lib.call("shelf_delete", { shelf_id: id }))) return;
    lib.offer(`“${name}” was deleted.`, "shelf_restore", { shelf_id: id }, "The shelf is back.");
    if (lib.view === this) lib.page.go("/library");
  }

  /** Files were dropped. */
  take(items) {
    if (this.shelf?.is_own) this.add.take(items);
    else this.lib.toast.say("Only its owner can put something on this shelf.");
  }
}
