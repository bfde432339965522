// Lines at the foot of the page: one that says what happened, and one that for a while offers to undo it.
import { iconButton, make } from "./dom.js";
import { button, isTouch } from "./words.js";

const SHOWN_MS = 10000;

export class Toast {
  constructor() {
    this.made = null; // the offer that can be taken now
    this.notice = new Line();
    this.offered = new Line(button("do", "Undo", () => this.act()), () => { this.made = null; });
    this.element = make("div", { id: "toast", role: "status", "aria-atomic": "false" }, this.notice.element, this.offered.element);
  }

  /** Tell something. */
  say(text) {
    this.notice.show(text);
  }

  /** Tell something that can be undone. words(items) -> the text; back(items) brings them back, and gives nothing where
   *  that failed: then it is offered again. Items (each with its id) of the same maker join those on offer; whatever
   *  else is on offer is over. */
  offer({ of, items = [], words, back }) {
    const joined = of && this.made?.of === of ? this.made.items : [];
    this.made = { of, items: [...joined, ...items], words, back };
    this.offered.show(words(this.made.items));
  }

  /** Whether there is something to undo now. */
  get offers() {
    return this.made !== null;
  }

  /** Whether this is among what its maker offers to bring back. */
  isOffered(of, id) {
    return this.made?.of === of && this.made.items.some((item) => item.id === id);
  }

  async act() {
    const { made } = this;
    this.offered.end();
    if (await made.back(made.items)) return;
    if (!this.made || (made.of && made.of === this.made.of)) this.offer(made); // else something newer is on offer
  }
}

class Line {
  /** more: what stands behind the text; ended: called when the time is over. */
  constructor(more = "", ended = () => {}) {
    this.text = make("span");
    this.ended = ended;
    const dismiss = iconButton("close", "Dismiss", { onclick: () => this.end() });
    this.element = make("div", { class: "toast", hidden: true }, this.text, more, dismiss);
    // Nobody loses the button from under the finger: the time stands still while one is at it.
    for (const event of ["pointerenter", "focusin"]) this.element.addEventListener(event, () => this.hold(true));
    for (const event of ["pointerleave", "focusout"]) this.element.addEventListener(event, () => this.hold(false));
  }

  show(text) {
    this.text.textContent = text;
    this.element.hidden = false;
    this.wait();
  }

  hold(isHeld) {
    this.isHeld = isHeld;
    this.wait();
  }

  wait() {
    clearTimeout(this.timer);
    if (!this.element.hidden && !this.isHeld) this.timer = setTimeout(() => this.end(), SHOWN_MS);
  }

  end() {
    clearTimeout(this.timer);
    this.isHeld = false;
    const hadFocus = this.element.contains(document.activeElement);
    this.element.hidden = true;
    this.text.textContent = "";
    this.ended();
    if (hadFocus && !isTouch) document.getElementById("input")?.focus();
  }
}
