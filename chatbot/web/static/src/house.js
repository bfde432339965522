// The rules of the house: limits for all who are no administrators, and what a chat has that chooses nothing.
import { Choice, choosing } from "./choice.js";
import { controlRow, refused, shownValue } from "./controls.js";
import { showDialog } from "./dialog.js";
import { make } from "./dom.js";
import { limitFields, limitsIn, limitWords } from "./limits.js";
import { Presets } from "./presets.js";
import { redraw } from "./redraw.js";
import { shelfRow } from "./shelf_choice.js";
import { button, sentence } from "./words.js";

export class House {
  /** call(name, body): asks the server and draws the page anew; hello(): fetches what can be chosen. */
  constructor(place, { call, hello }) {
    Object.assign(this, { call, hello });
    this.known = { controls: [], defaults: {}, presets: [], models: [] };
    this.choice = new Choice(async (options) => (await this.call.raw("house_options", { options })).options);
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
    this.choice.accept(house.options);
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
    const { accepted, now } = this.choice;
    const named = controls.filter(({ name }) => name in accepted);
    const rows = named.flatMap(({ name, label }) => [make("dt", {}, label), make("dd", {}, shownValue(accepted[name]))]);
    const none = make("p", { class: "facts" }, "Nothing is set here: a chat that chooses nothing has what this server was started with.");
    const some = make("p", { class: "facts" }, "A chat that chooses nothing of its own has these.");
    redraw(this.chosen, [accepted, named.length], () => (rows.length ? [some, make("dl", { class: "facts-list chosen" }, ...rows)] : [none]));
    if (!this.dialog) return;
    if (!this.rows.length) this.rows = this.rowsOf(controls);
    this.presets.update(presets, now);
    for (const { name, update } of this.rows) update({ value: now[name], fallback: defaults[name], models, shelves });
  }

  /** The controls, put into the open box; none before it is known what can be chosen. */
  rowsOf(controls) {
    const rowOf = (control) => (control.name === "library" ? shelfRow : controlRow);
    const rows = controls.map((control) => rowOf(control)(control, (value) => this.change(choosing(control.name, value))));
    if (rows.length) this.list.replaceChildren(...rows.map(({ element }) => element));
    return rows;
  }

  /** Change the defaults; whether the server has taken that. */
  async change(how) {
    this.problem.textContent = "";
    const done = this.choice.make(how);
    this.draw();
    const isTaken = await done.then(() => true, (failure) => {
      this.problem.textContent = refused(this.rows, failure, this.choice.now);
      return false;
    });
    const hello = await this.hello().catch(() => null); // what is in force now
    if (hello) this.learn(hello);
    else this.draw();
    return isTaken;
  }

  open() {
    this.problem = make("p", { class: "problem", role: "alert" });
    this.rows = []; // made when it is known what can be chosen
    this.list = make("div", {}, make("p", { class: "stage", role: "status" }, "One moment: the chat server is asked what can be chosen."));
    this.presets = new Presets({ take: (options) => this.change(() => options), save: async (name, options) => {
      const { presets } = await this.call.raw("preset", { name, options });
      this.learn({ ...this.known, presets });
    } });
    const help = make("p", { class: "help" }, "For everybody's chats, where they choose nothing of their own. Take one of your presets, or set what is to hold.");
    const body = make("div", { class: "options" }, help, this.presets.element, this.problem, this.list);
    this.dialog = showDialog("Defaults of a chat", body);
    this.dialog.classList.add("drawer");
    this.dialog.addEventListener("close", () => (this.dialog = null));
    this.draw();
  }
}
