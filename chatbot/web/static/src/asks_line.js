// The line under the message box that says which shelves of the library answer in this chat.
import { make } from "./dom.js";
import { button } from "./words.js";

const DEPTHS = { quick: "Quick", break_down: "Break down", careful: "Careful" };

/** Show the shelves and the depth that are in force, or nothing. change: opens the choice. */
export function drawAsksLine(line, { library, depth }, change) {
  const now = library ? `${library}\n${depth ?? ""}` : "";
  if (line.dataset.shown === now) return;
  line.dataset.shown = now;
  line.hidden = !library;
  const how = DEPTHS[depth] && depth !== "quick" ? ` · ${DEPTHS[depth]}` : "";
  line.replaceChildren(make("span", {}, "Answers come from ", make("strong", {}, library ?? ""), how), button("quiet", "Change", change, "Change the shelves that are asked"));
}
