// The card that a footnote shows: where its passage stands, what it says of the claim, and whether that confirms it.
import { make } from "./dom.js";
import { addressOf, beginning, outside, titlesOf } from "./place.js";

const GAP_PX = 6;
const SHOW_MS = 120; // a pointer that only passes shows nothing
const HIDE_MS = 250; // time to reach the card
const MOST_CHARS = 420;

export class CiteCard {
  /** area: where footnotes are; told(mark) -> {source, state, quote} of one. */
  constructor(area, told) {
    this.told = told;
    this.mark = null;
    this.element = make("div", { id: "cite-card", popover: "manual", role: "group", "aria-label": "Passage" });
    (document.getElementById("main") ?? document.body).append(this.element);
    area.addEventListener("pointerover", ({ target, pointerType }) => this.over(target, pointerType));
    area.addEventListener("pointerout", ({ target }) => { if (target.closest(".cite")) this.hideSoon(); });
    area.addEventListener("focusin", ({ target }) => { if (target.matches(".cite:focus-visible")) this.show(target); });
    area.addEventListener("focusout", ({ target }) => { if (target.matches(".cite")) this.hideSoon(); });
    area.addEventListener("click", (event) => this.tap(event), true);
    this.element.addEventListener("pointerenter", () => clearTimeout(this.timer));
    this.element.addEventListener("pointerleave", () => this.hideSoon());
    this.element.addEventListener("click", ({ target }) => { if (target.closest("a")) this.hide(); });
    addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !this.mark) return;
      event.stopImmediatePropagation(); // Escape means this card alone
      event.preventDefault();
      this.hide();
    }, true);
    document.addEventListener("pointerdown", ({ target }) => { if (!this.element.contains(target) && !target.closest?.(".cite")) this.hide(); });
    document.addEventListener("scroll", ({ target }) => { if (target.contains?.(this.mark)) this.hide(); }, { capture: true, passive: true });
    addEventListener("popstate", () => this.hide());
  }

  over(target, pointerType) {
    const mark = target.closest(".cite");
    if (!mark || pointerType === "touch") return;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.show(mark), this.mark ? 0 : SHOW_MS);
  }

  /** A finger cannot hover: its first touch shows the card, which leads on. */
  tap(event) {
    const mark = event.target.closest?.(".cite");
    if (!mark) return;
    if (event.pointerType === "touch" && this.mark !== mark) {
      event.preventDefault();
      event.stopPropagation();
      this.show(mark);
    } else this.hide();
  }

  show(mark) {
    clearTimeout(this.timer);
    const told = this.told(mark);
    if (!told || !mark.isConnected) return;
    this.hide();
    this.mark = mark;
    this.element.replaceChildren(...parts(told));
    this.element.showPopover();
    mark.setAttribute("aria-describedby", "cite-said");
    this.place(mark.getClientRects()[0]);
  }

  place({ left, right, top, bottom }) {
    const { offsetWidth: width, offsetHeight: height } = this.element;
    const isRoomAbove = top - GAP_PX - height >= GAP_PX;
    const x = Math.min((left + right - width) / 2, innerWidth - width - 2 * GAP_PX);
    this.element.style.left = `${Math.max(2 * GAP_PX, x)}px`;
    this.element.style.top = `${isRoomAbove ? top - GAP_PX - height : Math.min(bottom + GAP_PX, innerHeight - height - GAP_PX)}px`;
  }

  hideSoon() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.hide(), HIDE_MS);
  }

  hide() {
    clearTimeout(this.timer);
    if (!this.mark) return;
    this.mark.removeAttribute("aria-describedby");
    this.mark = null;
    this.element.hidePopover();
  }
}

const STATES = {
  yes: "Confirmed: a sentence of the passage has its names and numbers and most of its words. What they mean was not checked.",
  no: "Not confirmed by this passage: no sentence of it has its names and numbers and most of its words. Read it yourself.",
  open: "",
};

function parts({ source, state, quote }) {
  const [title, ...headings] = titlesOf(source);
  const facts = [source.page && `page ${source.page}`, source.shelf].filter(Boolean).join(" · ");
  const link = outside(source.link);
  const ways = [
    ...(source.document_id ? [make("a", { href: addressOf(source), tabindex: "-1" }, "Open the passage")] : []),
    ...(link ? [make("a", { href: link, target: "_blank", rel: "noopener noreferrer", tabindex: "-1" }, "Original")] : []),
  ];
  return [
    make("p", { class: "place" }, make("strong", {}, title ?? source.uri), ...headings.map((each) => make("span", {}, each))),
    ...(facts ? [make("p", { class: "facts" }, facts)] : []),
    make("blockquote", { id: "cite-said" }, quote || beginning(source, MOST_CHARS)),
    ...(STATES[state] ? [make("p", { class: "state", "data-state": state }, STATES[state])] : []),
    ...(ways.length ? [make("p", { class: "ways-on" }, ...ways)] : []),
  ];
}
