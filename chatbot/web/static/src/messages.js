// The list of messages: one element a message, updated in place, at most once a frame.
import { answerEntry } from "./answer.js";
import { make } from "./dom.js";
import { saidEntry } from "./said.js";
import { button } from "./words.js";

const FOLLOW_PX = 32;
const FOUND_MS = 2500;

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
    this.pinned = true;
    this.top = 0;
    this.nFolded = 0;
    this.fold = foldMark(deeds);
    scroller.addEventListener("scroll", () => this.look(), { passive: true });
    new ResizeObserver(() => this.pinned && this.follow()).observe(scroller);
    scroller.addEventListener("wheel", (event) => event.deltaY < 0 && this.unpin(), { passive: true });
    list.addEventListener("grown", () => this.pinned && this.follow());
    list.addEventListener("toggle", () => this.pinned && this.follow(), true); // thoughts that open
    latest.addEventListener("click", () => this.follow());
  }

  /** Show exactly these messages; the first nFolded of them are marked as folded into notes. */
  showAll(messages, nFolded = 0) {
    const wanted = new Set(messages.map((message) => message.id));
    for (const [id, entry] of this.shown) {
      if (!wanted.has(id)) {
        entry.element.remove();
        this.shown.delete(id);
      }
    }
    this.order = messages;
    this.nFolded = Math.min(nFolded, messages.length);
    this.changed = new Set(messages);
    this.mustArrange = true;
    this.ask();
  }

  /** Show a message's newest state at the next frame. */
  update(message) {
    this.changed.add(message);
    this.ask();
  }

  ask() {
    this.frame ??= requestAnimationFrame(() => this.paint());
  }

  clear() {
    this.showAll([]);
    this.pinned = true;
  }

  /** Draw now what waits for the next frame, and return a message's entry: {element, edit}. */
  entry(id) {
    if (this.frame !== undefined) {
      cancelAnimationFrame(this.frame);
      this.paint();
    }
    return this.shown.get(id);
  }

  paint() {
    this.frame = undefined;
    for (const message of this.changed) this.draw(message);
    this.changed.clear();
    if (this.mustArrange) this.arrange();
    if (this.pinned) this.follow();
    this.latest.hidden = this.pinned;
  }

  draw(message) {
    let entry = this.shown.get(message.id);
    if (!entry) {
      entry = message.role === "user" ? saidEntry(message, this.deeds) : answerEntry(this.deeds);
      this.shown.set(message.id, entry);
    }
    entry.draw(message, message === this.order.at(-1));
  }

  /** Put the elements into the order of the messages; those that stand right are not touched. */
  arrange() {
    this.mustArrange = false;
    const wanted = this.order.map(({ id }) => this.shown.get(id).element);
    this.fold.remove();
    if (this.nFolded) wanted.splice(this.nFolded, 0, this.fold);
    wanted.forEach((element, at) => {
      const there = this.list.children[at];
      if (there !== element) this.list.insertBefore(element, there ?? null);
    });
  }

  /** Bring a message into sight and mark it for a moment. */
  showMessage(id) {
    const { element } = this.entry(id) ?? {};
    if (!element) return;
    this.unpin();
    element.scrollIntoView({ block: "center" });
    element.classList.add("found");
    setTimeout(() => element.classList.remove("found"), FOUND_MS);
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

/** The line between what the model knows by its notes alone and what it gets in full. */
function foldMark({ showContext }) {
  const mark = make("div", { class: "fold" });
  mark.append(button("quiet", "Older messages are folded into notes", () => showContext()));
  return mark;
}
