// How full the model's memory is, as a gauge; and a drawer with the notes and exactly what the model will see.
import { showDialog } from "./dialog.js";
import { make } from "./dom.js";
import { button, counted, sentence, short } from "./words.js";

const TIMEOUT_MS = 30000; // a long conversation is counted part by part
const GROWS_MS = 400;
const MUCH = 0.75; // from here on the oldest turns are folded

export class Context {
  /** gauge: the button; now: gives {next, nUsed, nCtx} of the moment, next as the server wants it; changed: the notes were. */
  constructor(gauge, { link, now, changed }) {
    Object.assign(this, { gauge, link, now, changed });
    this.dialog = null;
    gauge.addEventListener("click", () => this.open());
  }

  /** Show how much is used while an answer grows: not with each of its pieces. */
  drawSoon() {
    this.timer ??= setTimeout(() => this.draw(), GROWS_MS);
  }

  /** Show how much is used. */
  draw() {
    clearTimeout(this.timer);
    this.timer = undefined;
    const { nUsed, nCtx, isEstimate } = this.now();
    this.gauge.hidden = !nCtx;
    if (!nCtx) return;
    const share = Math.min(1, nUsed / nCtx);
    const told = `${short(nUsed)} of ${short(nCtx)}`;
    this.gauge.textContent = isEstimate ? `~${told}` : told;
    this.gauge.style.setProperty("--share", `${Math.round(share * 100)}%`);
    this.gauge.dataset.much = String(share >= MUCH);
    this.gauge.setAttribute("aria-label", `${isEstimate ? "About " : ""}${told} tokens used: what the model sees`);
  }

  async open() {
    this.body = make("div", { class: "context" }, make("p", {}, "Counting…"));
    const dialog = (this.dialog = showDialog("What the model sees", this.body));
    dialog.classList.add("drawer");
    await this.fill();
  }

  async fill() {
    const { body } = this;
    try {
      const told = await this.link.call("context", this.now().next, TIMEOUT_MS);
      if (body === this.body) this.show(told); // else the drawer was opened anew meanwhile, maybe of another chat
    } catch (failure) {
      body.replaceChildren(make("p", { class: "problem" }, sentence(failure.message)));
    }
  }

  show({ n_ctx, n_used, n_max_answer, refusal, is_estimate, parts, n_folded, n_left_out, n_windowed, notes }) {
    const about = is_estimate ? "about " : "";
    const share = n_ctx ? ` of ${n_ctx.toLocaleString()}` : "";
    const total = make("p", {}, `${sentence(`${about}${n_used.toLocaleString()}${share} tokens`)} `);
    if (n_max_answer) total.append(`An answer may have ${n_max_answer.toLocaleString()}.`);
    if (n_left_out) total.append(` The oldest ${counted(n_left_out, "message")} did not fit and ${n_left_out === 1 ? "is" : "are"} not sent.`);
    if (n_windowed) total.append(` By this chat's rule only the last turns are sent: the oldest ${counted(n_windowed, "message")} ${n_windowed === 1 ? "is" : "are"} not.`);
    const lines = parts.map(partLine);
    const empty = make("p", {}, "Nothing yet: write a message.");
    const kept = notes ? [this.notes(notes, n_folded)] : [];
    const refused = refusal ? [make("p", { class: "problem" }, `This would not be sent: ${sentence(refusal)}`)] : [];
    this.body.replaceChildren(total, ...refused, ...kept, make("h3", {}, "Part by part"), ...(lines.length ? lines : [empty]));
  }

  /** The notes that stand for the oldest messages, to be changed or dropped. */
  notes(text, nFolded) {
    const area = make("textarea", { id: "notes", rows: "6" });
    area.value = text;
    const problem = make("div", { class: "problem", role: "alert" });
    let seen = text; // what is overwritten is what was looked at
    const compare = async (next) => {
      try {
        seen = (await this.link.call("context", next, TIMEOUT_MS)).notes;
        problem.append(make("pre", { tabindex: "0", "aria-label": "The other notes" }, seen));
      } catch {
        problem.append(make("p", {}, "They could not be fetched: press the same button once more to see them."));
      }
    };
    const send = async (changed) => {
      const { next } = this.now();
      try {
        await this.link.call("notes", { chat_id: next.chat_id, text: changed, was: seen });
      } catch (failure) {
        problem.replaceChildren(make("p", {}, sentence(failure.message)));
        if (failure.code === "notes_changed") await compare(next);
        return;
      }
      this.changed();
      await this.fill();
      this.dialog.querySelector("button").focus();
    };
    const row = make("div", { class: "actions" });
    row.append(button("", "Save notes", () => send(area.value)));
    row.append(button("quiet", "Remove notes", () => send(null)));
    const told = `The model reads these notes in place of the oldest ${counted(nFolded, "message")}, which stay in the chat.`;
    return make("section", { class: "notes" }, make("h3", {}, make("label", { for: "notes" }, "Notes")), make("p", {}, told), area, row, problem);
  }
}

function partLine({ label, n_tokens, text, is_estimate: isEstimate }) {
  const name = make("span", { class: "name" }, label);
  const size = make("span", { class: "size" }, `${isEstimate ? "about " : ""}${counted(n_tokens, "token")}`);
  return make("details", { class: "part" }, make("summary", {}, name, size), make("pre", { tabindex: "0" }, text));
}
