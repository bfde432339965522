// The list of messages: one element a message, updated in place, at most once a frame.
import { isFinal } from "./conversation.js";
import { Renderer, copy } from "./markdown.js";
import { words } from "./progress.js";

const FOLLOW_PX = 32;

const STAGES = {
  queued: "Waiting for the answer before this one",
  waiting: "Waiting for the model to load",
  reading: "Reading",
  streaming: "",
};

const ENDS = {
  stopped: "Stopped.",
  interrupted: "Cut off: the chat server was stopped in the middle of this answer. What had arrived is kept.",
};

export class MessageList {
  constructor(scroller, list, latest, onRetry) {
    this.scroller = scroller;
    this.list = list;
    this.latest = latest;
    this.onRetry = onRetry;
    this.shown = new Map();
    this.changed = new Set();
    this.pinned = true;
    this.top = 0;
    scroller.addEventListener("scroll", () => this.look(), { passive: true });
    new ResizeObserver(() => this.pinned && this.follow()).observe(scroller);
    scroller.addEventListener("wheel", (event) => event.deltaY < 0 && this.unpin(), { passive: true });
    latest.addEventListener("click", () => this.follow());
  }

  /** Show exactly these messages. */
  showAll(messages) {
    const wanted = new Set(messages.map((message) => message.id));
    for (const message of this.changed) if (!wanted.has(message.id)) this.changed.delete(message);
    for (const [id, entry] of this.shown) {
      if (!wanted.has(id)) {
        entry.element.remove();
        this.shown.delete(id);
      }
    }
    for (const message of messages) this.update(message);
  }

  /** Show a message's newest state at the next frame. */
  update(message) {
    this.changed.add(message);
    this.frame ??= requestAnimationFrame(() => this.paint());
  }

  clear() {
    this.showAll([]);
    this.pinned = true;
  }

  paint() {
    this.frame = undefined;
    for (const message of this.changed) this.draw(message);
    this.changed.clear();
    if (this.pinned) this.follow();
    this.latest.hidden = this.pinned;
  }

  draw(message) {
    let entry = this.shown.get(message.id);
    if (!entry) {
      entry = message.role === "user" ? userEntry(message) : answerEntry(this.onRetry);
      this.shown.set(message.id, entry);
      this.list.insertBefore(entry.element, message.pending ? null : this.list.querySelector("[data-pending]"));
    }
    entry.draw(message);
  }

  /** After a scroll: going up lets go of the end, going down to it takes hold again. */
  look() {
    const { scrollTop, scrollHeight, clientHeight } = this.scroller;
    const below = scrollHeight - scrollTop - clientHeight;
    if (below <= 1 || (scrollTop > this.top && below <= FOLLOW_PX)) this.pinned = true;
    else if (scrollTop < this.top) this.pinned = false;
    this.top = scrollTop;
    this.latest.hidden = this.pinned;
  }

  unpin() {
    if (this.scroller.scrollHeight > this.scroller.clientHeight) this.pinned = false;
  }

  follow() {
    this.pinned = true;
    this.scroller.scrollTop = this.scroller.scrollHeight;
    this.top = this.scroller.scrollTop;
  }
}

function make(tag, className, text = "") {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  return element;
}

function userEntry({ pending }) {
  const element = make("article", "message user");
  element.toggleAttribute("data-pending", Boolean(pending));
  element.setAttribute("aria-label", "You");
  return { element, draw: (message) => (element.textContent = message.content) };
}

function answerEntry(onRetry) {
  const element = make("article", "message answer");
  element.setAttribute("aria-label", "Answer");
  const body = make("div", "body");
  const stage = make("p", "stage");
  const bar = readingBar();
  const foot = make("div", "foot");
  element.append(body, stage, bar, foot);
  const renderer = new Renderer(body);
  let drawn = "";
  let drawnFoot = "";
  return {
    element,
    draw(message) {
      element.dataset.status = message.status;
      element.setAttribute("aria-busy", String(!isFinal(message)));
      if (message.content !== drawn) {
        renderer.show(message.content);
        drawn = message.content;
      }
      stage.textContent = words(message.progress) || (STAGES[message.status] ?? "");
      stage.hidden = !stage.textContent;
      bar.hidden = message.progress?.type !== "reading";
      bar.value = message.progress?.percent ?? 0;
      const below = JSON.stringify([message.status, message.meta]);
      if (below !== drawnFoot) drawFoot(foot, message, onRetry); // else its buttons keep the focus
      drawnFoot = below;
    },
  };
}

/** How far the model has read; hidden from screen readers, which get the words. */
function readingBar() {
  const bar = make("progress", "bar");
  bar.max = 100;
  bar.setAttribute("aria-hidden", "true");
  return bar;
}

function drawFoot(foot, message, onRetry) {
  const lines = (message.meta.notices ?? []).map((text) => make("p", "notice", text));
  if (message.meta.error) lines.push(make("p", "problem", sentence(message.meta.error.message)));
  if (ENDS[message.status]) lines.push(make("p", "notice", ENDS[message.status]));
  if (message.meta.finish_reason === "length") lines.push(make("p", "notice", "The answer reached its length limit."));
  if (isFinal(message)) lines.push(actions(message, onRetry));
  foot.replaceChildren(...lines);
}

function actions(message, onRetry) {
  const row = make("p", "actions");
  if (message.content) {
    const button = make("button", "quiet", "Copy");
    button.type = "button";
    button.addEventListener("click", async () => {
      button.textContent = (await copy(message.content)) ? "Copied" : "Press Ctrl+C";
    });
    row.append(button);
  }
  const again = make("button", "quiet retry", message.status === "done" ? "Answer again" : "Retry");
  again.type = "button";
  again.addEventListener("click", () => onRetry(message.id));
  row.append(again);
  const speed = stats(message.meta);
  if (speed) row.append(make("span", "stats", speed));
  return row;
}

function stats({ timings, usage }) {
  if (!timings?.first_s) return "";
  const writing = timings.total_s - timings.first_s;
  const tokens = usage?.completion_tokens ?? timings.n_pieces;
  const rate = tokens > 1 && writing > 0 ? ` · ${Math.round(((tokens - 1) / writing) * 10) / 10} tokens/s` : "";
  return `${tokens} ${tokens === 1 ? "token" : "tokens"} · first after ${timings.first_s.toFixed(1)} s${rate}`;
}

/** A message of the server as a sentence for a person. */
export function sentence(text) {
  const full = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(full) ? full : `${full}.`;
}
