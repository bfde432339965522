// The keys of the conversation, as the list of shortcuts names them.
import { keys } from "./sheet.js";

/** escape: leaves what is open; copy("code" or ""): the last answer or its last block of code; step(by): through versions. */
export function listenForKeys({ escape, copy, step }) {
  addEventListener("keydown", (event) => {
    const isElsewhere = event.isComposing || event.defaultPrevented || document.querySelector("dialog[open]");
    if (isElsewhere) return;
    if (event.key === "Escape") escape();
    if (event.code === "Semicolon" && event.shiftKey && (event.ctrlKey || event.metaKey)) copy("code");
  });
  keys.add("enter", "Send; with Shift, a new line");
  keys.add("escape", "Stop the answer");
  keys.add("up", "Change your last message, in an empty message box");
  keys.add("/", "Commands, in an empty message box");
  keys.add("alt+left", "Earlier version of a message", () => step(-1));
  keys.add("alt+right", "Later version of a message", () => step(1));
  keys.add("mod+shift+c", "Copy the last answer", () => { copy(""); });
  keys.add("mod+shift+;", "Copy its last block of code"); // heard above: with Shift its sign is another one
}
