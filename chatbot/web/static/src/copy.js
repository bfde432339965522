/** Put a text into the clipboard; false when the browser allows no way.
 *
 * The clipboard API exists only in secure contexts; a page served over plain http in a home network has none. */
export async function copy(text) {
  if (navigator.clipboard?.writeText) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      // denied: the older way below may still work
    }
  }
  const focused = document.activeElement;
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "offscreen";
  (document.querySelector("dialog[open]") ?? document.body).append(area); // beside an open box nothing can be selected
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  focused?.focus?.();
  return done;
}
