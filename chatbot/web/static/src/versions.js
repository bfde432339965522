import { make } from "./dom.js";
import { button } from "./words.js";

/** The switch between a message and its siblings, as ‹ 2/3 ›; nothing where it is the only one. */
export function versions({ id, siblings = [] }, branch) {
  const at = siblings.indexOf(id);
  if (siblings.length < 2 || at < 0) return [];
  const holder = make("span", { class: "versions" });
  const earlier = button("quiet step", "‹", () => branch(siblings[at - 1], "earlier"), "Earlier version");
  const later = button("quiet step", "›", () => branch(siblings[at + 1], "later"), "Later version");
  earlier.dataset.step = "earlier";
  later.dataset.step = "later";
  earlier.disabled = at === 0;
  later.disabled = at === siblings.length - 1;
  const said = { role: "img", "aria-label": `Version ${at + 1} of ${siblings.length}` };
  const place = make("span", { class: "place", ...said }, `${at + 1}/${siblings.length}`);
  holder.append(earlier, place, later);
  return [holder];
}

/** The sibling a step before or after a message, or undefined. */
export function sibling({ id, siblings = [] }, step) {
  return siblings[siblings.indexOf(id) + step];
}
