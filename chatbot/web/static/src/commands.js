// What a slash at the beginning of a message means: a list of commands and saved prompts, walked with the arrow keys.
import { Listbox } from "./listbox.js";

const MOST_SHOWN = 40;

export class CommandList extends Listbox {
  /** run: does a command at once; write: puts a text into the field; tell: says something to a screen reader. */
  constructor(input, list, { run, write, tell }) {
    super(input, list, tell);
    Object.assign(this, { run, write });
    this.commands = []; // that may be used here
    this.all = [];
    this.prompts = [];
    this.known = new Promise((resolve) => { this.nowKnown = resolve; }); // the server has told its commands
  }

  /** Take what the server knows. */
  learn({ commands, prompts }) {
    this.all = commands;
    this.commands = commands.filter(({ refusal }) => !refusal);
    this.prompts = prompts;
    this.nowKnown();
    this.look(); // a slash may stand there already
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

  /** The text has changed: show what it may begin. */
  look() {
    const text = this.input.value;
    const isBegun = /^\/[^\n]*$/.test(text) && !this.isArgued(text) && document.activeElement === this.input;
    if (this.isLeft() || !isBegun) {
      this.close();
      return;
    }
    const typed = text.slice(1).toLowerCase();
    const commands = this.commands.filter(({ name }) => name.startsWith(typed));
    const prompts = this.prompts.filter(({ name }) => name.toLowerCase().startsWith(typed));
    this.show([...commands, ...prompts].slice(0, MOST_SHOWN));
  }

  /** Whether what follows a command is being typed. */
  isArgued(text) {
    const [word, ...rest] = text.slice(1).toLowerCase().split(" ");
    return rest.length > 0 && this.commands.some(({ name }) => name === word);
  }

  labelOf({ name, args, text }) {
    return text === undefined ? `/${name} ${args ?? ""}`.trim() : name;
  }

  helpOf({ help, text }) {
    return help ?? text;
  }

  /** Take an entry: a prompt's text is written, a command is done, or completed where something is to follow. */
  choose(entry, mayRun) {
    this.close();
    if (entry.text !== undefined) this.write(entry.text);
    else if (mayRun && !needsMore(entry)) this.run(`/${entry.name}`);
    else this.write(`/${entry.name} `);
  }
}

/** Whether a command does nothing without what follows it; what may be left out stands in brackets. */
function needsMore({ args }) {
  return Boolean(args) && !args.startsWith("[");
}
