// A number's last minutes as a line: drawn by hand, with words for those who do not see it.
const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 120;
const HEIGHT = 28;

export class Spark {
  /** name: of what the numbers are; most: how many it shows; words: puts one of them into words. */
  constructor(name, most, words) {
    Object.assign(this, { name, most, words });
    this.values = [];
    this.element = document.createElementNS(SVG, "svg");
    this.line = document.createElementNS(SVG, "path");
    this.element.setAttribute("class", "spark");
    this.element.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    this.element.setAttribute("preserveAspectRatio", "none");
    this.element.setAttribute("role", "img");
    const ground = document.createElementNS(SVG, "path");
    ground.setAttribute("class", "ground");
    ground.setAttribute("d", `M0 ${HEIGHT - 0.5}H${WIDTH}`);
    this.element.append(ground, this.line);
    this.add(null);
  }

  /** One more number, the newest; null where there is none. */
  add(value) {
    this.values = [...this.values, value].slice(-this.most);
    const known = this.values.filter((each) => each !== null);
    this.line.setAttribute("d", pathOf(this.values, this.most));
    this.element.setAttribute("aria-label", known.length > 1
      ? `${this.name}, the last minutes: from ${this.words(Math.min(...known))} to ${this.words(Math.max(...known))}`
      : `${this.name}: no line yet`);
  }
}

/** The path through these values, the newest at the right; where one is missing, there is a gap. */
function pathOf(values, most) {
  const top = Math.max(1e-9, ...values.filter((value) => value !== null));
  const first = most - values.length;
  let isBegun = false;
  return values.map((value, at) => {
    if (value === null) {
      isBegun = false;
      return "";
    }
    const x = ((first + at) / (most - 1)) * WIDTH;
    const y = HEIGHT - 1 - (value / top) * (HEIGHT - 2);
    const step = isBegun ? "L" : "M";
    isBegun = true;
    return `${step}${x.toFixed(1)} ${y.toFixed(1)}`;
  }).join("");
}
