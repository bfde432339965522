// Where formulas begin and end in an answer: $x$, \(x\), $$x$$ and \[x\]. Amounts of money are none.
// They are kept as text in an element of class math until they are set.

const SPAN = /^(?:\$\$(?!\$)([^$]+?)\$\$|\$(?![\s$])((?:\\.|[^$\\\n])*?[^\s$\\])\$(?![\d$])|\\\(([\s\S]+?)\\\)|\\\[([\s\S]+?)\\\])/;
const BLOCK = /^ {0,3}(?:\$\$(?!\$)((?:(?!\n\s*\n)[^$])+?)\$\$|\\\[((?:(?!\n\s*\n)[\s\S])+?)\\\]) *(?:\n+|$)/;
const MONEY = /^\$\d[\d.,]*(?:\s|[-–]|$)/;
const DELIMITERS = /^(?:\$\$?|\\[([])\s*|\s*(?:\$\$?|\\[)\]])$/g;

const escaped = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

/** Extensions of marked. */
export const math = [
  {
    name: "formula",
    level: "inline",
    start: (text) => text.search(/\$|\\[([]/),
    tokenizer(text) {
      const found = SPAN.exec(text);
      if (!found || (found[2] !== undefined && MONEY.test(found[0]))) return undefined;
      const isDisplay = found[1] !== undefined || found[4] !== undefined;
      return { type: "formula", raw: found[0], isDisplay };
    },
    renderer: ({ raw, isDisplay }) => `<span class="math${isDisplay ? " display" : ""}">${escaped(raw)}</span>`,
  },
  {
    name: "formulaBlock",
    level: "block",
    start: (text) => text.match(/\n {0,3}(?:\$\$|\\\[)/)?.index,
    tokenizer(text) {
      const found = BLOCK.exec(text);
      return found ? { type: "formulaBlock", raw: found[0] } : undefined;
    },
    renderer: ({ raw }) => `<p class="math display">${escaped(raw.trim())}</p>`,
  },
];

/** The formula without what marks it as one. */
export function sourceOf(text) {
  return text.trim().replace(DELIMITERS, "");
}

export function isDisplay(element) {
  return element.classList.contains("display");
}
