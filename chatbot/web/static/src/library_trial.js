// Try a search: what the documents give for a question, how well it fits, and from where on it would be too little.
import { make } from "./dom.js";
import { addressOf, beginning, placeOf } from "./place.js";
import { sentence } from "./words.js";

const MOST_CHARS = 360;

export class Trial {
  /** wanted() -> the ids of the shelves that are searched; isOne: it is always the same one. */
  constructor(lib, wanted, isOne = false) {
    Object.assign(this, { lib, wanted, isOne });
    this.field = make("input", { type: "search", id: "trial", autocomplete: "off", enterkeyhint: "search", placeholder: "A question, as you would ask it" });
    this.said = make("p", { class: "facts", role: "status" });
    this.list = make("ol", { class: "passages", "aria-label": "Passages" });
    this.asked = 0;
    const form = make("form", { role: "search", class: "line" }, make("label", { for: "trial" }, "Try a search"),
      make("div", { class: "row" }, this.field, make("button", { type: "submit" }, "Search")));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.run(this.field.value);
    });
    this.field.addEventListener("input", () => { if (!this.field.value) this.run(""); });
    this.element = make("div", { class: "trial" }, form, this.said, this.list);
  }

  /** Look for a question and show what is found. */
  async run(text) {
    this.field.value = text;
    const asked = ++this.asked;
    if (!text.trim()) return this.show([], "");
    this.said.textContent = "Looking…";
    try {
      const found = await this.lib.link.call("find", { text, shelf_ids: this.wanted() }, 30000);
      if (asked === this.asked) this.show(this.rows(found), wordsOf(found));
    } catch (failure) {
      if (asked === this.asked) this.show([], sentence(failure.message));
    }
    return undefined;
  }

  show(rows, said) {
    this.said.textContent = said;
    this.list.replaceChildren(...rows);
  }

  /** The passages, and the line below which an answer would not be tried. */
  rows({ passages, min_score: least }) {
    const most = Math.max(1, least, ...passages.map(({ score }) => score));
    const nEnough = passages.filter((each) => each.is_enough).length;
    const line = make("li", { class: "gate" }, `Less than ${figure(least)} is too little for an answer`);
    const rows = passages.map((passage) => passageRow(passage, most, this.isOne));
    if (passages.length) rows.splice(nEnough, 0, line);
    return rows;
  }
}

function wordsOf({ passages, took_ms: ms, notice }) {
  return [fitOf(passages, ms), notice].filter(Boolean).join(" ");
}

function fitOf(passages, ms) {
  const n = passages.filter((each) => each.is_enough).length;
  const took = `${Math.max(1, Math.round(ms)).toLocaleString()} ms`;
  if (!passages.length) return "Nothing on the shelf has anything of it.";
  if (!n) return `Too little: to this question the answer would be “No answer was found in your documents”. ${took}.`;
  return `${n === 1 ? "One passage fits" : `${n} passages fit`} well enough to answer from. ${took}.`;
}

function passageRow(passage, most, isOne) {
  const { score, cosine, words, is_enough: isEnough } = passage;
  const fill = make("span");
  fill.style.inlineSize = `${Math.max(2, Math.round((100 * score) / most))}%`;
  const made = [cosine !== null && cosine !== undefined && `by meaning ${figure(cosine)}`, words ? `by words ${figure(words)}` : ""].filter(Boolean).join(", ");
  const told = `Fits ${figure(score)}${made ? `: ${made}` : ""}`;
  return make("li", { class: isEnough ? "" : "too-little" },
    make("div", { class: "score", title: told }, make("span", { class: "value" }, figure(score)), make("span", { class: "meter", "aria-hidden": "true" }, fill)),
    make("div", { class: "words" }, make("a", { href: addressOf(passage) }, placeOf(passage)),
      make("span", { class: "facts" }, [!isOne && passage.shelf, made].filter(Boolean).join(" · ")),
      make("p", {}, beginning(passage, MOST_CHARS))));
}

function figure(n) {
  return n.toFixed(2);
}
