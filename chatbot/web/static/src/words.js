// Words and numbers as a person reads them, and buttons that bear words.
import { make } from "./dom.js";

/** A button that does something. label: what a screen reader says when the text alone is not plain. */
export function button(className, text, onClick, label = "") {
  const named = label ? { "aria-label": label } : {};
  return make("button", { type: "button", class: className, onclick: onClick, ...named }, text);
}

/** A message of the server as a sentence for a person. An address at its beginning stays as it is; the names of files,
 *  which may have spaces, never begin one. */
export function sentence(text) {
  const full = /^\S+\.\w/.test(text) ? text : text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?…]$/.test(full) ? full : `${full}.`;
}

/** A number of tokens or characters, short: 980, 3.1k, 12k. */
export function short(n) {
  if (n < 1000) return String(n);
  const thousands = n / 1000;
  return `${thousands < 10 ? String(Math.round(thousands * 10) / 10) : Math.round(thousands)}k`;
}

/** "1 word", "2 words". */
export function counted(n, what) {
  return `${n.toLocaleString()} ${what}${n === 1 ? "" : "s"}`;
}

/** About how high a text stands, as a length: what is out of sight is not laid out. */
export function height(text) {
  return `${Math.round(1.6 * (text.split("\n").length + text.length / 80)) + 4}rem`;
}

/** Whether fingers are the main way to point: then Enter makes a line, and nothing takes the focus by itself. */
export const isTouch = matchMedia("(pointer: coarse)").matches;

/** Make a text area as high as its text. holder keeps its height meanwhile, so that nothing around it moves. */
export function fitHeight(area, holder) {
  holder.style.minHeight = `${holder.offsetHeight}px`;
  area.style.height = "auto";
  area.style.height = `${area.scrollHeight + area.offsetHeight - area.clientHeight}px`;
  holder.style.minHeight = "";
}
