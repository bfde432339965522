// Elements in one call, and the few drawings that buttons bear.
const SVG = "http://www.w3.org/2000/svg";
const DRAWINGS = {
  more: "M5 12h.01M12 12h.01M19 12h.01",
  panel: "M4 5h16v14H4zM9.5 5v14",
  close: "M6 6l12 12M18 6L6 18",
  books: "M5 4h4v16H5zM9 4h4v16H9zM14.2 5.2l3.7-1 3.5 14.6-3.7 1z",
};

/** An element. Attributes named on… are listeners, true and false set or drop an attribute, the rest is text. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (typeof value === "boolean") element.toggleAttribute(name, value);
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** A drawing without words: its button has a name of its own. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  const path = document.createElementNS(SVG, "path");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", `icon drawn-${name}`);
  svg.setAttribute("aria-hidden", "true");
  path.setAttribute("d", DRAWINGS[name]);
  svg.append(path);
  return svg;
}

/** A button that shows a drawing and has a name for those who do not see it. */
export function iconButton(drawing, name, attributes = {}) {
  return make("button", { type: "button", class: "quiet icon-only", "aria-label": name, title: name, ...attributes }, icon(drawing));
}

/** Whether a key belongs to an input method that is composing a word. */
export function isComposing(event) {
  return event.isComposing || event.keyCode === 229;
}

/** Show or hide an element; one that is so already is not touched, which would cost as much as a change. */
export function hide(element, isHidden) {
  if (element.hidden !== isHidden) element.hidden = isHidden;
}

/** Use the browser's storage, or the tab's own, where it is allowed and has room; null where not. */
export function stored(use, place = "localStorage") {
  try {
    return use(window[place]);
  } catch {
    return null;
  }
}
