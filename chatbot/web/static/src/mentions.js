// What a # in a message means: a list of shelves, documents and files whose names begin so, walked with the arrow keys.
// Fetched when the first # is typed.
import { make } from "./dom.js";
import { written } from "./named.js";

const WAIT_MS = 80;
const BEGUN = /(?:^|\s)#(?:"([^"\n]{0,80})|([^\s"#]{0,80}))$/;
const KINDS = { shelf: "Shelf", document: "Document", file: "File of this chat" };

export class Mentions {
  /** input: the field; beside: the list of commands, where this one stands too. parts: link, conversation,
   *  tell(text) says something to a screen reader, changed() after a name was written. */
  constructor(input, beside, parts) {
    Object.assign(this, parts);
    this.input = input;
    this.list = make("ul", { id: "mentions", role: "listbox", tabindex: "0", "aria-label": "Shelves, documents and files", hidden: true });
    beside.after(this.list);
    this.controls = input.getAttribute("aria-controls");
    this.found = [];
    this.at = 0;
    this.asked = 0;
    this.closedAt = null; // the text at which Escape closed the list
    input.addEventListener("blur", () => this.close());
    input.addEventListener("click", () => this.look());
    this.list.addEventListener("pointerdown", (event) => event.preventDefault()); // the field keeps the focus
  }

  get isOpen() {
    return !this.list.hidden;
  }

  /** What is being written after the last #, or null. */
  get begun() {
    const { value, selectionStart: at, selectionEnd: end } = this.input;
    const found = at === end && BEGUN.exec(value.slice(0, at));
    if (!found) return null;
    const text = found[1] ?? found[2];
    return /^https?:/i.test(text) ? null : { text, from: at - text.length - (found[1] === undefined ? 1 : 2), to: at };
  }

  /** The text has changed: show what the name may become. */
  look() {
    const { begun } = this;
    clearTimeout(this.timer);
    const asked = ++this.asked;
    if (!begun || this.input.value === this.closedAt) return this.close();
    this.closedAt = null;
    this.timer = setTimeout(() => this.ask(begun.text, asked), WAIT_MS);
    return undefined;
  }

  async ask(text, asked) {
    const { names } = await this.link.call("mentions", { text, chat_id: this.conversation.id }).catch(() => ({ names: [] }));
    if (asked !== this.asked || document.activeElement !== this.input) return;
    this.found = names;
    this.at = 0;
    if (!names.length) return this.close();
    this.draw();
    this.tell(`${names.length} to choose from: ${spoken(names[0])}`);
    return undefined;
  }

  draw() {
    const rows = this.found.map((each, at) => {
      const row = make("li", { role: "option", id: `mention-${at}`, "aria-selected": String(at === this.at) },
        make("span", { class: "name" }, each.name), make("span", { class: "help" }, kindOf(each)));
      row.addEventListener("click", () => this.choose(each));
      return row;
    });
    this.list.replaceChildren(...rows);
    this.list.hidden = false;
    this.input.setAttribute("aria-controls", "mentions");
    this.input.setAttribute("aria-activedescendant", `mention-${this.at}`);
    rows[this.at].scrollIntoView({ block: "nearest" });
  }

  /** A key in the field; true when it was meant for the list. */
  press(event) {
    if (!this.isOpen || event.shiftKey || event.ctrlKey || event.metaKey || event.altKey) return false;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      this.at = (this.at + step + this.found.length) % this.found.length;
      this.draw();
      this.tell(spoken(this.found[this.at]));
    } else if (event.key === "Enter" || event.key === "Tab") this.choose(this.found[this.at]);
    else if (event.key === "Escape") {
      this.closedAt = this.input.value;
      this.close();
    } else return false;
    event.preventDefault();
    event.stopPropagation();
    return true;
  }

  /** Write a name in place of what was begun. */
  choose({ name }) {
    const { begun } = this;
    this.close();
    if (!begun) return;
    const { value } = this.input;
    const rest = value.slice(begun.to);
    this.input.setRangeText(`${written(name)}${/^\s/.test(rest) ? "" : " "}`, begun.from, begun.to, "end");
    this.asked++; // what is still on its way is not wanted any more
    this.input.dispatchEvent(new Event("input", { bubbles: true }));
    this.changed();
    this.tell(`${name} is asked.`);
  }

  close() {
    this.asked++;
    if (!this.isOpen) return;
    this.list.hidden = true;
    this.input.setAttribute("aria-controls", this.controls);
    this.input.removeAttribute("aria-activedescendant");
  }
}

function kindOf({ kind, shelf }) {
  return kind === "document" && shelf ? `Document in ${shelf}` : KINDS[kind] ?? kind;
}

function spoken(entry) {
  return `${entry.name}, ${kindOf(entry)}`;
}
