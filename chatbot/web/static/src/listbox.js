// A list under the message box, walked with the arrow keys while the box keeps the focus.
import { make } from "./dom.js";

export class Listbox {
  /** tell: says something to a screen reader. Who extends it has choose(entry, isEnter), helpOf(entry), and look(), called
   *  when the text has changed. */
  constructor(input, list, tell) {
    Object.assign(this, { input, list, tell });
    this.controls = input.getAttribute("aria-controls");
    this.found = [];
    this.at = 0;
    this.closedAt = null; // the text at which Escape closed the list
    input.addEventListener("blur", () => this.close());
    list.addEventListener("pointerdown", (event) => event.preventDefault()); // the box keeps the focus
  }

  get isOpen() {
    return !this.list.hidden;
  }

  /** Whether Escape closed the list at this text. Asked at every change, as the same text may be typed anew. */
  isLeft() {
    if (this.input.value !== this.closedAt) this.closedAt = null;
    return this.closedAt !== null;
  }

  show(found) {
    this.found = found;
    this.at = 0;
    if (!found.length) {
      this.close();
      return;
    }
    this.draw();
    this.tell(`${found.length} to choose from: ${this.spoken}`);
  }

  labelOf({ name }) {
    return name;
  }

  /** The entry that Enter takes, as a screen reader says it. */
  get spoken() {
    const entry = this.found[this.at];
    return `${entry.name}, ${this.helpOf(entry)}`;
  }

  draw() {
    const idOf = (at) => `${this.list.id}-${at}`;
    const rows = this.found.map((entry, at) => {
      const row = make("li", { role: "option", id: idOf(at), "aria-selected": String(at === this.at) },
        make("span", { class: "name" }, this.labelOf(entry)), make("span", { class: "help" }, this.helpOf(entry)));
      row.addEventListener("click", () => this.choose(entry, true));
      return row;
    });
    this.list.replaceChildren(...rows);
    this.list.hidden = false;
    this.input.setAttribute("aria-controls", this.list.id);
    this.input.setAttribute("aria-activedescendant", idOf(this.at));
    rows[this.at].scrollIntoView({ block: "nearest" });
  }

  /** A key in the box; true when it was meant for the list. */
  press(event) {
    if (!this.isOpen || event.shiftKey || event.ctrlKey || event.metaKey || event.altKey) return false;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      this.at = (this.at + step + this.found.length) % this.found.length;
      this.draw();
      this.tell(this.spoken);
    } else if (event.key === "Enter" || event.key === "Tab") this.choose(this.found[this.at], event.key === "Enter");
    else if (event.key === "Escape") {
      this.keepClosed(this.input.value);
      this.close();
    } else return false;
    event.preventDefault();
    event.stopPropagation();
    return true;
  }

  /** Do not offer anything for this text, until it changes. */
  keepClosed(text) {
    this.closedAt = text;
  }

  close() {
    if (!this.isOpen) return;
    this.list.hidden = true;
    this.input.setAttribute("aria-controls", this.controls);
    this.input.removeAttribute("aria-activedescendant");
  }
}
