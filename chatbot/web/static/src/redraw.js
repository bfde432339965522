// Drawing a place again only when what it shows has changed: else a selection in it, and a reader's place, are lost.
const drawn = new WeakMap();

/** Put what draw() gives into a place, unless it shows the same already. Gives whether it was drawn. */
export function redraw(place, shown, draw) {
  const now = JSON.stringify(shown);
  if (drawn.get(place) === now) return false;
  drawn.set(place, now);
  place.replaceChildren(...draw());
  return true;
}
