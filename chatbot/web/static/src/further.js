// The way to what was said behind the end that is shown, and was taken back: its versions stay where they are.
import { counted } from "./words.js";

/** The line at the end of the conversation. show: called with the id of the newest message behind it. */
export function furtherLine(line, show) {
  const button = line.querySelector("button");
  let newest;
  button.addEventListener("click", () => show(newest));
  return ({ further, pending, running }) => {
    newest = further.at(-1);
    line.hidden = !newest || pending.length > 0 || Boolean(running);
    button.textContent = `Show what was said here before${further.length > 1 ? `: ${counted(further.length, "version")}` : ""}`;
  };
}
