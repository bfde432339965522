// One document: its text as it was read, with a passage marked in it. What stands before and after what is shown comes
// as one reads on. Places are counted in characters as the server counts them: an emoji is one.
import { make } from "./dom.js";
import { backLink, head } from "./library_parts.js";
import { outside, readable } from "./place.js";
import { button, sentence, short } from "./words.js";

const BEFORE_CHARS = 30000; // so much comes at a time when one reads upwards
const NEAR_PX = 600;

export class DocumentView {
  /** passage: which is asked for, or null. */
  constructor(lib, id, passage) {
    Object.assign(this, { lib, id, asked: passage, passage: null });
    this.way = lib.page.cameFromChat() ? backLink() : make("a", { href: "/library" }, "← Library");
    const top = head({ crumb: this.way, title: "…" });
    Object.assign(this, { heading: top.heading, top: top.element, isOver: false, isBusy: false });
    this.facts = make("p", { class: "facts" });
    this.problem = make("p", { class: "problem", role: "alert", hidden: true });
    this.above = button("quiet", "Show what stands before", () => this.readUp());
    this.below = button("quiet", "Show what follows", () => this.readDown());
    this.text = make("div", { class: "document-text" });
    this.element = make("article", {}, this.top, this.facts, this.problem, this.above, this.text, this.below);
    this.above.hidden = this.below.hidden = true;
    this.begun = 0; // text from here
    this.ended = 0; // to here is shown
  }

  begin() {
    this.heading.focus({ preventScroll: true });
    this.load();
  }

  end() {
    this.isOver = true;
    this.watch?.disconnect();
  }

  draw() {} // how the library is says nothing about one document

  fail(text) {
    this.problem.textContent = text;
    this.problem.hidden = false;
  }

  ask(range) {
    return this.lib.link.call("document", { document_id: this.id, ...range }, 30000);
  }

  async load() {
    try {
      const told = await this.ask(this.asked ?? {});
      if (this.isOver) return;
      this.show(told);
    } catch (failure) {
      this.heading.textContent = "Document";
      this.fail(sentence(failure.message));
    }
  }

  show({ document, from, text, pages, passage }) {
    const { title, uri, shelf, shelf_id: shelfId, kind, n_chars: nChars, link } = document;
    this.nChars = nChars;
    this.passage = passage && { start: passage[0], end: passage[1] };
    this.isCode = kind === "code";
    this.heading.textContent = title || uri;
    this.lib.title(title || uri);
    if (this.way.dataset.back === undefined) {
      this.way.href = `/library/${shelfId}`;
      this.way.textContent = `← ${shelf}`;
    }
    const page = this.pageOf(document.page, pages);
    const out = outside(link);
    const parts = [
      make("a", { href: `/library/${shelfId}` }, shelf), kind, page && `page ${page}`, `${short(nChars)} characters`,
      out ? make("a", { href: out, target: "_blank", rel: "noopener noreferrer" }, "original") : make("span", { class: "uri" }, readable(uri)),
    ].filter(Boolean);
    this.facts.replaceChildren(...parts.flatMap((part, at) => (at ? [" · ", part] : [part])));
    this.begun = from;
    this.ended = from + length(text);
    this.text.replaceChildren(this.segment(from, text, pages));
    this.showWays();
    const mark = this.text.querySelector("mark");
    if (mark) {
      mark.scrollIntoView({ block: mark.offsetHeight > this.lib.holder.clientHeight / 2 ? "start" : "center" });
      mark.focus({ preventScroll: true });
      this.lib.page.say("The passage is marked.");
    } else if (this.asked) this.fail("The document is another one by now: the passage is no longer in it.");
    this.watch = new IntersectionObserver((seen) => this.reach(seen), { root: this.lib.holder, rootMargin: `${NEAR_PX}px 0px` });
    this.watchAnew();
  }

  /** The page on which the passage begins, or the text that is shown. */
  pageOf(first, pages) {
    const at = this.passage?.start ?? -1;
    return pages.filter(([offset]) => offset <= at).at(-1)?.[1] ?? first ?? pages[0]?.[1];
  }

  /** A part of the text that begins at a place, with its passage and the beginnings of pages marked. */
  segment(from, text, pages) {
    const to = from + length(text);
    const { start, end } = this.passage ?? { start: to, end: to };
    const cuts = new Set([from, to, ...pages.map(([at]) => at), start, end].filter((at) => at >= from && at <= to));
    const places = [...cuts].sort((a, b) => a - b);
    const cut = cutter(text, from);
    const made = document.createDocumentFragment();
    const mark = make("mark", { tabindex: "-1", "aria-label": "Passage" });
    places.forEach((at, i) => {
      const page = pages.find(([offset]) => offset === at);
      const holder = at >= start && at < end ? mark : made;
      if (holder === mark && !mark.isConnected) made.append(mark);
      if (page) holder.append(make("span", { class: "page-begins" }, `Page ${page[1]}`));
      if (i + 1 < places.length) holder.append(...this.lines(cut(at, places[i + 1])));
    });
    return made;
  }

  /** A text to the letter, with its headings drawn as such; code has none. */
  lines(text) {
    if (this.isCode) return [text];
    const made = [];
    let plain = "";
    let isFenced = false;
    for (const line of text.split(/(?<=\n)/)) {
      if (/^(?:```|~~~)/.test(line)) isFenced = !isFenced;
      const [, signs, words] = (!isFenced && /^(#{1,6} )(.*\n?)$/.exec(line)) || [];
      if (!signs) {
        plain += line;
        continue;
      }
      made.push(plain, make("span", { class: "head" }, make("span", { class: "signs" }, signs), words));
      plain = "";
    }
    return [...made, plain].filter(Boolean);
  }

  showWays() {
    this.above.hidden = this.begun <= 0;
    this.below.hidden = this.ended >= this.nChars;
  }

  reach(seen) {
    for (const { isIntersecting, target } of seen) {
      if (isIntersecting && !target.hidden) (target === this.above ? this.readUp() : this.readDown());
    }
  }

  /** The watcher tells of changes alone: what is near still is told of again. */
  watchAnew() {
    for (const way of [this.above, this.below]) {
      this.watch.unobserve(way);
      if (!way.hidden) this.watch.observe(way);
    }
  }

  async read(range, put) {
    if (this.isBusy || this.isOver) return;
    this.isBusy = true;
    try {
      const told = await this.ask(range);
      if (!this.isOver) put(told);
    } catch (failure) {
      this.lib.toast.say(sentence(failure.message));
      this.isBusy = false;
      return; // the buttons ask again
    }
    this.isBusy = false;
    this.showWays();
    this.watchAnew();
  }

  readDown() {
    return this.read({ start: this.ended }, ({ from, text, pages }) => {
      this.text.append(this.segment(from, text, pages));
      this.ended = from + length(text);
    });
  }

  /** What is read stays where it is on the screen. */
  readUp() {
    const start = Math.max(0, this.begun - BEFORE_CHARS);
    return this.read({ start }, ({ from, text, pages }) => {
      const { holder } = this.lib;
      const before = holder.scrollHeight;
      const wanted = [...text].slice(0, this.begun - from).join("");
      this.text.prepend(this.segment(from, wanted, pages.filter(([at]) => at < this.begun)));
      this.begun = from;
      this.showWays();
      holder.scrollTop += holder.scrollHeight - before;
    });
  }
}

/** Characters as the server counts them. */
function length(text) {
  return /[\ud800-\udbff]/.test(text) ? [...text].length : text.length;
}

/** A function that cuts a text whose first character has this number. */
function cutter(text, from) {
  if (!/[\ud800-\udbff]/.test(text)) return (start, end) => text.slice(start - from, end - from);
  const letters = [...text];
  return (start, end) => letters.slice(start - from, end - from).join("");
}
