// A line that says what took the place of something, or was deleted, and offers the way back.
import { make } from "./dom.js";
import { button } from "./words.js";

export class UndoLine {
  constructor() {
    this.text = make("span");
    this.button = button("quiet", "Undo", () => this.undo());
    this.element = make("div", { class: "undo", role: "status" });
    this.hide();
  }

  /** Tell what happened to a name. undo: makes it as it was. */
  show(name, isDeleted, undo) {
    this.tell(`“${name}” was ${isDeleted ? "deleted" : "replaced"}.`, `${isDeleted ? "bring back" : "take again what was"} “${name}”`, undo);
  }

  /** Tell what happened; way: what undo does, in words. */
  tell(text, way, undo) {
    this.undo = undo;
    this.text.textContent = text;
    this.button.setAttribute("aria-label", `Undo: ${way}`);
    this.element.replaceChildren(this.text, this.button);
  }

  hide() {
    this.element.replaceChildren(); // it stays there for those who hear what is put into it
  }
}
