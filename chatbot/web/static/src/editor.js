// A text that is changed where it stands: Enter takes it, Escape leaves it.
import { isComposing, make } from "./dom.js";
import { button, fitHeight, isTouch } from "./words.js";

/** The form. take: called with the new text; leave: called when the person gives up. takesEnter: Enter takes it.
 *  mayBeEmpty: something else makes up the message. */
export function editor({ text, label, verb, take, leave, takesEnter, mayBeEmpty = false }) {
  const form = make("form", { class: "editor" });
  const area = make("textarea");
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
    begin() {
      fit();
      area.focus();
      area.setSelectionRange(area.value.length, area.value.length);
    },
  };
}
