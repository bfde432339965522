// The rules of the house: limits for all who are no administrators, and what a chat has that chooses nothing.
import { controlRow } from "./controls.js";
import { showDialog } from "./dialog.js";
import { make } from "./dom.js";
import { limitFields, limitsIn, limitWords } from "./limits.js";
import { Presets } from "./presets.js";
import { redraw } from "./redraw.js";
import { shelfRow } from "./shelf_choice.js";
import { button, sentence } from "./words.js";

const MOST_CHARS = 80; // of a value that is shown on the page

export class House {
  /** call(name, body): asks the server and draws the page anew; hello(): fetches what can be chosen. */
  constructor(place, { call, hello }) {
    Object.assign(this, { call, hello });
    this.known = { controls: [], defaults: {}, presets: [], models: [] };
    this.options = {};
    this.limits = null;
    this.limitsPart = make("div", { class: "part-of-house" });
    this.chosen = make("div");
    const change = button("", "Change the defaults", () => this.open());
    place.replaceChildren(this.limitsPart, make("div", { class: "part-of-house" }, make("h3", {}, "Defaults of a chat"), this.chosen, change));
  }

  /** Take what can be chosen. */
  learn({ controls, defaults, presets, models, shelves = this.known.shelves }) {
    this.known = { controls, defaults, presets, models, shelves };
    this.draw();
  }

  show({ accounts, house }) {
    this.options = house.options;
    const limits = accounts ? house.limits ?? {} : null;
    if (JSON.stringify(limits) !== JSON.stringify(this.limits)) this.limitsPart.replaceChildren(...(limits ? this.limitsOf(limits) : []));
    this.limits = limits;
    this.draw();
  }

  limitsOf(limits) {
    const form = make("form", { class: "limits" }, ...limitFields(limits, "house"), make("button", { type: "submit" }, "Save limits"));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.call("limits", { user_id: null, limits: limitsIn(form) }, "The limits of the house are kept.");
    });
    const now = limitWords(limits);
    const told = `For everybody who is no administrator and has no limits of their own; 0 is no limit. ${now ? sentence(`Now: ${now}`) : "Now there are none."}`;
    return [make("h3", {}, "Limits"), make("p", { class: "facts" }, told), form];
  }

  draw() {
    const { controls, defaults, models, presets, shelves } = this.known;
    const named = controls.filter(({ name }) => name in this.options);
    const rows = named.flatMap(({ name, label }) => [make("dt", {}, label), make("dd", {}, short(this.options[name]))]);
    const none = make("p", { class: "facts" }, "Nothing is set here: a chat that chooses nothing has what this server was started with.");
    const some = make("p", { class: "facts" }, "A chat that chooses nothing of its own has these.");
    redraw(this.chosen, [this.options, named.length], () => (rows.length ? [some, make("dl", { class: "facts-list chosen" }, ...rows)] : [none]));
    if (!this.dialog) return;
    this.presets.update(presets, this.options);
    for (const { name, update } of this.rows) update({ value: this.options[name], fallback: defaults[name], models, shelves });
  }

  open() {
    const problem = make("p", { class: "problem", role: "alert" });
    const take = async (options) => {
      problem.textContent = "";
      try {
        await this.call.raw("house_options", { options });
        this.learn(await this.hello());
      } catch (failure) {
        problem.textContent = `Not saved: ${sentence(failure.message)}`;
        this.draw();
      }
    };
    const set = (name, value) => {
      const { [name]: _, ...rest } = this.options;
      this.options = value === undefined ? rest : { ...rest, [name]: value };
      return take(this.options);
    };
    this.presets = new Presets({ take, save: async (name, options) => {
      const { presets } = await this.call.raw("preset", { name, options });
      this.learn({ ...this.known, presets });
    } });
    const rowOf = (control) => (control.name === "library" ? shelfRow : controlRow);
    this.rows = this.known.controls.map((control) => rowOf(control)(control, (value) => set(control.name, value)));
    const help = make("p", { class: "help" }, "For everybody's chats, where they choose nothing of their own. Take one of your presets, or set what is to hold.");
    const body = make("div", { class: "options" }, help, this.presets.element, problem, ...this.rows.map(({ element }) => element));
    this.dialog = showDialog("Defaults of a chat", body);
    this.dialog.classList.add("drawer");
    this.dialog.addEventListener("close", () => (this.dialog = null));
    this.draw();
  }
}

function short(value) {
  const text = typeof value === "object" ? JSON.stringify(value) : value === "" ? "none is sent" : String(value);
  return text.length > MOST_CHARS ? `${text.slice(0, MOST_CHARS)}…` : text;
}
