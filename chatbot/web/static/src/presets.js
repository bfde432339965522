// Named sets of options: one is chosen, kept or forgotten at the head of the options panel.
import { same } from "./choice.js";
import { offer } from "./controls.js";
import { make } from "./dom.js";
import { UndoLine } from "./undo_line.js";
import { button, sentence } from "./words.js";

const OWN = "\n"; // no preset is called so

export class Presets {
  /** take: chooses a set of options, true when that is done; save: keeps options under a name, or forgets the name (null); throws Failure. */
  constructor({ take, save }) {
    Object.assign(this, { take, save });
    this.known = [];
    this.chosen = {};
    this.field = make("select", { id: "preset" });
    this.field.addEventListener("change", () => this.choose(this.field.value));
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
    this.isOwn = !now && Object.keys(chosen).length > 0;
    const own = this.isOwn ? [[OWN, "own choice"]] : [];
    offer(this.field, [...own, ["", "defaults"], ...presets.map(({ name }) => [name, name])]);
    this.field.value = this.isOwn ? OWN : now;
    this.forget.hidden = !now;
    this.forget.setAttribute("aria-label", `Delete preset ${now}`);
  }

  /** Take a preset, or the defaults (no name); what was a choice of one's own can be had back. */
  async choose(name) {
    if (name === OWN) return;
    const before = this.isOwn ? this.chosen : null;
    if (before) this.line.hide();
    const isDone = await this.take(this.known.find((each) => each.name === name)?.options ?? {});
    if (!before || !isDone) return;
    this.line.tell(`Your own choice was replaced by ${name ? `“${name}”` : "the defaults"}.`, "take your own choice again", () => this.takeAgain(before));
  }

  async takeAgain(options) {
    if (await this.take(options)) this.line.hide();
    this.field.focus();
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
