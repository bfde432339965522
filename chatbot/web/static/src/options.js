// What a person chooses for one chat: the panel with its controls and presets. Each change is sent at once; a new chat
// keeps the choice on this page until its first message takes it along.
import { Choice, choosing, same } from "./choice.js";
import { controlRow, refused } from "./controls.js";
import { showDialog } from "./dialog.js";
import { make } from "./dom.js";
import { Presets } from "./presets.js";
import { Prompts } from "./prompts.js";
import { shelfRow } from "./shelf_choice.js";
import { sentence } from "./words.js";

export class Options {
  /** opener: the button of the panel; changed: called when something else was chosen; learned: when a prompt was. */
  constructor(opener, { link, conversation, drafts, changed, learned }) {
    Object.assign(this, { opener, link, conversation, drafts, changed, learned });
    this.known = { controls: [], defaults: {}, presets: [], models: [], prompts: [] };
    this.dialog = null;
    this.place = null; // the visit that made is of
    this.made = null;
    this.mayNot = "";
    this.unanswered = []; // changes of which mayNot says that they were not answered
    opener.addEventListener("click", () => this.open());
  }

  /** Take what the server offers. */
  learn({ controls, defaults, presets, models, prompts }) {
    this.known = { ...this.known, controls, defaults, presets, models, prompts };
    this.redraw();
    if (this.conversation.id === null) this.checkKept();
  }

  get chosen() {
    return this.conversation.options;
  }

  /** What holds in the open chat: the defaults, where nothing else is chosen. */
  get inForce() {
    return { ...this.known.defaults, ...this.chosen };
  }

  /** What is chosen in the open chat, a Choice for each visit. */
  get choice() {
    const { place } = this.conversation;
    if (this.place !== place) Object.assign(this, { place, made: new Choice((options) => this.send(place, options)), mayNot: "", unanswered: [] });
    return this.made;
  }

  /** Another chat is open, or somebody changed this one. */
  show(options) {
    this.choice.accept(options ?? {});
    this.clearAnswered();
    this.redraw();
  }

  /** What was not answered in time may be taken after all. */
  clearAnswered() {
    const { accepted } = this.choice;
    if (!this.unanswered.length || !this.unanswered.every((change) => same(change(accepted), accepted))) return;
    this.mayNot = "";
    this.unanswered = [];
  }

  redraw() {
    this.conversation.options = this.choice.now;
    this.draw();
    this.changed();
  }

  /** What was chosen for a chat that is still to begin. */
  showKept() {
    const { place } = this.conversation;
    this.drafts.restore(null, (isLate) => {
      if (place !== this.conversation.place || place.id !== null || Object.keys(this.chosen).length) return;
      this.show(this.drafts.readJson("options", null) ?? {});
      if (isLate) this.checkKept();
    });
  }

  /** The message that begins the chat has its options. */
  forgetKept() {
    this.drafts.write("options", null, "");
  }

  /** A message was refused: what was chosen for the chat that it was to begin is kept again. */
  keepAgain({ place, options }) {
    if (place.id !== null || this.drafts.read("options", null)) return;
    this.write(place === this.conversation.place ? this.chosen : options);
  }

  /** What was kept on this page may be none for this server any more: then it is left out, and the panel says why. */
  async checkKept() {
    const reasons = [];
    while (Object.keys(this.choice.accepted).length) {
      const { choice } = this;
      const failure = await this.change((options) => options).catch((why) => why);
      if (choice !== this.choice) return;
      if (!(failure?.option in choice.accepted)) break;
      reasons.push(sentence(failure.message));
      this.show(choosing(failure.option, undefined)(choice.accepted));
      this.keep(this.conversation.place, this.choice.now);
    }
    if (!reasons.length) return;
    this.mayNot = `Left out of what was chosen here: ${reasons.join(" ")}`;
    this.draw();
  }

  /** Choose a value for one option, or the default again (undefined). Throws Failure. */
  set(name, value) {
    return this.change(choosing(name, value));
  }

  /** Ask no shelf in this chat, also where the house has one for all. Throws Failure. */
  async askNoShelf() {
    const { library: fallback } = this.known.defaults;
    if (this.chosen.library ?? fallback) await this.set("library", fallback ? "" : undefined);
  }

  /** Make this the whole choice. Throws Failure. */
  take(options) {
    return this.change(() => options);
  }

  /** Change what is chosen: seen at once, and taken back where the server refuses it. Throws Failure. */
  async change(change) {
    const { choice, place } = this;
    Object.assign(this, { mayNot: "", unanswered: [] });
    const done = choice.make(change);
    this.keep(place, choice.now);
    this.redraw();
    try {
      await done;
    } catch (failure) {
      if (choice === this.choice && this.dialog) this.mayNot = refused(this.rows, failure, choice.now);
      if (choice === this.choice && failure.code === "no_answer") this.unanswered.push(change);
      this.clearAnswered();
      throw failure;
    } finally {
      this.keep(place, choice.now);
      if (choice === this.choice) this.redraw();
    }
  }

  /** Have the server keep these options of a chat, or look at those of one that is still to begin. A chat whose first
   *  message is on its way gets them when it is there. */
  async send(place, options) {
    await place.arrival;
    try {
      return (await this.link.call("options", { chat_id: place.id, options })).options;
    } catch (failure) {
      if (place.id === null && failure.code === "no_answer") return options; // looked at when the server is there again
      throw failure;
    }
  }

  keep(place, options) {
    if (place.id === null && !place.arrival) this.write(options); // else a message has them
  }

  write(options = {}) {
    this.drafts.write("options", null, Object.keys(options).length ? JSON.stringify(options) : "");
  }

  /** Open the panel, with the focus on a control when one is named. */
  open(name = "") {
    const body = make("div", { class: "options" });
    this.dialog = showDialog("Options of this chat", body);
    this.dialog.classList.add("drawer");
    this.dialog.addEventListener("close", () => (this.dialog = null));
    this.presets = new Presets({ take: (options) => this.take(options).then(() => true, () => false), save: (...preset) => this.savePreset(...preset) });
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

  /** Ask what can be chosen now, however long a busy server takes. */
  async refresh(event, what = event) {
    try {
      this.known[what] = (await this.link.callUntilAnswered(event))[what];
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
