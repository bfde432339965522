// The way to the library: its addresses, and its view over the conversation, which stays as it is behind it. The script
// of the view is fetched when it is first opened.
import { closeDialogs } from "./dialog.js";
import { make } from "./dom.js";
import { style } from "./lazy.js";

const OWN = /^\/library(\/|$)/;

export class LibraryDoor {
  /** page: {main, link, toast, menu, conversation, going(), left(), say(text), ask(text), hasAccounts()} */
  constructor(page) {
    this.page = page;
    this.view = null;
    this.from = null; // what had the focus in the conversation
    this.first = null; // the address to which it was left
    document.addEventListener("click", (event) => this.click(event));
  }

  get isOpen() {
    return document.body.dataset.view === "library";
  }

  /** Whether an address is one of the library. */
  owns(path) {
    return OWN.test(path);
  }

  /** A link to the library leads there within this page. */
  click(event) {
    const anchor = event.target.closest?.("a[href]");
    const isPlain = event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey && !event.altKey;
    if (!anchor || !isPlain || event.defaultPrevented || anchor.target || anchor.origin !== location.origin) return;
    if (anchor.dataset.back !== undefined) this.leave();
    else if (this.owns(anchor.pathname)) this.go(anchor.pathname + anchor.search);
    else return;
    event.preventDefault();
  }

  go(address) {
    if (!this.isOpen) Object.assign(this, { from: document.activeElement, first: address });
    closeDialogs();
    history.pushState(null, "", address);
    this.show();
  }

  /** Show what the address asks for. */
  async show() {
    document.body.dataset.view = "library";
    this.page.going();
    this.holder ??= this.page.main.appendChild(make("section", { id: "library", "aria-label": "Library" }));
    this.holder.hidden = false;
    this.place();
    try {
      const [{ Library }] = await Promise.all([import("./library.js"), style("library.css")]);
      this.view ??= new Library(this.holder, { ...this.page, go: (address) => this.go(address), leave: () => this.leave(), cameFromChat: () => this.first === location.pathname + location.search });
    } catch {
      this.holder.replaceChildren(make("p", { class: "problem" }, "The library could not be fetched: reload the page when the chat server is back."));
      return;
    }
    if (this.isOpen) this.view.open(location);
  }

  /** It covers the conversation, below the header and what the page has to say there. */
  place() {
    if (this.sizes) return;
    const scroller = document.getElementById("scroller");
    const put = () => { this.holder.style.top = `${scroller.offsetTop}px`; };
    this.sizes = new ResizeObserver(put);
    this.sizes.observe(scroller);
    put();
  }

  /** Back to the conversation, as it was left. */
  leave() {
    const { id } = this.page.conversation;
    history.pushState(null, "", id ? `/c/${id}` : "/");
    this.close();
  }

  close() {
    if (!this.isOpen) return;
    delete document.body.dataset.view;
    this.view?.close();
    this.holder.replaceChildren();
    this.holder.hidden = true;
    this.page.left(this.from?.isConnected ? this.from : null);
    this.from = null;
  }
}
