// The field above the chats: finds words in titles and messages while they are typed.
import { isComposing, make } from "./dom.js";
import { sentence } from "./words.js";

const WAIT_MS = 120;

export class Search {
  /** ask(text) -> hits; isShown(hit): whether the filter lets it pass; open(hit); busy(is): a search takes the list's place. */
  constructor({ ask, isShown, open, busy }) {
    Object.assign(this, { ask, isShown, open, busy });
    this.field = make("input", {
      type: "search", id: "search", placeholder: "Search", autocomplete: "off", spellcheck: "false", enterkeyhint: "search",
      role: "combobox", "aria-label": "Search chats", "aria-controls": "hits", "aria-expanded": "false", "aria-autocomplete": "list",
    });
    this.list = make("ul", { id: "hits", role: "listbox", "aria-label": "Found", hidden: true });
    this.said = make("p", { class: "count", role: "status" });
    this.found = []; // {hit, option} of what is shown
    this.at = -1;
    this.asked = 0;
    this.field.addEventListener("input", () => this.change());
    this.field.addEventListener("keydown", (event) => this.press(event));
    this.list.addEventListener("pointerdown", (event) => event.preventDefault()); // the focus stays in the field
    this.list.addEventListener("click", ({ target }) => this.choose(this.found.find(({ option }) => option.contains(target))));
  }

  get text() {
    return this.field.value.trim();
  }

  focus() {
    this.field.focus();
    this.field.select();
  }

  clear() {
    this.field.value = "";
    this.change();
  }

  change() {
    clearTimeout(this.timer);
    if (this.text) this.timer = setTimeout(() => this.run(), WAIT_MS);
    else this.show([], "");
  }

  /** Ask, and show the answer unless something else was asked meanwhile. */
  async run() {
    const asked = ++this.asked;
    const { text } = this;
    if (!text) return;
    try {
      const hits = (await this.ask(text)).filter(this.isShown);
      if (asked === this.asked && text === this.text) this.show(hits, words(hits.length, text));
    } catch (failure) {
      if (asked === this.asked) this.show([], sentence(failure.message));
    }
  }

  show(hits, said) {
    this.asked++; // an answer that is still on its way comes too late
    this.busy(said !== "");
    this.found = hits.map((hit, at) => ({ hit, option: optionOf(hit, at) }));
    this.list.replaceChildren(...this.found.map(({ option }) => option));
    this.list.hidden = !hits.length;
    this.field.setAttribute("aria-expanded", String(hits.length > 0));
    this.said.textContent = said;
    this.go(hits.length ? 0 : -1);
  }

  /** Make one of the hits the one that Enter opens. */
  go(at) {
    this.found[this.at]?.option.setAttribute("aria-selected", "false");
    this.at = at;
    const option = this.found[at]?.option;
    option?.setAttribute("aria-selected", "true");
    option?.scrollIntoView({ block: "nearest" });
    if (option) this.field.setAttribute("aria-activedescendant", option.id);
    else this.field.removeAttribute("aria-activedescendant");
  }

  press(event) {
    if (isComposing(event)) return;
    const n = this.found.length;
    if (event.key === "ArrowDown" && n) this.go((this.at + 1) % n);
    else if (event.key === "ArrowUp" && n) this.go((this.at - 1 + n) % n);
    else if (event.key === "Enter") this.choose(this.found[this.at]);
    else if (event.key === "Escape" && this.field.value) this.clear();
    else return;
    event.preventDefault();
    event.stopPropagation(); // Escape means this field alone
  }

  choose(found) {
    if (found) this.open(found.hit);
  }
}

function words(n, text) {
  return n ? `${n === 1 ? "One place" : `${n} places`} found` : `Nothing found for “${text}”. Try the beginning of a word.`;
}

function optionOf(hit, at) {
  const place = hit.message_id ? [make("span", { class: "title", dir: "auto" }, hit.title), make("span", { class: "snippet", dir: "auto" }, ...marked(hit))]
    : [make("span", { class: "title", dir: "auto" }, ...marked(hit))];
  return make("li", { id: `hit-${at}`, role: "option", "aria-selected": "false" }, ...place);
}

/** The snippet with its match marked. Places are counted in characters, of which JavaScript counts some twice. */
function marked({ snippet, start, end }) {
  const letters = [...snippet];
  const part = (from, to) => letters.slice(from, to).join("");
  if (end <= start) return [snippet];
  return [part(0, start), make("mark", {}, part(start, end)), part(end)];
}
