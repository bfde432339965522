// An answer from the library: what the page knows of it at once. What draws it, grounds.js, is fetched with the first one.
import { style } from "./lazy.js";
import { whereOf } from "./place.js";

let drawing = null; // grounds.js, when it is here
let coming = null;

/** What draws footnotes and sources, or null where it is still to come: then() is called when it is there. */
export function groundsModule(then) {
  const styled = style("grounds.css"); // also where the script is here: the style may have failed
  if (drawing) return drawing;
  coming ??= Promise.all([import("./grounds.js"), styled]).then(([module]) => { drawing = module; });
  coming.then(then, () => { coming = null; }); // not reached: the text with its numbers is readable too
  return null;
}

/** Where an answer is being looked for, in words; nothing when it is not. */
export function lookingIn({ meta, content }) {
  const { shelves, sources, refused } = meta.library ?? {};
  return shelves && !content && !refused && !sources?.length ? `Looking in ${whereOf(meta.library)}` : "";
}

/** What a step found, in words. */
export function stepWords({ question, n_passages: n, is_answered: isAnswered }) {
  const found = n === 1 ? "1 passage" : `${n} passages`;
  return `${question}: ${isAnswered === false || !n ? "not found" : found}`;
}
