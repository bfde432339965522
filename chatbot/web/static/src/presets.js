// Named sets of options: one is chosen, kept or forgotten at the head of the options panel.
import { same } from "./choice.js";
import { offer } from "./controls.js";
import { make } from "./dom.js";
import { UndoLine } from "./undo_line.js";
import { button, sentence } from "./words.js";

export class Presets {
  /** take: chooses a preset's options; save: keeps options under a name, or forgets the name (null); throws Failure. */
  constructor({ take, save }) {
    this.save = save;
    this.known = [];
    this.chosen = {};
    this.field = make("select", { id: "preset" });
    this.field.addEventListener("change", () => take(this.known.find(({ name }) => name === this.field.value)?.options ?? {}));
    this.name = make("input", { id: "preset-name", type: "text", placeholder: "Name", "aria-label": "Name of a new preset", maxlength: "60" });
    this.forget = button("quiet", "Delete preset", () => this.keep(this.field.value, null));
    this.problem = make("p", { class: "problem", role: "alert" });
    const form = make("form", { class: "keep", onsubmit: (event) => {
      event.preventDefault();
      if (this.name.value.trim()) this.keep(this.name.value.trim(), this.chosen);
    } }, this.name, make("button", { type: "submit", class: "quiet" }, "Save preset"));
    this.line = new UndoLine();
    const head = make("div", { class: "head" }, make("label", { for: "preset" }, "Preset"), this.forget);
    this.element = make("div", { class: "control presets" }, head, this.field, form, this.line.element, this.problem);
  }

  update(presets, chosen) {
    Object.assign(this, { known: presets, chosen });
    const now = presets.find(({ options }) => same(options, chosen))?.name ?? "";
    const none = Object.keys(chosen).length ? "own choice" : "defaults";
    offer(this.field, [["", none], ...presets.map(({ name }) => [name, name])]);
    this.field.value = now;
    this.forget.hidden = !now;
    this.forget.setAttribute("aria-label", `Delete preset ${now}`);
  }

  async keep(name, options) {
    const before = this.known.find((each) => each.name === name)?.options;
    this.problem.textContent = "";
    this.line.hide();
    try {
      await this.save(name, options);
      this.name.value = "";
      this.field.focus();
      if (before && !(options && same(before, options))) this.line.show(name, options === null, () => this.putBack(name, before));
    } catch (failure) {
      this.problem.textContent = sentence(failure.message);
    }
  }

  async putBack(name, options) {
    await this.keep(name, options);
    if (!this.problem.textContent) this.line.hide(); // one way back is enough
  }
}
