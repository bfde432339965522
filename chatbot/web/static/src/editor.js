// A text that is changed where it stands: Enter takes it, Escape leaves it.
import { isComposing, make, stored } from "./dom.js";
import { button, fitHeight, isTouch } from "./words.js";

const nameOf = (id) => `edit:${id}`;

/** The change of a message that is neither taken nor given up, or null. */
export function keptEdit(id) {
  return stored((store) => store.getItem(nameOf(id)));
}

/** Keep the change of a message, so that it survives a reload. */
export function keepEdit(id, text) {
  stored((store) => store.setItem(nameOf(id), text));
}

export function forgetEdit(id) {
  stored((store) => store.removeItem(nameOf(id)));
}

/** The form. take: called with the new text; leave: called when the person gives up. takesEnter: Enter takes it.
 *  mayBeEmpty: something else makes up the message. changed: called with each state of the text. */
export function editor({ text, label, verb, take, leave, takesEnter, mayBeEmpty = false, changed = () => {} }) {
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
    begin() {
      fit();
      area.focus();
      area.setSelectionRange(area.value.length, area.value.length);
    },
  };
}
