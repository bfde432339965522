// A text that is changed where it stands: Enter takes it, Escape leaves it.
import { isComposing, make } from "./dom.js";
import { button, fitHeight, isTouch } from "./words.js";

/** A message that can be changed where it stands; a change that was not taken opens again with the page.
 *  drafts: keep it meanwhile; put: places the form; take: called with the message and its new text, true when that is
 *  taken; words: what the editor needs besides, for the message. */
export class Change {
  constructor(element, { drafts, put, take, words }) {
    Object.assign(this, { element, drafts, put, take, words });
    this.open = null;
    this.given = null; // the text that was to be taken
  }

  edit(message) {
    if (this.open) return;
    this.show(message, message.content);
    this.open.begin();
  }

  /** Open the change that was being made when the page was left, or close the one that the server has: it was told late. */
  goOn(message) {
    if (this.open && this.open.text === this.given && message.content === this.given) this.leave(message);
    const kept = this.open ? null : this.drafts.read("edit", message.id);
    if (kept === null) return;
    this.show(message, kept);
    requestAnimationFrame(() => this.open?.fit()); // when it stands on the page
  }

  show(message, text) {
    this.open = editor({
      ...this.words(message),
      text,
      changed: (now) => this.drafts.write("edit", message.id, now),
      take: async (now) => {
        this.given = now;
        const isTaken = await this.take(message, now);
        if (isTaken && this.open?.text === now) this.leave(message); // else there is more to be taken by now
      },
      leave: () => this.leave(message),
    });
    this.element.classList.add("editing");
    this.put(this.open.form);
  }

  leave({ id }) {
    const hadFocus = this.open?.form.contains(document.activeElement);
    this.open?.form.remove();
    this.open = this.given = null;
    this.element.classList.remove("editing");
    this.drafts.write("edit", id, "");
    if (hadFocus) this.element.querySelector(".edit")?.focus();
  }
}

/** The form. take: called with the new text; leave: called when the person gives up. takesEnter: Enter takes it.
 *  mayBeEmpty: something else makes up the message. changed: called with each state of the text. */
function editor({ text, label, verb, take, leave, takesEnter, mayBeEmpty = false, changed = () => {} }) {
  const form = make("form", { class: "editor" });
  const area = make("textarea", { dir: "auto" });
  area.value = text;
  area.setAttribute("aria-label", label);
  const row = make("div", { class: "actions" });
  const done = make("button", { class: "primary" }, verb);
  done.type = "submit";
  row.append(done, button("quiet", "Cancel", leave));
  form.append(area, row);

  const fit = () => fitHeight(area, form);
  area.addEventListener("input", () => {
    fit();
    changed(area.value);
    done.disabled = !(mayBeEmpty || area.value.trim());
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (mayBeEmpty || area.value.trim()) take(area.value);
  });
  form.addEventListener("keydown", (event) => {
    if (isComposing(event)) return;
    if (event.key === "Escape") {
      event.preventDefault(); // it stops no answer
      leave();
    }
    const isSend = event.ctrlKey || event.metaKey || (takesEnter && !event.shiftKey && !isTouch);
    if (event.key === "Enter" && event.target === area && isSend) {
      event.preventDefault();
      form.requestSubmit();
    }
  });
  return {
    form,
    fit,
    get text() { return area.value; },
    begin() {
      fit();
      area.focus();
      area.setSelectionRange(area.value.length, area.value.length);
    },
  };
}
