// Saved prompts: texts that a message often begins with, chosen by a slash; kept and forgotten in the options panel.
import { make } from "./dom.js";
import { UndoLine } from "./undo_line.js";
import { button, sentence } from "./words.js";

export class Prompts {
  /** save: keeps a text under a name, or forgets the name (null); throws Failure. */
  constructor(save) {
    this.save = save;
    this.known = [];
    this.line = new UndoLine();
    this.list = make("ul");
    this.problem = make("p", { class: "problem", role: "alert" });
    const name = make("input", { id: "prompt-name", type: "text", placeholder: "Name", "aria-label": "Name of a new prompt", maxlength: "60" });
    const text = make("textarea", { id: "prompt-text", rows: "3", placeholder: "Text", "aria-label": "Text of a new prompt" });
    const form = make("form", { class: "keep", onsubmit: async (event) => {
      event.preventDefault();
      if (!name.value.trim() || !text.value.trim() || !(await this.keep(name.value.trim(), text.value))) return;
      name.value = text.value = "";
    } }, name, make("button", { type: "submit", class: "quiet" }, "Save prompt"));
    const help = make("p", { class: "help" }, "Type / in an empty message box to choose one.");
    this.element = make("section", { class: "control prompts" }, make("h3", {}, "Saved prompts"), help, this.list, this.line.element, text, form, this.problem);
    this.name = name;
  }

  update(prompts) {
    const now = JSON.stringify(prompts);
    if (this.shown === now) return;
    this.shown = now;
    this.known = prompts;
    this.list.replaceChildren(...prompts.map(({ name, text }) => make("li", {},
      make("span", { class: "name", title: text }, name),
      button("quiet", "Delete", () => this.forget(name), `Delete prompt ${name}`))));
  }

  async forget(name) {
    await this.keep(name, null);
    this.name.focus();
  }

  async putBack(name, text) {
    if (await this.keep(name, text)) this.line.hide(); // one way back is enough
    this.name.focus();
  }

  /** true when it was done. */
  async keep(name, text) {
    const before = this.known.find((each) => each.name === name)?.text;
    this.problem.textContent = "";
    this.line.hide();
    try {
      await this.save(name, text);
      if (before !== undefined && before !== text) this.line.show(name, text === null, () => this.putBack(name, before));
    } catch (failure) {
      this.problem.textContent = sentence(failure.message);
    }
    return !this.problem.textContent;
  }
}
