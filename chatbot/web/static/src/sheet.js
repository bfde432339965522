// The page's keyboard shortcuts: heard in one place, and listed on a sheet that the question mark opens.
import { showDialog } from "./dialog.js";
import { isComposing, make } from "./dom.js";

const IS_MAC = /Mac|iPhone|iPad/.test(navigator.platform);
const NAMES = { mod: IS_MAC ? "⌘" : "Ctrl", shift: "Shift", alt: IS_MAC ? "⌥" : "Alt", escape: "Esc", enter: "Enter",
  up: "↑", down: "↓", left: "←", right: "→", delete: "Delete", home: "Home", end: "End", tab: "Tab" };
const PLACES = { ";": "Semicolon", ",": "Comma", ".": "Period", "/": "Slash" };
const KEYS = { up: "arrowup", down: "arrowdown", left: "arrowleft", right: "arrowright" };

class Keys {
  constructor() {
    this.shortcuts = [];
    addEventListener("keydown", (event) => this.hear(event));
    this.add("?", "Show this sheet", () => this.show());
  }

  /** Add a shortcut such as "mod+shift+o"; mod is Ctrl, on a Mac Command. What runs may return false: "not now", and
   *  the key does what it always does. Without run it is listed only: the part of the page that owns the key hears it. */
  add(combo, label, run = null) {
    const parts = combo.toLowerCase().split("+");
    const key = parts.pop();
    this.shortcuts.push({ label, run, key, mod: parts.includes("mod"), shift: parts.includes("shift"), alt: parts.includes("alt") });
  }

  hear(event) {
    if (event.defaultPrevented || isComposing(event) || document.querySelector("dialog[open]")) return;
    for (const shortcut of this.shortcuts) {
      if (!shortcut.run || !fits(shortcut, event)) continue;
      if (!shortcut.mod && !shortcut.alt && shortcut.key.length === 1 && isTyping(event.target)) continue;
      if (shortcut.run(event) === false) continue;
      event.preventDefault();
      return;
    }
  }

  show() {
    const rows = this.shortcuts.map((shortcut) => {
      const caps = ["mod", "shift", "alt"].filter((name) => shortcut[name]).concat(shortcut.key);
      const shown = caps.flatMap((name, at) => [...(at ? ["\u00a0"] : []), make("kbd", {}, NAMES[name] ?? name.toUpperCase())]);
      return make("div", {}, make("dt", {}, shortcut.label), make("dd", {}, ...shown));
    });
    showDialog("Keyboard shortcuts", make("dl", { class: "shortcuts" }, ...rows));
  }
}

/** Whether a pressed key is a shortcut's. With others held, it is also found by its place on the board: Shift makes another
 *  sign of it, and keyboards of other scripts have other letters there. */
function fits({ key, mod, shift, alt }, event) {
  if (mod !== (IS_MAC ? event.metaKey : event.ctrlKey) || alt !== event.altKey) return false;
  if (IS_MAC ? event.ctrlKey : event.metaKey) return false;
  const pressed = event.key.toLowerCase();
  const isSign = key.length === 1 && !/[a-z]/.test(key);
  if (isSign && !mod && !alt) return pressed === key; // needs Shift or not, as the keyboard has it
  if (shift !== event.shiftKey) return false;
  const place = isSign ? PLACES[key] : `Key${key.toUpperCase()}`;
  return pressed === (KEYS[key] ?? key) || (!/^[a-z]$/.test(pressed) && event.code === place);
}

/** Whether keys pressed here are letters of a text. */
export function isTyping(element) {
  return element instanceof Element && element.closest("input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable=true]") !== null;
}

export const keys = new Keys();
