// A list of actions that opens under a button and is walked with the arrow keys.
import { make } from "./dom.js";

const GAP_PX = 4;

export class Menu {
  constructor() {
    this.element = make("div", { id: "choices", role: "menu", popover: "manual" });
    this.button = null;
    this.element.addEventListener("keydown", (event) => this.press(event));
    document.addEventListener("pointerdown", ({ target }) => {
      if (this.button && !this.element.contains(target) && !this.button.contains(target)) this.close();
    });
    addEventListener("resize", () => this.close());
    document.addEventListener("scroll", () => { if (this.button && this.button.getBoundingClientRect().top !== this.top) this.close(); }, { capture: true });
  }

  /** Open under a button, or close where it was open. items: {label, run, checked?, danger?, line?}. */
  toggle(button, name, items) {
    const wasOpen = this.button === button;
    this.close();
    if (wasOpen) return;
    this.button = button;
    this.element.setAttribute("aria-label", name);
    this.element.replaceChildren(...items.map((item) => this.entry(item)));
    button.setAttribute("aria-expanded", "true");
    this.element.showPopover();
    const around = button.getBoundingClientRect();
    this.top = around.top; // once it is scrolled away from there, the menu closes
    this.place(around);
    this.element.firstElementChild.focus();
  }

  entry({ label, run, checked, danger = false, line = false }) {
    const isChoice = checked !== undefined;
    const entry = make("button", { type: "button", role: isChoice ? "menuitemradio" : "menuitem", tabindex: "-1" }, label);
    if (isChoice) entry.setAttribute("aria-checked", String(checked));
    entry.classList.toggle("danger", danger);
    entry.classList.toggle("line", line);
    entry.addEventListener("click", () => { this.leave(); run(); });
    return entry;
  }

  place({ left, right, top, bottom }) {
    const { offsetWidth: width, offsetHeight: height } = this.element;
    const isRoomBelow = bottom + GAP_PX + height <= innerHeight;
    const x = left + width <= innerWidth - GAP_PX ? left : right - width;
    this.element.style.left = `${Math.max(GAP_PX, x)}px`;
    this.element.style.top = `${isRoomBelow ? bottom + GAP_PX : Math.max(GAP_PX, top - GAP_PX - height)}px`;
  }

  press(event) {
    const entries = [...this.element.children];
    const at = entries.indexOf(document.activeElement);
    const places = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 };
    event.stopPropagation(); // Escape means this menu alone
    if (event.key === "Escape" || event.key === "Tab") {
      this.leave();
      if (event.key === "Tab") return; // and on to what follows the button
    } else if (event.key in places) {
      entries.at(places[event.key] % entries.length).focus();
    } else {
      const isLetter = event.key.length === 1 && event.key !== " ";
      const found = [...entries.slice(at + 1), ...entries].find((entry) => entry.textContent.toLowerCase().startsWith(event.key.toLowerCase()));
      if (!isLetter || !found) return;
      found.focus();
    }
    event.preventDefault();
  }

  /** Close and give the focus back to the button. */
  leave() {
    const { button } = this;
    this.close();
    button?.focus();
  }

  close() {
    if (!this.button) return;
    this.button.setAttribute("aria-expanded", "false");
    this.button = null;
    this.element.hidePopover();
  }
}
