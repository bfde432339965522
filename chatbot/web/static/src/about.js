// The model's name in the header, and under it a panel that says what the model is, where it runs and how much it holds.
import { sentence } from "./words.js";

export class About {
  /** ask: fetches what the server knows, as {name, summary, abilities, size}. */
  constructor(button, panel, ask) {
    this.button = button;
    this.panel = panel;
    this.ask = ask;
    this.name = "";
    this.asked = 0;
    this.told = null; // what the server said last
    button.addEventListener("click", () => (this.isOpen ? this.close() : this.open()));
    for (const event of ["pointerdown", "focusin"]) {
      document.addEventListener(event, ({ target }) => this.isOpen && this.isOutside(target) && this.close());
    }
  }

  get isOpen() {
    return this.button.getAttribute("aria-expanded") === "true";
  }

  isOutside(target) {
    return !this.button.contains(target) && !this.panel.contains(target);
  }

  /** Show who answers, or nobody; an open panel follows. */
  show(model, state) {
    const name = model?.name ?? "";
    this.button.textContent = [model?.demo && "demonstration", name].filter(Boolean).join(" · ");
    this.button.dataset.state = state;
    this.button.hidden = !name;
    if (name === this.name) return;
    this.name = name;
    if (!name) this.close();
    else if (this.isOpen) this.fill();
  }

  open() {
    this.button.setAttribute("aria-expanded", "true");
    this.panel.hidden = false;
    this.fill();
  }

  /** Close by the keyboard. */
  leave() {
    this.close();
    this.button.focus();
  }

  close() {
    this.button.setAttribute("aria-expanded", "false");
    this.panel.hidden = true;
  }

  /** Draw what is known at once, and the rest when the server has told it. */
  async fill() {
    const asked = ++this.asked;
    let about = this.told?.name === this.name ? this.told : null;
    this.draw(about ?? { name: this.name, summary: "Asking the model server…" });
    try {
      about = this.told = await this.ask();
    } catch (failure) {
      about ??= { name: this.name, summary: sentence(failure.message) };
    }
    if (asked === this.asked) this.draw(about); // else it was asked again meanwhile
  }

  draw({ name, summary, abilities, size }) {
    const lines = [summary, abilities, size].filter(Boolean);
    if (!lines.length) lines.push("Its server says nothing more of it.");
    const parts = [["h2", name], ...lines.map((line) => ["p", line])];
    this.panel.replaceChildren(...parts.map(([tag, text]) => {
      const element = document.createElement(tag);
      element.textContent = text;
      return element;
    }));
  }
}
