// What the views of the library share: the head of a view, how far a run is in words, and drawing anew without losing
// the place of who works with the keyboard.
import { iconButton, make } from "./dom.js";

/** The head of a view: where one comes from, its name, what can be done. */
export function head({ crumb, title, ways = [] }) {
  const heading = make("h1", { tabindex: "-1" }, title);
  const crumbs = crumb ? [make("p", { class: "crumb" }, crumb)] : [];
  return { heading, element: make("div", { class: "head-of-view" }, ...crumbs, make("div", { class: "row" }, heading, ...ways)) };
}

/** A link that leads back to the conversation. */
export function backLink() {
  return make("a", { href: "/", "data-back": "" }, "← Back to the chat");
}

/** A button that opens a list of actions. choices() -> the items of the menu. */
export function moreButton(lib, name, key, choices) {
  const more = iconButton("more", name, { "aria-haspopup": "menu", "aria-expanded": "false", "data-key": key });
  more.addEventListener("click", () => lib.page.menu.toggle(more, name, choices()));
  return more;
}

/** Draw something anew, and give the focus back to the element of the same data-key; to other where it is gone. */
export function keepingFocus(place, draw, other) {
  const { activeElement: focused } = document;
  const key = place.contains(focused) ? focused.dataset.key ?? focused.closest("[data-key]")?.dataset.key : undefined;
  const wasInside = place.contains(focused);
  draw();
  if (!wasInside || place.contains(document.activeElement)) return;
  ((key && place.querySelector(`[data-key="${CSS.escape(key)}"]`)) ?? other)?.focus({ preventScroll: true });
}

/** Seconds as a person says them. */
function left(seconds) {
  if (seconds === null || seconds === undefined) return "";
  if (seconds < 5) return "a few seconds left";
  if (seconds < 55) return `about ${Math.ceil(seconds / 5) * 5} s left`;
  const minutes = Math.round(seconds / 60);
  return minutes < 90 ? `about ${Math.max(1, minutes)} min left` : `about ${Math.round(minutes / 60)} h left`;
}

/** How far a run is, in words. */
export function progressWords({ progress }) {
  if (!progress) return "About to be read";
  const { n_done: n, n_all: all, left_s: seconds } = progress;
  const done = all ? `${n.toLocaleString()} of ${all.toLocaleString()}` : `${n.toLocaleString()} so far`;
  return [`Reading: ${done}`, left(seconds)].filter(Boolean).join(" · ");
}

/** A bar for a run; without an end in sight it only moves. */
export function progressBar({ progress }, name) {
  const bar = make("progress", { class: "bar", max: "100", "aria-label": name });
  if (progress?.n_all) bar.value = Math.round((100 * progress.n_done) / progress.n_all);
  return bar;
}
