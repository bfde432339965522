// What an administrator has to say to everybody: a line under the header, until it is put away or an hour old.
import { iconButton, make, stored } from "./dom.js";

const SHOWN_MS = 3600 * 1000;
const PUT_AWAY = "alert"; // the time of the last alert that was put away here

export class Alerts {
  /** place: the element that it stands behind. */
  constructor(place) {
    this.text = make("span");
    const close = iconButton("close", "Put this message away", { onclick: () => this.putAway() });
    this.line = make("div", { class: "alert", hidden: true }, this.text, close);
    place.after(make("div", { role: "status" }, this.line)); // the region is there before its words: so they are read out
  }

  /** Show what was said, unless it was put away or is over: {text, at, from}, or nothing. */
  show(said) {
    clearTimeout(this.timer);
    const left = said ? said.at * 1000 + SHOWN_MS - Date.now() : 0;
    const isOld = left <= 0 || stored((store) => Number(store.getItem(PUT_AWAY))) >= said.at;
    this.at = said?.at;
    this.line.hidden = isOld;
    this.text.textContent = isOld ? "" : `${said.from ? `${said.from}: ` : ""}${said.text}`;
    if (!isOld) this.timer = setTimeout(() => this.show(null), left);
  }

  putAway() {
    stored((store) => store.setItem(PUT_AWAY, String(this.at)));
    this.show(null);
    document.getElementById("input")?.focus();
  }
}
