// The choice of shelves in the options of a chat: a box to tick for each shelf, kept as names with commas between them.
import { make } from "./dom.js";
import { button } from "./words.js";

/** A row of the panel as controlRow makes them, for the control "library". */
export function shelfRow(control, set) {
  const id = `option-${control.name}`;
  const custom = make("span", { class: "custom" }, "custom");
  const reset = button("quiet", "Reset", () => { set(undefined); group.querySelector("input")?.focus(); }, `Reset ${control.label}`);
  const head = make("div", { class: "head" }, make("span", { class: "label", id: `${id}-label` }, control.label), custom, reset);
  const group = make("div", { role: "group", id, tabindex: "-1", class: "shelf-choice", "aria-labelledby": `${id}-label`, "aria-describedby": `${id}-help` });
  const help = make("p", { class: "help", id: `${id}-help` }, "Answers in this chat come from these shelves of your library, with their sources. With none ticked, a #name in a message asks one.");
  const problem = make("p", { class: "problem", role: "alert" });
  let shown = "";
  let inForce = "";
  group.addEventListener("change", () => {
    problem.textContent = "";
    const names = [...group.querySelectorAll("input:checked")].map((box) => box.value);
    set(names.length ? names.join(", ") : inForce ? "" : undefined); // none, where one would be asked otherwise
  });
  return {
    name: control.name,
    element: make("div", { class: "control library" }, head, group, help, problem),
    refuse(why) {
      problem.textContent = why;
      shown = ""; // the boxes are drawn anew, as they were
    },
    update({ value, fallback, shelves = [] }) {
      inForce = fallback;
      custom.hidden = reset.hidden = value === undefined;
      const chosen = namesIn(value ?? fallback).map((name) => nowCalled(name, shelves));
      const names = shelves.flatMap(({ name, called }) => [name, called]);
      const gone = chosen.filter((name) => !has(names, name));
      const isAsked = ({ name, called }) => has(chosen, called) || (has(chosen, name) && !shelves.some((each) => has([name], each.called)));
      const now = JSON.stringify([chosen, shelves, gone]);
      if (now === shown) return;
      shown = now;
      const focused = group.contains(document.activeElement) ? document.activeElement.value : null;
      const rows = [...shelves.map((shelf) => tickOf(shelf.called, factsOf(shelf), isAsked(shelf))), ...gone.map((name) => tickOf(name, "not there", true))];
      const none = make("p", { class: "help" }, "There are no shelves yet. ", make("a", { href: "/library" }, "Make one in the library"));
      group.replaceChildren(...(rows.length ? rows : [none]));
      [...group.querySelectorAll("input")].find((box) => box.value === focused)?.focus();
    },
  };
}

function tickOf(name, facts, isTicked) {
  const box = make("input", { type: "checkbox", value: name, checked: isTicked });
  return make("label", { class: "tick" }, box, make("span", { class: "name" }, name), make("span", { class: "facts" }, facts));
}

function factsOf({ n_documents: n, is_own: isOwn, owner }) {
  return `${n.toLocaleString()} ${n === 1 ? "document" : "documents"}${isOwn ? "" : ` · from ${owner}`}`;
}

/** The name of a shelf as it is now, for one that it had before. */
function nowCalled(name, shelves) {
  if (shelves.some((each) => has([each.name, each.called], name))) return name;
  return shelves.find(({ earlier = [], owner }) => has(earlier.flatMap((each) => [each, `${each}@${owner}`]), name))?.called ?? name;
}

function namesIn(text) {
  return (text ?? "").split(",").map((name) => name.trim()).filter(Boolean);
}

function has(names, name) {
  return names.some((each) => each.toLowerCase() === name.toLowerCase());
}
