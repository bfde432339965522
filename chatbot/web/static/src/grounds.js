// An answer from the library: the steps of looking, its numbers as footnotes that lead to their passages, the sources
// below it, and what can be done when the documents do not answer. Fetched with the first such answer.
import { CiteCard } from "./cite_card.js";
import { isFinal } from "./conversation.js";
import { citesOf, Places, unlink } from "./cites.js";
import { hide, make } from "./dom.js";
import { addressOf, outside, placeOf, whereOf } from "./place.js";
import { redraw } from "./redraw.js";
import { button, counted } from "./words.js";

const MARK = /\[\d{1,4}(?:\s*[,;]\s*\d{1,4})*\]/g;
const toldOf = new WeakMap(); // footnote -> {source, state}
let card = null;

export class Grounds {
  /** parts of the answer: element, body, stage, foot, renderer. deeds: askWithout. */
  constructor(parts, deeds) {
    Object.assign(this, parts);
    this.deeds = deeds;
    this.numbers = new Set(); // of the passages that there are
    this.steps = make("div", { class: "steps" });
    this.below = make("div", { class: "grounds" });
    this.body.before(this.steps);
    this.foot.before(this.below);
    this.isOpen = null; // whether the person wants the steps open
    card ??= new CiteCard(document.getElementById("messages"), (mark) => toldOf.get(mark));
  }

  /** Know what the answer rests on; true when its text has to be drawn anew: other numbers of it are footnotes now. */
  take({ meta }) {
    const { sources = [], marks = [] } = meta.library;
    const numbers = sources.map(({ n }) => n);
    const places = Places.of(sources, marks);
    if (this.places?.key === places?.key && (places || numbers.every((n) => this.numbers.has(n)))) return false;
    this.numbers = new Set(numbers);
    this.places = places;
    this.renderer.use((text) => (places ? places.put(text) : text), (content) => this.link(content));
    return true;
  }

  /** Make footnotes of the numbers in a block of text: of those that were checked, or else of all outside code. */
  link(content) {
    unlink(content);
    if (this.places) this.places.take(content);
    else citesOf(content, this.numbers);
  }

  draw(now) {
    const { library } = now.meta;
    const isWhole = isFinal(now);
    this.element.classList.toggle("refused", Boolean(library.refused));
    this.dress(library, isWhole);
    redraw(this.steps, [library.steps, library.shelves, library.files, library.whole, isWhole, Boolean(now.content)], () => this.stepsOf(library, isWhole, now));
    hide(this.steps, !this.steps.childElementCount);
    redraw(this.below, [isWhole, isWhole && library], () => (isWhole ? this.belowOf(library, now) : []));
    hide(this.below, !this.below.childElementCount);
  }

  /** Give each footnote its passage, its name and its state. */
  dress({ sources = [], marks = [] }, isWhole) {
    const byNumber = new Map(sources.map((source) => [source.n, source]));
    for (const [cite, mark] of paired([...this.body.querySelectorAll(".cite")], marks)) {
      const n = Number(cite.dataset.n);
      const state = !mark ? "open" : mark.confirmed ? "yes" : "no";
      const source = byNumber.get(n);
      if (!source || (cite.dataset.state === state && !isWhole)) continue;
      cite.dataset.state = state;
      toldOf.set(cite, { source, state, quote: mark?.quote });
      if (source.document_id) cite.href = addressOf(source);
      else cite.tabIndex = 0;
      cite.setAttribute("aria-label", `Source ${n}: ${placeOf(source)}${{ yes: ", confirmed", no: ", not confirmed", open: "" }[state]}`);
    }
  }

  /** What was looked for: while it is, and afterwards folded into one line. */
  stepsOf(library, isWhole, { content }) {
    const steps = library.steps ?? [];
    if (!steps.length && !library.whole) return [];
    const where = whereOf(library);
    const nPassages = steps.reduce((sum, { n_passages: n }) => sum + n, 0);
    if (library.whole) return [make("p", { class: "looked" }, `Read in full: ${where}`)];
    if (steps.length === 1) return isWhole || content ? [make("p", { class: "looked" }, `Looked in ${where} · ${nPassages ? counted(nPassages, "passage") : "nothing fits"}`)] : [];
    const isLooking = !isWhole && !content;
    const words = isLooking ? "Questions on the way" : `Looked in ${where} · ${counted(steps.length, "question")}`;
    const summary = make("summary", {}, words);
    const details = make("details", { class: "looked", open: this.isOpen ?? isLooking }, summary, make("ol", {}, ...steps.map(stepLine)));
    summary.addEventListener("click", () => { this.isOpen = !details.open; });
    return [details];
  }

  belowOf(library, now) {
    if (library.refused) return [this.ways(library, now)];
    const sources = library.sources ?? [];
    if (!sources.length) return library.steps?.length && now.content ? [make("p", { class: "looked" }, "The answer names none of the passages it was given.")] : [];
    const several = new Set(sources.map(({ shelf }) => shelf)).size > 1;
    const confirmed = new Set((library.marks ?? []).filter((mark) => mark.confirmed).map(({ n }) => n));
    const marked = new Set((library.marks ?? []).map(({ n }) => n));
    const rows = sources.map((source) => sourceLine(source, several, marked.has(source.n) && !confirmed.has(source.n)));
    return [make("section", { class: "sources", "aria-label": "Sources" }, make("p", { class: "title" }, "Sources"), make("ol", {}, ...rows))];
  }

  /** The documents do not answer: what can be done now. */
  ways({ steps = [], shelves = [] }, now) {
    const question = steps.at(-1)?.question ?? "";
    const search = `/library?q=${encodeURIComponent(question)}&in=${encodeURIComponent(shelves.join(","))}`;
    return make("div", { class: "next", role: "group", "aria-label": "What can be done now" },
      make("a", { class: "button", href: search }, "Look for it yourself"),
      make("a", { class: "button", href: "/library" }, "Add documents"),
      button("", "Ask without documents", () => this.deeds.askWithout(now)));
  }
}

/** Each footnote with its mark: the one that it was drawn for. Where no places are known the order tells, if as many are drawn. */
function paired(cites, marks) {
  return cites.map((cite) => {
    if (cite.dataset.mark) return [cite, marks[cite.dataset.mark]];
    const same = cites.filter((other) => other.dataset.n === cite.dataset.n);
    const told = marks.filter((mark) => mark.n === Number(cite.dataset.n));
    return [cite, same.length === told.length ? told[same.indexOf(cite)] : undefined];
  });
}

function stepLine({ question, n_passages: n, is_answered: isAnswered, answer }) {
  const isFound = isAnswered !== false && n > 0;
  const sign = make("span", { class: "sign", "aria-hidden": "true" }, isFound ? "✓" : "–");
  const facts = isFound ? counted(n, "passage") : "no passage near enough";
  const said = answer ? [make("span", { class: "said-of-it" }, answer.replace(MARK, "").replace(/ +([.,;])/g, "$1"))] : [];
  return make("li", { "data-found": String(isFound) }, sign, make("span", {}, question, make("span", { class: "facts" }, ` · ${facts}`), ...said));
}

function sourceLine(source, several, isUnsure) {
  const link = outside(source.link);
  const name = source.document_id ? make("a", { href: addressOf(source) }, placeOf(source)) : make("span", {}, placeOf(source));
  const more = [
    ...(several && source.shelf ? [make("span", { class: "facts" }, source.shelf)] : []),
    ...(source.document_id ? [] : [make("span", { class: "facts" }, "this document is not in the library here")]),
    ...(isUnsure ? [make("span", { class: "facts unsure" }, "not confirmed")] : []),
    ...(link ? [make("a", { class: "facts", href: link, target: "_blank", rel: "noopener noreferrer", "aria-label": `Original of ${source.title}` }, "original")] : []),
  ];
  return make("li", {}, make("span", { class: "n" }, String(source.n)), make("span", {}, name, ...more.flatMap((each) => [" · ", each])));
}
