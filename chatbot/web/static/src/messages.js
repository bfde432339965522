// The list of messages: one element a message, updated in place, at most once a frame.
import { answerEntry } from "./answer.js";
import { isOpen } from "./conversation.js";
import { hide, make } from "./dom.js";
import { NO_EDGE } from "./edge.js";
import { Frames } from "./frames.js";
import { saidEntry } from "./said.js";
import { button } from "./words.js";

const FOLLOW_PX = 32;
const DRAW_MS = 8; // of a long chat so much at a time, from its end upwards
const FOUND_MS = 2500;
const UPWARDS = new Set(["ArrowUp", "PageUp", "Home"]);
const LEAVING_MS = 250; // a key scrolls smoothly: its first steps are still at the end, and must not take hold of it again

export class MessageList {
  /** deeds: what the buttons of messages do. */
  constructor(scroller, list, latest, deeds) {
    this.scroller = scroller;
    this.list = list;
    this.latest = latest;
    this.deeds = deeds;
    this.shown = new Map();
    this.changed = new Set();
    this.order = [];
    this.whole = []; // the order with what is cleared away
    this.away = new Set(); // the ids of that
    this.sought = null; // the message that is being brought into sight, until all is drawn
    this.pinned = true;
    this.top = 0;
    this.leavesUntil = 0;
    this.frames = new Frames(() => this.paint());
    this.edge = NO_EDGE;
    this.nAbove = 0; // so many of the messages in order stand above its line
    this.line = edgeLine(deeds);
    scroller.addEventListener("scroll", () => this.look(), { passive: true });
    const sizes = new ResizeObserver(() => this.pinned && this.follow());
    sizes.observe(scroller);
    sizes.observe(list); // what comes into sight is laid out only then
    scroller.addEventListener("wheel", (event) => event.deltaY < 0 && this.unpin(), { passive: true });
    scroller.addEventListener("keydown", ({ key, target }) => target === scroller && UPWARDS.has(key) && this.unpin());
    list.addEventListener("grown", () => this.pinned && this.follow());
    list.addEventListener("toggle", () => this.pinned && this.follow(), true); // thoughts that open
    latest.addEventListener("click", () => this.follow());
  }

  /** Show exactly these messages, with a line behind those that the model does not get as they stand: see edgeOf. */
  showAll(whole, edge = NO_EDGE) {
    this.whole = whole;
    this.edge = edge;
    const messages = whole.filter(({ id }) => !this.away.has(id));
    const wanted = new Set(messages.map((message) => message.id));
    for (const [id, entry] of this.shown) {
      if (!wanted.has(id)) {
        entry.element.remove();
        this.shown.delete(id);
      }
    }
    this.order = messages;
    this.nAbove = Math.min(Math.max(0, edge.n - (whole.length - messages.length)), messages.length);
    this.line.firstElementChild.textContent = edge.words;
    this.changed = new Set(messages);
    this.mustArrange = true;
    this.frames.ask(true);
  }

  /** Show the same messages with the line elsewhere. */
  mark(edge) {
    const told = ({ n, words, outdated }) => JSON.stringify([n, words, ...outdated]);
    if (told(edge) !== told(this.edge)) this.showAll(this.whole, edge);
  }

  /** Show a message's newest state at the next frame. */
  update(message) {
    if (this.away.has(message.id)) return;
    this.changed.add(message);
    if (this.shown.get(message.id)?.element.dataset.status !== message.status) this.lookBefore(message);
    this.frames.ask();
  }

  /** Whether an answer can go on hangs on those behind it; what became of files, on the answer behind them. */
  lookBefore(message) {
    const before = this.order.slice(0, this.order.findIndex(({ id }) => id === message.id)).reverse();
    if (before[0]?.files?.length) this.changed.add(before[0]);
    for (const each of before.filter(({ role }) => role === "assistant")) {
      this.changed.add(each);
      if (each.content) break;
    }
  }

  clear() {
    this.away.clear();
    this.showAll([]);
    this.pin(true);
    this.sought = null;
  }

  /** Clear away what is shown: it comes back with the page, or when one of its messages is asked for. */
  putAway() {
    this.away = new Set(this.whole.map(({ id }) => id));
    this.showAll(this.whole, this.edge);
  }

  /** A message's entry, {element, edit}, drawn now where it waits for the next frame. */
  entry(id) {
    if (this.away.has(id)) {
      this.away.clear();
      this.showAll(this.whole, this.edge);
    }
    const message = this.order.find((each) => each.id === id);
    if (message && this.changed.delete(message)) {
      this.draw(message);
      this.arrange();
    }
    return this.shown.get(id);
  }

  paint() {
    const until = performance.now() + DRAW_MS;
    for (const message of [...this.changed].reverse()) {
      this.changed.delete(message);
      this.draw(message);
      if (performance.now() > until) break;
    }
    if (this.mustArrange) this.arrange();
    this.mustArrange = this.changed.size > 0;
    if (this.mustArrange) this.frames.ask(true);
    if (this.pinned) this.follow();
    else this.seek();
    hide(this.latest, this.pinned);
  }

  draw(message) {
    let entry = this.shown.get(message.id);
    if (!entry) {
      entry = message.role === "user" ? saidEntry(message, this.deeds) : answerEntry(this.deeds);
      this.shown.set(message.id, entry);
    }
    if (message.role === "user") entry.draw(message, this.givenOf(message));
    else this.drawAnswer(entry, message);
  }

  drawAnswer(entry, message) {
    entry.draw(message, {
      isLast: message === this.order.at(-1),
      isOpen: isOpen(this.order, message),
      isOutdated: this.edge.outdated.has(message.id),
    });
  }

  /** How the model got the files of a message. */
  givenOf(message) {
    return message.files?.length ? this.order[this.order.indexOf(message) + 1]?.meta?.files : undefined;
  }

  /** Put the elements into the order of the messages; those that stand right are not touched. */
  arrange() {
    const wanted = this.order.map(({ id }) => this.shown.get(id)?.element);
    if (this.nAbove) wanted.splice(this.nAbove, 0, this.line);
    else this.line.remove();
    wanted.filter(Boolean).forEach((element, at) => {
      const there = this.list.children[at];
      if (there !== element) this.list.insertBefore(element, there ?? null);
    });
  }

  /** Bring a message into sight and mark it for a moment. */
  showMessage(id) {
    const { element } = this.entry(id) ?? {};
    if (!element) return;
    this.pin(false);
    this.sought = element;
    this.seek();
    element.classList.add("found");
    setTimeout(() => element.classList.remove("found"), FOUND_MS);
  }

  /** What is drawn around the message that is sought must not push it away. */
  seek() {
    this.sought?.scrollIntoView({ block: "center" });
    if (!this.changed.size) this.sought = null;
  }

  /** After a scroll: going up lets go of the end, going down to it takes hold again. */
  look() {
    const { scrollTop, scrollHeight, clientHeight } = this.scroller;
    const below = scrollHeight - scrollTop - clientHeight;
    const isBack = below <= 1 || (scrollTop > this.top && below <= FOLLOW_PX);
    if (isBack && performance.now() > this.leavesUntil) this.pin(true);
    else if (scrollTop < this.top) this.pin(false);
    this.top = scrollTop;
    hide(this.latest, this.pinned);
  }

  /** Whether to stay at the end. While the reader is elsewhere, the browser keeps what is read in its place. */
  pin(isPinned) {
    this.pinned = isPinned;
    this.scroller.classList.toggle("loose", !isPinned);
  }

  unpin() {
    this.sought = null;
    this.leavesUntil = performance.now() + LEAVING_MS;
    if (this.scroller.scrollHeight > this.scroller.clientHeight) this.pin(false);
  }

  follow() {
    this.leavesUntil = 0;
    this.pin(true);
    this.scroller.scrollTop = this.scroller.scrollHeight;
    this.top = this.scroller.scrollTop;
  }
}

/** The line between what the model gets by its notes alone, or not at all, and what it gets in full. */
function edgeLine({ showContext }) {
  const line = make("div", { class: "fold" });
  line.append(button("quiet", "", () => showContext()));
  return line;
}
