// What a slash at the beginning of a message means: a list of commands and saved prompts, walked with the arrow keys.
import { make } from "./dom.js";

const MOST_SHOWN = 40;

export class CommandList {
  /** run: does a command at once; write: puts a text into the field; tell: says something to a screen reader. */
  constructor(input, list, { run, write, tell }) {
    Object.assign(this, { input, list, run, write, tell });
    this.commands = []; // that may be used here
    this.all = [];
    this.prompts = [];
    this.found = [];
    this.at = 0;
    this.known = new Promise((resolve) => { this.nowKnown = resolve; }); // the server has told its commands
    this.closedAt = null; // the text at which Escape closed the list
    input.addEventListener("blur", () => this.close());
    list.addEventListener("pointerdown", (event) => event.preventDefault()); // the field keeps the focus
  }

  /** Take what the server knows. */
  learn({ commands, prompts }) {
    this.all = commands;
    this.commands = commands.filter(({ refusal }) => !refusal);
    this.prompts = prompts;
    this.nowKnown();
  }

  /** The command and its argument, or null for a message, also one that only looks like a command. */
  parse(text) {
    const prompt = this.promptOf(text);
    const [, typed, rest = ""] = /^\/(\S+)(?:\s+([\s\S]*))?$/.exec(text.trimEnd()) ?? [];
    const name = typed?.toLowerCase();
    const command = this.all.find((each) => each.name === name || each.aliases?.includes(name));
    if (!command && prompt) return { prompt };
    if (!command) return /^[a-z]+$/.test(name ?? "") && !rest && this.commands.length ? { name: "", rest: name } : null;
    if (rest && !command.args) return null;
    return { name: command.name, rest: rest.trim(), refusal: command.refusal, lacks: !rest && needsMore(command) ? command : null };
  }

  /** The text of the saved prompt whose name stands behind the slash, with what follows it; undefined for none. */
  promptOf(text) {
    const typed = text.slice(1).trimEnd();
    const has = ({ name }) => `${typed} `.toLowerCase().startsWith(`${name.toLowerCase()} `);
    const found = text.startsWith("/") ? this.prompts.filter(has) : [];
    if (!found.length) return undefined;
    const { name, text: words } = found.reduce((one, other) => (other.name.length > one.name.length ? other : one));
    const rest = typed.slice(name.length).trim();
    return rest && !/\s$/.test(words) ? `${words} ${rest}` : words + rest;
  }

  get isOpen() {
    return !this.list.hidden;
  }

  /** The text has changed: show what it may begin. */
  look() {
    const text = this.input.value;
    if (!/^\/[^\n]*$/.test(text) || this.isArgued(text) || text === this.closedAt || document.activeElement !== this.input) {
      this.close();
      return;
    }
    this.closedAt = null;
    const typed = text.slice(1).toLowerCase();
    const commands = this.commands.filter(({ name }) => name.startsWith(typed));
    const prompts = this.prompts.filter(({ name }) => name.toLowerCase().startsWith(typed));
    this.found = [...commands, ...prompts].slice(0, MOST_SHOWN);
    this.at = 0;
    if (!this.found.length) {
      this.close();
      return;
    }
    this.draw();
    this.tell(`${this.found.length} to choose from: ${this.spoken(this.found[0])}`);
  }

  /** Whether what follows a command is being typed. */
  isArgued(text) {
    const [word, ...rest] = text.slice(1).toLowerCase().split(" ");
    return rest.length > 0 && this.commands.some(({ name }) => name === word);
  }

  draw() {
    const rows = this.found.map((each, at) => {
      const name = make("span", { class: "name" }, each.text === undefined ? `/${each.name} ${each.args ?? ""}`.trim() : each.name);
      const help = make("span", { class: "help" }, each.help ?? each.text);
      const row = make("li", { role: "option", id: `choice-${at}`, "aria-selected": String(at === this.at) }, name, help);
      row.addEventListener("click", () => this.choose(each));
      return row;
    });
    this.list.replaceChildren(...rows);
    this.list.hidden = false;
    this.input.setAttribute("aria-activedescendant", `choice-${this.at}`);
    rows[this.at].scrollIntoView({ block: "nearest" });
  }

  /** A key in the field; true when it was meant for the list. */
  press(event) {
    if (!this.isOpen || event.shiftKey || event.ctrlKey || event.metaKey || event.altKey) return false;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const chosen = this.found[this.at];
    if (step) {
      this.at = (this.at + step + this.found.length) % this.found.length;
      this.draw();
      this.tell(this.spoken(this.found[this.at]));
    } else if (event.key === "Enter") this.choose(chosen);
    else if (event.key === "Tab") this.choose(chosen, false);
    else if (event.key === "Escape") {
      this.closedAt = this.input.value;
      this.close();
    } else return false;
    event.preventDefault();
    event.stopPropagation();
    return true;
  }

  /** Take an entry: a prompt's text is written, a command is done, or completed where something is to follow. */
  choose(entry, mayRun = true) {
    this.close();
    if (entry.text !== undefined) this.write(entry.text);
    else if (mayRun && !needsMore(entry)) this.run(`/${entry.name}`);
    else this.write(`/${entry.name} `);
  }

  /** Do not offer anything for this text: it was there before. */
  keepClosed(text) {
    this.closedAt = text;
  }

  spoken({ name, help, text }) {
    return `${name}, ${help ?? text}`;
  }

  close() {
    this.list.hidden = true;
    this.input.removeAttribute("aria-activedescendant");
  }
}

/** Whether a command does nothing without what follows it; what may be left out stands in brackets. */
function needsMore({ args }) {
  return Boolean(args) && !args.startsWith("[");
}
