// Messages that the server does not have yet. The browser keeps them, so that they outlive a reload; one that the server
// refuses stays until the person has decided about it. They belong to their tab; when that is closed, to the next page.
import { stored } from "./dom.js";

const PREFIX = "unsent:";

export class Outbox {
  /** drafts: knows the tabs. gone: called with a refused message that another tab has sent or discarded. */
  constructor(drafts, gone) {
    this.drafts = drafts;
    this.messages = []; // in the order in which they were sent; each bears the place that it was sent from
    addEventListener("storage", ({ key, newValue }) => {
      const found = newValue === null && this.messages.find(({ id, refusal }) => refusal && key === PREFIX + id);
      if (!found) return;
      this.messages = this.messages.filter((each) => each !== found);
      gone(found);
    });
  }

  /** Whether an earlier page left messages. */
  static get isLeft() {
    return Boolean(stored((store) => Object.keys(store).some((name) => name.startsWith(PREFIX))));
  }

  /** Take what an earlier page of this tab left, and tabs that are closed; those messages, each with the tab that it
   *  was written in. The ones of one new chat share a place. */
  async read() {
    const isOwn = ({ tab }) => tab === this.drafts.tab;
    if (!kept().every(isOwn)) await this.drafts.callRoll();
    const known = new Set(this.messages.map(({ id }) => id));
    const places = new Map();
    const free = kept().filter((each) => !known.has(each.id) && (isOwn(each) || !this.drafts.open.has(each.tab)));
    const left = free.sort((a, b) => a.at - b.at).map(({ chat, begins, ...message }) => {
      const visit = chat ?? begins;
      if (!places.has(visit)) places.set(visit, { id: chat, begins });
      return { ...message, place: places.get(visit) };
    });
    for (const message of left) this.keep(message);
    this.messages.unshift(...left);
    return left;
  }

  add(message) {
    message.at = Math.max(Date.now(), (this.messages.at(-1)?.at ?? 0) + 1);
    message.place.begins ??= message.id;
    this.messages.push(message);
    this.keep(message);
  }

  /** Keep how a message stands now; it is marked as kept where the browser has room. */
  keep(message) {
    const { place, isKept: _, ...rest } = message;
    const written = JSON.stringify({ ...rest, chat: place.id, begins: place.begins, tab: this.drafts.tab });
    message.isKept = Boolean(stored((store) => (store.setItem(PREFIX + message.id, written), true)));
  }

  /** A new chat has got its id: what else was sent from there belongs to it. */
  move(place) {
    for (const message of this.messages) if (message.place === place) this.keep(message);
  }

  /** Whether a message that was sent from a place is still on its way. */
  isSending(place) {
    return this.messages.some((message) => message.place === place && !message.refusal);
  }

  drop({ id }) {
    this.messages = this.messages.filter((each) => each.id !== id);
    stored((store) => store.removeItem(PREFIX + id));
  }

  /** What is to be seen in the chat that is open now; of a new one those alone that were refused. */
  enter(place) {
    const here = this.messages.filter((message) => message.place.id === place.id && (place.id !== null || message.refusal));
    for (const message of here) message.place = place;
    return here;
  }
}

function kept() {
  const read = (store) => Object.keys(store).filter((name) => name.startsWith(PREFIX)).map((name) => JSON.parse(store.getItem(name)));
  return stored(read) ?? [];
}
