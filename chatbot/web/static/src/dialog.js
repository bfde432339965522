// A box over the page with a title and a way out. The browser keeps the focus inside and gives it back at the end.
import { iconButton, make } from "./dom.js";

/** Show a box over the page. Returns its dialog element, which goes away when it is closed. */
export function showDialog(title, ...content) {
  const close = iconButton("close", "Close this box");
  const top = make("div", { class: "top" }, make("h2", {}, title), close);
  const dialog = make("dialog", { class: "box", "aria-label": title }, top, ...content);
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("pointerdown", (event) => { if (event.target === dialog && isBeside(dialog, event)) dialog.close(); });
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** Close the boxes that are open, before another chat is: what was typed there is taken now, as its field is left. */
export function closeDialogs() {
  for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
}

function isBeside(element, { clientX: x, clientY: y }) {
  const { left, right, top, bottom } = element.getBoundingClientRect();
  return x < left || x > right || y < top || y > bottom;
}
