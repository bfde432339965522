// What a person chooses for one chat: the panel with its controls and presets. Each change is sent at once; a new chat
// keeps the choice on this page until its first message takes it along.
import { complaint, controlRow, valueOf } from "./controls.js";
import { showDialog } from "./dialog.js";
import { make, stored } from "./dom.js";
import { Presets } from "./presets.js";
import { Prompts } from "./prompts.js";
import { shelfRow } from "./shelf_choice.js";
import { sentence } from "./words.js";

const KEPT = "options:new"; // what was chosen for a chat that does not exist yet

export class Options {
  /** opener: the button of the panel; changed: called when something else was chosen; learned: when a prompt was. */
  constructor(opener, { link, conversation, changed, learned }) {
    Object.assign(this, { opener, link, conversation, changed, learned });
    this.known = { controls: [], defaults: {}, presets: [], models: [], prompts: [] };
    this.dialog = null;
    this.saving = Promise.resolve();
    this.mayNot = "";
    opener.addEventListener("click", () => this.open());
  }

  /** Take what the server offers. */
  learn({ controls, defaults, presets, models, prompts }) {
    this.known = { ...this.known, controls, defaults, presets, models, prompts };
    this.draw();
    this.changed();
  }

  get chosen() {
    return this.conversation.options;
  }

  /** Another chat is open, or somebody changed this one. */
  show(options) {
    this.conversation.options = options ?? {};
    this.draw();
    this.changed();
  }

  /** What was chosen for a chat that is still to begin. */
  showKept() {
    this.show(stored((store) => JSON.parse(store.getItem(KEPT) ?? "{}")) ?? {});
  }

  /** The chat has begun and has its options. */
  forgetKept() {
    stored((store) => store.removeItem(KEPT));
  }

  /** Choose a value for one option, or the default again (undefined). Throws Failure. */
  set(name, value) {
    const { [name]: _, ...rest } = this.chosen;
    return this.take(value === undefined ? rest : { ...rest, [name]: value });
  }

  /** Choose as a person types it. Throws Error with what would be right. */
  type(name, text) {
    const control = this.known.controls.find((each) => each.name === name);
    const names = this.known.controls.map((each) => each.name).join(", ");
    if (!control) throw new Error(`There is no option ${name}. The options are ${names}.`);
    const isNone = ["system_prompt", "library"].includes(name) && text === "none";
    const value = isNone ? "" : text === "default" ? undefined : valueOf(control, text);
    const wrong = complaint(control, value);
    if (wrong) throw new Error(wrong);
    if (control.kind === "choice" && value !== undefined && !control.choices.includes(value)) {
      throw new Error(`${control.label} is one of ${control.choices.join(", ")}.`);
    }
    return this.set(name, value);
  }

  /** Make this the whole choice, here at once and on the server in turn. */
  take(options) {
    const { place } = this.conversation;
    this.mayNot = "";
    this.show(options);
    if (place.id === null) {
      stored((store) => store.setItem(KEPT, JSON.stringify(options)));
      return Promise.resolve();
    }
    const sent = this.saving.then(() => this.link.call("options", { chat_id: place.id, options }));
    this.saving = sent.catch((failure) => {
      this.mayNot = `Not saved: ${sentence(failure.message)}`;
      if (this.conversation.place === place) this.draw();
    });
    return sent;
  }

  /** Open the panel, with the focus on a control when one is named. */
  open(name = "") {
    const body = make("div", { class: "options" });
    this.dialog = showDialog("Options of this chat", body);
    this.dialog.classList.add("drawer");
    this.dialog.addEventListener("close", () => (this.dialog = null));
    this.presets = new Presets({ take: (options) => this.take(options).catch(() => {}), save: (...preset) => this.savePreset(...preset) });
    this.problem = make("p", { class: "problem", role: "alert" });
    this.rows = []; // made when the server has told what there is
    this.list = make("div");
    this.prompts = new Prompts((...prompt) => this.savePrompt(...prompt));
    body.append(this.presets.element, this.problem, this.list, this.prompts.element);
    this.draw();
    if (name) document.getElementById(`option-${name}`)?.focus();
    this.refresh("models");
    this.refresh("library", "shelves");
  }

  /** Ask what can be chosen now. */
  async refresh(event, what = event) {
    try {
      this.known[what] = (await this.link.call(event))[what];
      this.draw();
    } catch {
      // what was there the last time is shown
    }
  }

  draw() {
    const n = Object.keys(this.chosen).length;
    this.opener.textContent = n ? `Options · ${n}` : "Options";
    this.opener.setAttribute("aria-label", n ? `Options, ${n} custom` : "Options");
    if (!this.dialog) return;
    const { controls, defaults, models, presets, prompts, shelves } = this.known;
    if (!this.rows.length) {
      const rowOf = (control) => (control.name === "library" ? shelfRow : controlRow);
      this.rows = controls.map((control) => rowOf(control)(control, (value) => this.set(control.name, value).catch(() => {})));
      this.list.append(...this.rows.map(({ element }) => element));
    }
    this.problem.textContent = this.mayNot;
    this.presets.update(presets, this.chosen);
    for (const { name, update } of this.rows) update({ value: this.chosen[name], fallback: defaults[name], models, shelves });
    this.prompts.update(prompts);
  }

  async savePrompt(name, text) {
    this.known.prompts = (await this.link.call("prompt", { name, text })).prompts;
    this.learned(this.known.prompts);
    this.draw();
  }

  async savePreset(name, options) {
    this.known.presets = (await this.link.call("preset", { name, options })).presets;
    this.draw();
  }
}
