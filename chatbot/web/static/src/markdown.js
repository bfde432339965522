// Markdown to safe HTML, block by block: finished blocks are rendered once and frozen, only the last one is
// rendered again as text arrives. HTML in an answer is shown as the text that it is, but for a few plain tags;
// every block passes the sanitiser after that. Nothing here trusts the model.
import DOMPurify from "dompurify";
import { Marked } from "marked";
import { copy } from "./copy.js";
import { make } from "./dom.js";
import { finish } from "./finish.js";
import { math } from "./formulas.js";

const marked = new Marked({ gfm: true, breaks: true, renderer: { html: asText, image: asLink }, extensions: math });

const NOT_A_PLAIN_TAG = /<(?!\/?(?:b|br|del|em|i|s|strong|sub|sup)\s*\/?>)/gi;
const CLOSED_FENCE = /\n {0,3}(?:`{3,}|~{3,}) *\n+$/;

// span and class come from this program alone: what a model writes as HTML is text, and of its words only the
// language of a code block becomes a class, as language-WORD.
const ALLOWED = {
  ALLOWED_TAGS: [
    "a", "b", "blockquote", "br", "code", "del", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "i", "input", "li",
    "ol", "p", "pre", "s", "span", "strong", "sub", "sup", "table", "tbody", "td", "th", "thead", "tr", "ul",
  ],
  ALLOWED_ATTR: ["href", "title", "align", "start", "type", "checked", "disabled", "class"],
  ALLOWED_URI_REGEXP: /^(?:https?:|mailto:|#)/i,
  ADD_URI_SAFE_ATTR: ["align", "start", "type"], // else their values would have to look like such addresses
  ALLOW_DATA_ATTR: false,
  RETURN_DOM_FRAGMENT: true,
};

// Which way a text runs is its own affair; a list's items and a quotation's parts run as its first words do.
const HAS_DIRECTION = new Set(["P", "H1", "H2", "H3", "H4", "H5", "H6", "UL", "OL", "BLOCKQUOTE", "TABLE"]);

DOMPurify.addHook("afterSanitizeAttributes", (node) => {
  if (HAS_DIRECTION.has(node.tagName) && !node.parentElement?.closest("ul, ol, blockquote")) node.setAttribute("dir", "auto");
  if (node.tagName === "A") {
    node.setAttribute("target", "_blank");
    node.setAttribute("rel", "noopener noreferrer");
  }
  if (node.tagName !== "INPUT") return;
  if (node.getAttribute("type") !== "checkbox") node.remove();
  node.setAttribute("aria-label", node.hasAttribute("checked") ? "Done" : "Not done");
});

/** Markup of the model's own: `#include <stdio.h>` must not vanish, and no attribute of its may reach a parser. */
function asText({ text, block }) {
  const shown = text.trimEnd().replace(NOT_A_PLAIN_TAG, "&lt;");
  return block ? `<p>${shown.replace(/\n/g, "<br>")}</p>` : shown;
}

/** A picture that an answer names: a link, so that nothing is asked of another server before somebody clicks. */
function asLink({ href, text }) {
  return `<a href="${escaped(href)}">${escaped(`Picture: ${text || href}`)}</a>`;
}

function escaped(text) {
  return text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);
}

function safe(blocks) {
  return DOMPurify.sanitize(marked.parser(blocks), ALLOWED);
}

const SAMPLE = "# a\n\nb **c** `d` [e](https://f)\n\n- g\n\n1. h\n\n| i | j |\n|---|---|\n| k | l |\n\n> m\n\n";

/** Do it once while nobody waits, step by step: the first pieces of the first answer then find everything ready. */
export function warmUp() {
  const holder = make("div", { class: "text" });
  Object.assign(holder.style, { position: "fixed", visibility: "hidden" });
  const layOut = () => { // for the fonts
    document.body.append(holder);
    holder.getBoundingClientRect();
    holder.remove();
  };
  let html = "";
  const steps = [
    () => marked.lexer(SAMPLE),
    () => { html = marked.parse(SAMPLE); },
    () => DOMPurify.sanitize(html, ALLOWED),
    () => new Renderer(holder).show(SAMPLE, true),
    layOut,
  ];
  const next = () => {
    steps.shift()();
    if (steps.length) whenIdle(next);
  };
  whenIdle(next);
}

function whenIdle(act) {
  (window.requestIdleCallback ?? setTimeout)(act);
}

const PART_BLOCKS = 16;

/** Renders a growing text into an element: blocks in parts, so that the browser can skip those out of sight whole. */
export class Renderer {
  constructor(element) {
    this.element = element;
    this.dress = null; // what else is done to a block before it is shown
    this.prepare = (text) => text; // and to the text before it is read
    this.reset();
  }

  /** Let this be done to the text, and to all blocks, also those that are shown already, before they are shown. */
  use(prepare, dress) {
    this.prepare = prepare;
    this.dress = dress;
    this.reset();
  }

  /** Show the whole text; cheap when it only grew. isWhole: nothing follows now, so the last block is finished too. */
  show(content, isWhole = false) {
    const text = this.prepare(content).replace(/\r\n?/g, "\n"); // as the lexer does, so that its blocks are parts of this text
    if (!text.startsWith(this.frozen)) this.reset();
    const rest = text.slice(this.frozen.length);
    const blocks = marked.lexer(rest);
    let last = blocks.length - 1;
    while (last > 0 && blocks[last].type === "space") last -= 1;
    if (blocks[last]?.type === "code" && CLOSED_FENCE.test(blocks[last].raw)) last += 1;
    for (const block of blocks.slice(0, Math.max(last, 0))) {
      if (block.type !== "space") finish(this.take([block]));
      this.frozen += block.raw;
    }
    const tail = blocks.slice(Math.max(last, 0)).filter(({ type }) => type !== "space");
    if (!tail.length) this.drop();
    else if (isWhole) finish(this.draw(tail));
    else this.draw(tail);
  }

  /** A block whose text is final. It takes the place of the one that may still have changed. */
  take(blocks) {
    const holder = this.draw(blocks);
    this.above = this.below;
    this.tail = null;
    return holder;
  }

  /** Draw the block that may still change. */
  draw(blocks) {
    this.tail ??= this.append();
    this.below = fill(this.tail, blocks, this.dress, this.above);
    return this.tail;
  }

  drop() {
    this.tail?.remove();
    this.tail = null;
  }

  append() {
    if (this.part?.childElementCount >= PART_BLOCKS) {
      this.part.classList.add("full");
      this.part = null;
    }
    if (!this.part) {
      this.part = make("div", { class: "blocks" });
      this.element.append(this.part);
    }
    const holder = make("div");
    this.part.append(holder);
    return holder;
  }

  reset() {
    this.element.replaceChildren();
    this.frozen = ""; // the text whose blocks are final
    this.part = null; // the element of the last blocks
    this.tail = null; // the element of the block that may still change
    this.above = []; // the headings under which the next block stands, as levels of the text
    this.below = []; // the same after the block that may still change
  }
}

/** Put what the lexer found into the element of a block that stands under these headings; those after it. */
function fill(holder, blocks, dress, above) {
  const content = safe(blocks);
  dress?.(content);
  const below = nest(content, above);
  for (const pre of content.querySelectorAll("pre")) addCopyButton(pre);
  for (const table of content.querySelectorAll("table")) wrapTable(table);
  for (const box of content.querySelectorAll("li > input, li > p > input")) box.closest("li").className = "task";
  holder.className = /^H[1-4]$/.test(content.firstElementChild?.tagName) ? "block head" : "block";
  holder.replaceChildren(content);
  return below;
}

/** A text begins at any level and may skip some: tell who listens how deep each heading stands below the page's own. */
function nest(content, above) {
  let under = above;
  for (const heading of content.querySelectorAll("h1, h2, h3, h4, h5, h6")) {
    const level = Number(heading.tagName[1]);
    under = [...under.filter((each) => each < level), level];
    heading.setAttribute("aria-level", Math.min(under.length + 1, 6));
  }
  return under;
}

function wrapTable(table) {
  const scroller = document.createElement("div");
  scroller.className = "scroller";
  scroller.tabIndex = 0;
  table.replaceWith(scroller);
  scroller.append(table);
}

function addCopyButton(pre) {
  pre.tabIndex = 0;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    button.textContent = (await copy(pre.querySelector("code")?.textContent ?? "")) ? "Copied" : "Press Ctrl+C";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });
  const holder = document.createElement("div");
  holder.className = "code";
  pre.replaceWith(holder);
  holder.append(button, pre);
}
