// What happens now: the model server's numbers, its models, who is being answered. Asked for every two seconds, but only
// while somebody looks at the page.
import { bytes, rounded } from "./amounts.js";
import { make } from "./dom.js";
import { redraw } from "./redraw.js";
import { Spark } from "./spark.js";
import { counted, sentence } from "./words.js";

const EVERY_MS = 2000;
const N_SHOWN = 90; // three minutes
const STATES = { ok: "loaded", loading: "being loaded", unloaded: "loaded when it is asked", failed: "could not be loaded" };
const STEPS = { queued: "waits in the queue", waiting: "waits for the model", reading: "the question is being read", streaming: "the answer is being written" };
const ROWS = [
  ["tokens_per_s", "Tokens written a second", rounded],
  ["prompt_tokens_per_s", "Tokens read a second", rounded],
  ["requests_running", "Requests computed now", rounded],
  ["requests_waiting", "Requests that wait", rounded],
  ["kv_used_ratio", "Room for conversations in use", (share) => `${Math.round(share * 100)} %`],
  ["rss_bytes", "Memory of the model server", bytes],
  ["card_bytes", "Memory on the card", bytes],
];
const TOTAL = "requests_total";
// What may be missing without a word: a machine without a card has no memory there.
const OPTIONAL = new Set(["card_bytes", "rss_bytes", "kv_used_ratio"]);

export class Now {
  /** ask: fetches what the server tells; places for the numbers and for the models. */
  constructor(ask, numbers, models) {
    Object.assign(this, { ask, models });
    this.problem = make("p", { class: "none", hidden: true });
    this.rows = ROWS.map(([name, label, words]) => row(name, label, words));
    this.list = make("dl", { class: "figures" }, ...this.rows.map(({ element }) => element));
    this.total = make("p", { class: "facts" });
    this.answers = make("div", { class: "answers" });
    numbers.replaceChildren(this.problem, this.list, this.total, make("h3", {}, "Who is being answered"), this.answers);
    this.isAsking = false;
    document.addEventListener("visibilitychange", () => this.look());
    setInterval(() => this.look(), EVERY_MS);
  }

  async look() {
    if (document.hidden || this.isAsking) return;
    this.isAsking = true;
    try {
      this.show(await this.ask());
    } catch (failure) {
      this.show({ problem: failure.message, models: [], metrics: null, answers: [] });
    }
    this.isAsking = false;
  }

  show({ problem, models, metrics, answers }) {
    const without = problem ? sentence(problem) : "The model server tells no numbers: it has no /metrics, or keeps them to itself.";
    put(this.problem, metrics ? "" : without);
    this.list.hidden = !metrics;
    for (const { show } of this.rows) show(metrics);
    put(this.total, metrics && metrics[TOTAL] !== null ? `${counted(metrics[TOTAL], "request")} answered since the model server was started.` : "");
    redraw(this.answers, answers, () => [answers.length ? make("ul", { class: "people" }, ...answers.map(answerLine)) : make("p", { class: "none" }, "Nobody, at this moment.")]);
    const none = problem ? sentence(problem) : "The model server names no model.";
    redraw(this.models, [models, none], () => [models.length ? make("ul", { class: "people" }, ...models.map(modelLine)) : make("p", { class: "none" }, none)]);
  }
}

function row(name, label, words) {
  const value = make("span", { class: "value" });
  const spark = new Spark(label, N_SHOWN, words);
  const element = make("div", {}, make("dt", {}, label), make("dd", {}, value, spark.element));
  const show = (metrics) => {
    const now = metrics?.[name] ?? null;
    element.hidden = now === null && OPTIONAL.has(name);
    value.textContent = now === null ? "not known yet" : words(now);
    value.classList.toggle("unknown", now === null);
    spark.add(now);
  };
  return { element, show };
}

function answerLine({ user, title, status }) {
  return make("li", {}, make("span", { class: "words" }, user || "This machine", make("span", { class: "facts" }, [title && `“${title}”`, STEPS[status] ?? status].filter(Boolean).join(" · "))));
}

function modelLine({ name, state, summary, abilities, size }) {
  const state_ = make("span", { class: "state", "data-state": state }, STATES[state] ?? state);
  const told = [summary, abilities, size].filter(Boolean).join(" ");
  return make("li", {}, make("div", { class: "words" }, make("strong", {}, name), " ", state_, make("span", { class: "facts" }, told)));
}

function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
  element.hidden = !text;
}
