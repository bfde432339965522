// What a finished block gets beside its text: colours for code, formulas set as such. Both come in files of their own,
// fetched when the first block needs them; until then, and where they fail, the text stays as it was written.
import DOMPurify from "dompurify";
import { isDisplay, sourceOf } from "./formulas.js";

const MOST_CHARS = 40000; // colouring a longer block would hold up the page
const COLOURED = { ALLOWED_TAGS: ["span"], ALLOWED_ATTR: ["class"], RETURN_DOM_FRAGMENT: true };
// The formula's source, which KaTeX adds for other programs, would be read out a second time.
const FORMULA = {
  USE_PROFILES: { mathMl: true },
  ADD_TAGS: ["semantics"],
  FORBID_TAGS: ["annotation"],
  FORBID_CONTENTS: ["annotation"],
  FORBID_ATTR: ["style", "href", "xlink:href"],
  RETURN_DOM_FRAGMENT: true,
};

/** Colour the code and set the formulas of a block that changes no more. */
export function finish(block) {
  const codes = [...block.querySelectorAll('pre > code[class^="language-"]')];
  const formulas = [...block.querySelectorAll(".math")];
  if (codes.length) colour(codes);
  if (formulas.length) set(formulas);
}

const ready = new Set(); // files that have been used: what comes after is done at once, before it is painted

/** What a file exports. Its first use is a task apart from its loading: both together would hold up the page. */
async function first(name, loading) {
  const module = await loading;
  if (!ready.has(name)) await new Promise((resolve) => { setTimeout(resolve); });
  ready.add(name);
  return module;
}

async function colour(codes) {
  try {
    const { highlighted } = await first("highlight", import("./highlight.js"));
    for (const code of codes) {
      const text = code.textContent;
      const html = text.length <= MOST_CHARS && highlighted(text, code.className.slice("language-".length));
      if (html) code.replaceChildren(DOMPurify.sanitize(html, COLOURED));
    }
  } catch {
    // not reached: plain code is readable too
  }
}

async function set(formulas) {
  try {
    const { typeset } = await first("math", import("./math.js"));
    for (const element of formulas) {
      const html = typeset(sourceOf(element.textContent), isDisplay(element));
      if (html) element.replaceChildren(DOMPurify.sanitize(html, FORMULA));
    }
    formulas[0]?.dispatchEvent(new CustomEvent("grown", { bubbles: true }));
  } catch {
    // not reached: the source of a formula is readable too
  }
}
