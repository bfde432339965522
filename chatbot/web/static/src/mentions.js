// What a # in a message means: a list of shelves, documents and files whose names begin so, walked with the arrow keys.
// Fetched when the first # is typed.
import { make } from "./dom.js";
import { Listbox } from "./listbox.js";
import { written } from "./named.js";

const WAIT_MS = 80;
const BEGUN = /(?:^|\s)#(?:"([^"\n]{0,80})|([^\s"#]{0,80}))$/;
const KINDS = { shelf: "Shelf", document: "Document", file: "File of this chat" };

export class Mentions extends Listbox {
  /** input: the field; beside: the list of commands, where this one stands too. parts: link, conversation,
   *  tell(text) says something to a screen reader, changed() after a name was written. */
  constructor(input, beside, { link, conversation, tell, changed }) {
    super(input, make("ul", { id: "mentions", role: "listbox", tabindex: "0", "aria-label": "Shelves, documents and files", hidden: true }), tell);
    Object.assign(this, { link, conversation, changed });
    beside.after(this.list);
    this.asked = 0;
    input.addEventListener("click", () => this.look());
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
    if (this.isLeft() || !begun) this.close();
    else this.timer = setTimeout(() => this.ask(begun.text, asked), WAIT_MS);
  }

  async ask(text, asked) {
    const { names } = await this.link.call("mentions", { text, chat_id: this.conversation.id }).catch(() => ({ names: [] }));
    if (asked === this.asked && document.activeElement === this.input) this.show(names);
  }

  helpOf({ kind, shelf }) {
    return kind === "document" && shelf ? `Document in ${shelf}` : KINDS[kind] ?? kind;
  }

  /** Write a name in place of what was begun. */
  choose({ name }) {
    const { begun } = this;
    this.close();
    if (!begun) return;
    const { value } = this.input;
    const rest = value.slice(begun.to);
    this.input.setRangeText(`${written(name)}${/^\s/.test(rest) ? "" : " "}`, begun.from, begun.to, "end");
    this.keepClosed(this.input.value); // the name stands behind its # still, where a space was there already
    this.input.dispatchEvent(new Event("input", { bubbles: true }));
    this.changed();
    this.tell(`${name} is asked.`);
  }

  close() {
    this.asked++; // what is still on its way is not wanted any more
    super.close();
  }
}
