// Lines at the foot of the page: one that says what happened, and one that for a while offers to undo it.
import { iconButton, make } from "./dom.js";
import { isTouch } from "./words.js";

const SHOWN_MS = 10000;

export class Toast {
  constructor() {
    this.notice = new Line();
    this.offered = new Line();
    this.element = make("div", { id: "toast", role: "status", "aria-atomic": "false" }, this.notice.element, this.offered.element);
  }

  /** Tell something. */
  say(text) {
    this.notice.show(text, null);
  }

  /** Tell something that can be undone: by a button with a name that runs; ended is called when the time is over. */
  offer(text, action) {
    this.offered.show(text, action);
  }

  /** Whether there is something to undo now. */
  get offers() {
    return !this.offered.element.hidden;
  }

  act() {
    this.offered.act();
  }
}

class Line {
  constructor() {
    this.text = make("span");
    this.button = make("button", { type: "button", class: "do", onclick: () => this.act() });
    this.action = null;
    const dismiss = iconButton("close", "Dismiss", { onclick: () => this.end() });
    this.element = make("div", { class: "toast", hidden: true }, this.text, this.button, dismiss);
    // Nobody loses the button from under the finger: the time stands still while one is at it.
    for (const event of ["pointerenter", "focusin"]) this.element.addEventListener(event, () => clearTimeout(this.timer));
    for (const event of ["pointerleave", "focusout"]) this.element.addEventListener(event, () => this.wait());
  }

  show(text, action) {
    this.text.textContent = text;
    this.action = action;
    this.button.textContent = action?.name ?? "";
    this.button.hidden = !action;
    this.element.hidden = false;
    this.wait();
  }

  wait() {
    clearTimeout(this.timer);
    if (!this.element.hidden) this.timer = setTimeout(() => this.end(), SHOWN_MS);
  }

  act() {
    this.hide();
    this.action.run();
  }

  end() {
    this.hide();
    this.action?.ended();
  }

  hide() {
    clearTimeout(this.timer);
    const hadFocus = this.element.contains(document.activeElement);
    this.element.hidden = true;
    this.text.textContent = "";
    if (hadFocus && !isTouch) document.getElementById("input")?.focus();
  }
}
