// Several chats at once: which ones are ticked, and the bar that says what to do with them.
import { make } from "./dom.js";

export class Selection {
  /** actions: all() -> ids that are shown, tag(ids), save(ids), remove(ids), changed(). */
  constructor(actions) {
    this.actions = actions;
    this.ids = null; // a Set while several are being selected
    this.said = make("p", { role: "status" });
    const button = (name, run) => make("button", { type: "button", onclick: run }, name);
    this.all = button("All", () => this.tickAll());
    this.works = ["tag", "save", "remove"].map((name, at) => button(["Tag", "Export", "Delete"][at], () => actions[name]([...this.ids])));
    const done = make("button", { type: "button", class: "quiet", onclick: () => this.end() }, "Done");
    this.element = make("div", { class: "selection", role: "group", "aria-label": "Selected chats", hidden: true },
      this.said, done, this.all, ...this.works);
    this.element.addEventListener("keydown", (event) => { if (event.key === "Escape") { event.stopPropagation(); this.end(); } });
  }

  get isOn() {
    return this.ids !== null;
  }

  /** Begin to select, with some ticked already. */
  begin(ids = []) {
    this.ids = new Set(ids);
    this.actions.changed();
    this.all.focus();
  }

  end() {
    this.ids = null;
    this.actions.changed();
  }

  pick(id, isPicked) {
    if (isPicked) this.ids.add(id);
    else this.ids.delete(id);
    this.actions.changed();
  }

  tickAll() {
    const shown = this.actions.all();
    this.ids = new Set(this.ids.size < shown.length ? shown : []);
    this.actions.changed();
  }

  /** Show the bar; chats that are gone or filtered away are selected no more. */
  draw(shown) {
    if (this.isOn) this.ids = new Set(shown.filter((id) => this.ids.has(id)));
    this.element.hidden = !this.isOn;
    const n = this.ids?.size ?? 0;
    this.said.textContent = this.isOn ? `${n} selected` : "";
    for (const work of this.works) work.disabled = !n;
  }
}
