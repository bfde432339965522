// Whether the sidebar is seen: beside the conversation on a wide window, where it can be put away, else as the drawer
// that its two buttons open and close.
import { iconButton, stored } from "./dom.js";

const NARROW = matchMedia("(max-width: 46rem)");
const NAME = "sidebar"; // as static/early.js reads it
const root = document.documentElement;

export class Panel {
  constructor(aside) {
    this.aside = aside;
    this.hide = iconButton("panel", "Hide the chats", { id: "hide" });
    this.hide.addEventListener("click", () => this.toggle());
    this.menu = document.getElementById("menu");
    this.menu.addEventListener("click", (event) => {
      if (NARROW.matches) return; // it opens the drawer there
      event.stopImmediatePropagation();
      this.toggle();
    }, { capture: true });
  }

  get isShown() {
    return NARROW.matches ? this.aside.classList.contains("open") : root.dataset.side !== "hidden";
  }

  toggle() {
    const hadFocus = this.aside.contains(document.activeElement);
    if (NARROW.matches) (this.isShown ? document.getElementById("close") : this.menu).click();
    else this.put(!this.isShown);
    if (!NARROW.matches && !this.isShown && hadFocus) this.menu.focus();
    if (!NARROW.matches && this.isShown && document.activeElement === document.body) this.hide.focus();
  }

  show() {
    if (!this.isShown) this.toggle();
  }

  /** On a wide window. */
  put(isShown) {
    root.dataset.side = isShown ? "" : "hidden";
    stored((store) => (isShown ? store.removeItem(NAME) : store.setItem(NAME, "hidden")));
  }
}
