// Boxes that ask: whether something is to be done, or for what it needs.
import { showDialog } from "./dialog.js";
import { make } from "./dom.js";
import { button, sentence } from "./words.js";

/** Ask with a form, until it is done or given up. title and verb: its words; fields: what it holds;
 *  act(form): does it, and what it throws is told in the box, which stays open. */
export function askFor({ title, verb, fields, act, danger = false }) {
  const problem = make("p", { class: "problem", role: "alert", hidden: true });
  const submit = make("button", { type: "submit", class: danger ? "main danger" : "main" }, verb);
  const ways = make("div", { class: "ways" }, button("", "Cancel", () => dialog.close()), submit);
  const form = make("form", { class: "asks" }, ...fields, problem, ways);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (submit.getAttribute("aria-disabled") === "true") return;
    submit.setAttribute("aria-disabled", "true");
    problem.hidden = true;
    try {
      await act(form);
      dialog.close();
    } catch (failure) {
      problem.textContent = sentence(failure.message);
      problem.hidden = false;
    }
    submit.setAttribute("aria-disabled", "false");
  });
  const dialog = showDialog(title, form);
  (form.querySelector("input, textarea, select") ?? submit).focus();
  return dialog;
}

/** A field with its label, and a hint where there is something to say. */
export function field(label, attributes, hint = "") {
  const { id } = attributes;
  const told = hint ? [make("p", { class: "help", id: `${id}-help` }, hint)] : [];
  const input = make("input", { autocomplete: "off", ...attributes, ...(hint && { "aria-describedby": `${id}-help` }) });
  return make("div", { class: "asked" }, make("label", { for: id }, label), input, ...told);
}

/** A box to tick. */
export function tick(label, attributes) {
  return make("label", { class: "tick" }, make("input", { type: "checkbox", ...attributes }), label);
}
