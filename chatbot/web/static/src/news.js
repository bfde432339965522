// Which chats are being answered now, and in which an answer ended while another chat was open.
import { stored } from "./dom.js";

const NAME = "unread";

export class News {
  constructor() {
    this.running = new Set();
    this.unread = new Set(JSON.parse(stored((store) => store.getItem(NAME)) ?? "[]"));
  }

  /** Look at the chats again; current is the one that is being read. */
  hear(chats, current) {
    const before = JSON.stringify([...this.unread]);
    for (const { id, running } of chats.values()) {
      if (!running && this.running.has(id)) this.unread.add(id);
      if (running) this.running.add(id);
      else this.running.delete(id);
    }
    for (const id of [...this.unread, ...this.running]) {
      if (chats.has(id) && (id !== current || this.running.has(id))) continue;
      this.unread.delete(id);
      if (!chats.has(id)) this.running.delete(id);
    }
    const after = JSON.stringify([...this.unread]);
    if (before !== after) stored((store) => store.setItem(NAME, after));
  }

  isRunning(id) {
    return this.running.has(id);
  }

  isUnread(id) {
    return this.unread.has(id);
  }
}
