// Light, dark, or as the system has it; static/early.js puts it on the page.
import { stored } from "./dom.js";

export const THEMES = [["", "As the system"], ["light", "Light"], ["dark", "Dark"]];

/** The theme in force: "light", "dark" or "". */
export function theme() {
  return document.documentElement.dataset.theme ?? "";
}

/** Choose a theme; it is remembered where the browser allows. */
export function setTheme(name) {
  stored((store) => store.setItem("theme", name));
  dispatchEvent(new CustomEvent("theme", { detail: name }));
}

/** The next theme in the round; returns its words. */
export function nextTheme() {
  const at = THEMES.findIndex(([name]) => name === theme());
  const [name, words] = THEMES[(at + 1) % THEMES.length];
  setTheme(name);
  return words;
}
