// The numbers of an answer as footnotes. Where the server said which of them it checked, and where they stand, those alone
// are footnotes, each for its own mark: signs take their places before Markdown is read, so that it cannot move or link them.
import { make } from "./dom.js";

const MARK = /\[(\d{1,4}(?:\s*[,;]\s*\d{1,4})*)\]/g;
const BRACKETS = /^(?:\[\[[^\]\n]*\]\]|\[[^\]\n]*\]|[\u3010\uff3b][^\u3011\uff3d\n]*[\u3011\uff3d])/;
const MOST_CHARS = 100;
const SIGN = /\u27e6\ue000(\d+)\ue001\u27e7/g; // brackets too, so that Markdown reads on as it would
const SIGN_IN_ADDRESS = /%E2%9F%A6%EE%80%80(\d+)%EE%80%81%E2%9F%A7/gi;
const NUMBER = /^[\s[\]^]*(?:\d{1,4}|[\u00b9\u00b2\u00b3\u2070-\u2079]{1,4})[\s[\]^]*$/;
const NO_TEXT = "code, pre, a, .math";

export class Places {
  /** The places of an answer's marks; null where they are not known (yet). */
  static of(sources, marks) {
    const isKnown = marks.length ? marks.every(({ at }) => Number.isInteger(at)) : !sources.length;
    return isKnown ? new Places(sources, marks) : null;
  }

  constructor(sources, marks) {
    const numbers = new Set(sources.map(({ n }) => n));
    this.at = new Map(); // place -> the marks there, by their places in the list
    marks.forEach(({ n, at }, i) => { if (numbers.has(n)) this.at.set(at, [...(this.at.get(at) ?? []), { n, i }]); });
    this.key = JSON.stringify([...this.at]);
    this.signs = []; // {source, marks} of each sign
  }

  /** A text with signs in place of its marks. */
  put(content) {
    const chars = [...content];
    const made = [];
    let from = 0;
    this.signs = [];
    const text = (end) => chars.slice(from, end).join("").replace(/[\ue000\ue001]/g, "");
    for (const [at, marks] of [...this.at].sort(([a], [b]) => a - b)) {
      const found = at >= from && BRACKETS.exec(chars.slice(at, at + MOST_CHARS).join(""));
      if (!found) continue;
      made.push(text(at), `\u27e6\ue000${this.signs.length}\ue001\u27e7`);
      this.signs.push({ source: found[0], marks });
      from = at + [...found[0]].length;
    }
    return [...made, text()].join("");
  }

  /** Make footnotes of the signs in a block; where they are no text, what was written stands again. */
  take(content) {
    const source = (_, k) => this.signs[k]?.source ?? "";
    for (const link of content.querySelectorAll("a[href]")) link.setAttribute("href", link.getAttribute("href").replace(SIGN_IN_ADDRESS, source));
    for (const text of texts(content, "\ue000")) {
      if (text.parentElement?.closest(NO_TEXT)) text.data = text.data.replace(SIGN, source);
      else text.replaceWith(...pieces(text.data, SIGN, ([, k]) => this.signs[k]?.marks.map(({ n, i }) => citeOf(n, i))));
    }
  }
}

/** Make footnotes of all numbers that there are passages of; those in code and in links are none. */
export function citesOf(content, known) {
  for (const text of texts(content, "[")) {
    if (text.parentElement?.closest(NO_TEXT)) continue;
    text.replaceWith(...pieces(text.data, MARK, ([, told]) => {
      const numbers = told.split(/[,;]/).map(Number);
      return numbers.every((n) => known.has(n)) ? numbers.map((n) => citeOf(n)) : null;
    }));
  }
}

/** A number leads to its passage and nowhere else: links that show a number alone are text. */
export function unlink(content) {
  for (const link of content.querySelectorAll("a")) if (NUMBER.test(link.textContent.replace(SIGN, "1"))) link.replaceWith(...link.childNodes);
  content.normalize();
}

function texts(content, sign) {
  const walker = document.createTreeWalker(content, NodeFilter.SHOW_TEXT);
  const found = [];
  while (walker.nextNode()) if (walker.currentNode.data.includes(sign)) found.push(walker.currentNode);
  return found;
}

function pieces(text, pattern, cites) {
  const made = [];
  let at = 0;
  for (const found of text.matchAll(pattern)) {
    const drawn = cites(found);
    if (!drawn) continue;
    made.push(text.slice(at, found.index).replace(/ $/, "\u00a0"), ...drawn); // it stays on the line of its words
    at = found.index + found[0].length;
  }
  return [...made, text.slice(at)].filter((piece) => piece !== "");
}

/** A footnote; i is the place of its mark among those that were checked. */
function citeOf(n, i) {
  const bracket = (text) => make("i", {}, text); // not seen, but copied with the number
  return make("a", { class: "cite", "data-n": String(n), ...(i === undefined ? {} : { "data-mark": String(i) }) }, bracket("["), String(n), bracket("]"));
}
