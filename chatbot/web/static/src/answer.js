// One answer: thoughts, text, how far it is, how it ended, and what can be done with it.
import { hasNoWord, isFinal } from "./conversation.js";
import { copy } from "./copy.js";
import { hide, make } from "./dom.js";
import { Change } from "./editor.js";
import { groundsModule, lookingIn } from "./grounded.js";
import { Renderer } from "./markdown.js";
import { withSources } from "./place.js";
import { words } from "./progress.js";
import { Reasoning } from "./reasoning.js";
import { versions } from "./versions.js";
import { button, height, sentence } from "./words.js";

const STAGES = {
  queued: "Waiting for the answer before this one",
  waiting: "Waiting for the model",
  reading: "Reading",
  streaming: "",
};

const ENDS = {
  stopped: "Stopped.",
  interrupted: "Cut off: the chat server was stopped in the middle of this answer. What had arrived is kept.",
};
const NEVER_BEGUN = "This message was not answered yet: the chat server was stopped.";

/** deeds: drafts, and what a click does: retry, goOn, change, branch, dequeue, askWithout, showContext. */
export function answerEntry(deeds) {
  const element = make("article", { class: "message answer" });
  element.setAttribute("aria-label", "Answer");
  const reasoning = new Reasoning();
  const body = make("div", { class: "body text" });
  const stage = make("p", { class: "stage" });
  const bar = readingBar();
  const foot = make("div", { class: "foot" });
  element.append(reasoning.element, body, stage, bar, foot);
  const renderer = new Renderer(body);
  let drawn = "";
  let wasWhole = false;
  let drawnFoot = "";
  let message = null;
  let grounds = null; // what an answer from the library has beside its text

  const change = new Change(element, {
    drafts: deeds.drafts,
    put: (form) => element.insertBefore(form, foot),
    take: (now, text) => deeds.change(now, text),
    words: () => ({ label: "Text of the answer", verb: "Save" }),
  });
  const edit = () => change.edit(message);

  /** Make ready what an answer from the library needs; true when its text has to be drawn anew for it. */
  const ground = (now, place) => {
    if (!now.meta.library) return false;
    const module = groundsModule(() => { if (message === now) draw(now, place); });
    if (!module) return false;
    grounds ??= new module.Grounds({ element, body, stage, foot, renderer }, deeds);
    return grounds.take(now);
  };

  const draw = (now, place) => {
    message = now;
    const isWhole = isFinal(now);
    if (element.dataset.status !== now.status) {
      element.dataset.status = now.status;
      element.setAttribute("aria-busy", String(!isWhole));
    }
    if (isWhole && now.content) change.goOn(now);
    reasoning.draw(now);
    if (ground(now, place) || now.content !== drawn || isWhole !== wasWhole) renderer.show(now.content, isWhole);
    grounds?.draw(now);
    if (isWhole && !wasWhole) element.style.setProperty("--tall", height(now.content));
    drawn = now.content;
    wasWhole = isWhole;
    tell(stage, stageOf(now));
    hide(bar, now.progress?.type !== "reading");
    if (!bar.hidden) bar.value = now.progress.percent;
    const below = JSON.stringify([now.status, { ...now.meta, library: null }, now.siblings, place, !now.content]);
    if (below !== drawnFoot) drawFoot(foot, now, place, { ...deeds, edit }); // else its buttons keep the focus
    drawnFoot = below;
  };

  return { element, edit, draw };
}

/** What is said while there is no text yet; a block of thoughts tells of itself. */
function stageOf(message) {
  if (message.reasoning && message.status !== "queued" && !message.progress) return "";
  const isLooking = !isFinal(message) && message.status !== "queued" && lookingIn(message);
  return words(message.progress) || isLooking || (STAGES[message.status] ?? "");
}

function tell(element, text) {
  if (element.textContent !== text) element.textContent = text;
  hide(element, !text);
}

/** How far the model has read; hidden from screen readers, which get the words. */
function readingBar() {
  const bar = make("progress", { class: "bar" });
  bar.max = 100;
  bar.setAttribute("aria-hidden", "true");
  return bar;
}

function drawFoot(foot, message, place, deeds) {
  const { meta, status } = message;
  const lines = (meta.notices ?? []).map((text) => make("p", { class: "notice" }, text));
  if (isFinal(message)) {
    if (meta.error) lines.push(make("p", { class: "problem" }, sentence(meta.error.message)));
    const end = status === "interrupted" && hasNoWord(message) ? NEVER_BEGUN : ENDS[status];
    if (end) lines.push(make("p", { class: "notice" }, end));
    if (meta.finish_reason === "length") lines.push(make("p", { class: "notice" }, "The answer reached its length limit."));
    if (place.isOutdated) lines.push(outdatedLine(deeds));
    lines.push(actions(message, place, deeds));
  }
  if (status === "queued") lines.push(queueRow(message, deeds));
  foot.replaceChildren(...lines);
}

/** What is said at an answer that was edited after it was folded. */
function outdatedLine({ showContext }) {
  const told = "The model reads notes in place of this answer, and they were made before it was edited. ";
  return make("p", { class: "notice" }, told, button("quiet", "Change the notes", () => showContext()));
}

function queueRow(message, deeds) {
  const row = make("div", { class: "actions" });
  row.append(button("quiet", "Take it back", () => deeds.dequeue(message), "Take it back: this message is not sent"));
  return row;
}

/** Whether an answer ended before its time, so that it can go on. */
function canGoOn({ content, status, meta }) {
  return content && (status !== "done" || meta.finish_reason === "length");
}

function actions(message, { isLast, isOpen }, deeds) {
  const { content, meta } = message;
  const row = make("div", { class: "actions" });
  row.append(...versions(message, deeds.branch));
  if (isOpen && canGoOn(message)) row.append(button("quiet go-on", "Continue", () => deeds.goOn(message)));
  if (content) row.append(copyButton(withSources(message)));
  row.append(retryButton(message, isLast, deeds));
  if (content) row.append(button("quiet edit", "Edit", deeds.edit, "Edit answer"));
  const told = [meta.edited && "edited", stats(meta)].filter(Boolean).join(" · ");
  if (told) row.append(make("span", { class: "stats" }, told));
  return row;
}

/** Another answer beside this one; one without a word is given where it stands. */
function retryButton(message, isLast, deeds) {
  const words = hasNoWord(message) || (isLast && message.status !== "done") ? "Retry" : "Answer again";
  return button("quiet retry", words, () => deeds.retry(message));
}

function copyButton(content) {
  const made = button("quiet", "Copy", async () => {
    made.textContent = (await copy(content)) ? "Copied" : "Press Ctrl+C";
  });
  return made;
}

function stats({ timings, usage }) {
  if (!timings?.first_s) return "";
  const writing = timings.total_s - timings.first_s;
  const tokens = usage?.completion_tokens ?? timings.n_pieces;
  const rate = tokens > 1 && writing > 0 ? ` · ${Math.round(((tokens - 1) / writing) * 10) / 10} tokens/s` : "";
  return `${tokens} ${tokens === 1 ? "token" : "tokens"} · first after ${timings.first_s.toFixed(1)} s${rate}`;
}
