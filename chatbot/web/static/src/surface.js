// What stands around the conversation: the strip that says how the servers are, the sentence of a problem, the words of
// an empty chat, and the drawer of a narrow window.
import { sentence } from "./words.js";

const byId = (id) => document.getElementById(id);
const STATES = {
  away: "The model is away: nobody answers at its address. Your chats are safe; it is looked for every 2 seconds.",
  loading: "The model is being loaded. A message sent now is answered as soon as it is there.",
};
const CUT_OFF = "The chat server does not answer. Trying again; what you typed is kept.";

export class Surface {
  constructor() {
    this.problemCode = "";
    this.menu = byId("menu");
    this.side = byId("side");
    this.menu.addEventListener("click", () => this.showSide(true));
    byId("shade").addEventListener("click", () => this.showSide(false));
    this.side.addEventListener("click", ({ target }) => { if (target.closest("#close")) this.showSide(false); });
    matchMedia("(max-width: 46rem)").addEventListener("change", () => this.showSide(false));
  }

  /** Say how the connection and the model are. */
  showState({ connected, refusal }, { state, model, notice }) {
    const text = connected ? STATES[state] ?? "" : (refusal && sentence(refusal)) || CUT_OFF;
    tell(byId("strip"), text);
    tell(byId("demo"), notice);
    if (model) this.showMode(model.is_base);
  }

  /** A base model goes on with a text; others answer. While no model is there, the page stays as it was. */
  showMode(isBase) {
    byId("base").hidden = !isBase;
    byId("welcome").textContent = isBase ? "How does your text begin?" : "What would you like to talk about?";
    byId("input").placeholder = isBase ? "Text to continue…" : "Write a message";
  }

  showTitle(title) {
    document.title = title ?? "Paddock";
    byId("title").textContent = title ?? "New chat";
  }

  showProblem(text, code = "") {
    this.problemCode = code;
    tell(byId("problem"), text && sentence(text));
  }

  /** The drawer of a narrow window. */
  showSide(open) {
    if (this.isSideOpen === open) return;
    this.menu.setAttribute("aria-expanded", String(open));
    this.side.classList.toggle("open", open);
    byId("shade").hidden = !open;
    byId("main").inert = open;
    (open ? byId("close") : this.menu).focus();
  }

  get isSideOpen() {
    return this.menu.getAttribute("aria-expanded") === "true";
  }
}

function tell(element, text) {
  element.textContent = text;
  element.hidden = !text;
}
