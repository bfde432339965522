// The sidebar: the list of chats with everything that can be done to them. Knows the chats, not their messages.
import { groups, midnight } from "./dates.js";
import { showDialog } from "./dialog.js";
import { icon, make } from "./dom.js";
import { Menu } from "./menu.js";
import { sentence } from "./words.js";
import { News } from "./news.js";
import { Panel } from "./panel.js";
import { Rows } from "./rows.js";
import { Search } from "./search.js";
import { Selection } from "./selection.js";
import { isTyping, keys } from "./sheet.js";
import { askTags, tagsOf, TagFilter } from "./tags.js";
import { nextTheme, setTheme, theme, THEMES } from "./theme.js";
import { Toast } from "./toast.js";
import { bring, download, downloadSeveral } from "./transfer.js";
import { isNow } from "./whose.js";

export class Sidebar {
  /** page: {link, open(id, remember, messageId), fresh(), current() -> the open chat's id, isAtNothing() -> whether
   *  there is but an empty new chat}. */
  constructor(aside, page) {
    this.page = page;
    this.chats = new Map();
    this.isKnown = false; // until the server has told the chats
    this.going = new Set(); // ids of what is being deleted here
    this.toast = new Toast();
    this.menu = new Menu();
    this.news = new News();
    this.panel = new Panel(aside);
    this.rows = new Rows(make("div", { id: "chats" }), {
      open: (id) => this.open(id),
      menu: (id, button) => this.menu.toggle(button, `Actions for ${this.chats.get(id).title}`, this.choices(id)),
      rename: (id, title) => this.change(id, { title }, this.call("rename", { chat_id: id, title })),
      remove: (ids) => this.remove(ids),
      pick: (id, isPicked) => this.selection.pick(id, isPicked),
    });
    this.filter = new TagFilter(() => { this.draw(); this.search.change(); });
    this.search = new Search({
      ask: async (text) => (await page.link.call("search", { text })).hits,
      isShown: ({ chat_id: id }) => this.filter.passes(this.chats.get(id) ?? {}),
      open: (hit) => this.open(hit.chat_id, hit.message_id),
      busy: (is) => { this.list.hidden = is; },
    });
    this.selection = new Selection({
      all: () => this.rows.ids,
      tag: (ids) => this.tag(ids),
      save: (ids) => this.export(() => (ids.length === 1 ? download(`/export/${ids[0]}.json`) : downloadSeveral(ids))),
      remove: (ids) => this.remove(ids),
      changed: () => this.draw(),
    });
    this.build(aside);
    this.addKeys();
    this.draw();
    this.waitForMidnight();
  }

  build(aside) {
    this.empty = make("p", { class: "none" });
    this.list = make("nav", { "aria-label": "Your chats" }, this.rows.element, this.empty);
    this.file = make("input", { type: "file", accept: ".json,.jsonl,.zip,.md,application/json", multiple: true, hidden: true });
    this.file.addEventListener("change", () => { this.import([...this.file.files]); this.file.value = ""; });
    const more = make("button", { id: "more", type: "button", class: "quiet", "aria-haspopup": "menu", "aria-expanded": "false" }, "More");
    more.addEventListener("click", () => this.menu.toggle(more, "More", this.listChoices()));
    this.me = make("button", { id: "me", type: "button", class: "quiet", "aria-haspopup": "menu", "aria-expanded": "false", hidden: true });
    this.me.addEventListener("click", () => this.menu.toggle(this.me, "Your account", this.ownChoices()));
    const fresh = make("a", { id: "new", class: "button", href: "/" }, "New chat");
    fresh.addEventListener("click", (event) => { event.preventDefault(); this.page.fresh(); });
    this.library = make("a", { id: "to-library", href: "/library" }, icon("books"), "Library");
    const help = make("button", { type: "button", class: "quiet", onclick: () => keys.show() }, "Shortcuts");
    aside.append(
      make("div", { class: "brand" }, make("img", { src: "/static/icon.svg", alt: "", width: "24", height: "24" }), "Paddock",
        this.panel.hide, make("button", { id: "close", class: "quiet", type: "button" }, "Close")),
      fresh, this.library, this.search.field, this.filter.element, this.selection.element, this.search.said, this.search.list, this.list,
      make("div", { class: "foot-of-list" }, this.me, more, help), this.file);
    aside.append(this.menu.element);
    aside.after(this.toast.element);
    this.takeDrops(aside);
  }

  addKeys() {
    keys.add("mod+shift+o", "New chat", () => this.page.fresh());
    keys.add("mod+k", "Search", () => { this.panel.show(); this.search.focus(); });
    keys.add("mod+b", "Show or hide the chats", () => this.panel.toggle());
    keys.add("mod+shift+l", "Light, dark, or the system's theme", () => this.toast.say(`Theme: ${nextTheme().toLowerCase()}.`));
    keys.add("mod+z", "Undo a deletion", ({ target }) => !isTyping(target) && this.toast.offers && this.toast.act());
    keys.add("up", "Chat before, in the list");
    keys.add("down", "Chat after, in the list");
    keys.add("F2", "Rename the chat, in the list");
    keys.add("delete", "Delete the chat, in the list");
  }

  // --- what the page tells

  /** Who uses this page, as `hello` says. */
  know({ user, accounts }) {
    this.user = user;
    isNow(user.id);
    this.me.hidden = !accounts;
    this.me.textContent = accounts ? user.name : "";
  }

  /** All chats, as the server has them now. */
  take(chats) {
    const known = (chat) => {
      const mine = this.chats.get(chat.id);
      return mine && JSON.stringify(mine) === JSON.stringify(chat) ? mine : chat; // the same object: its row is not drawn again
    };
    this.chats = new Map(chats.map((chat) => [chat.id, known(chat)]));
    this.isKnown = true;
    this.draw();
  }

  /** One chat is new or has changed. */
  put(chat) {
    this.chats.set(chat.id, { ...this.chats.get(chat.id), ...chat });
    this.draw();
  }

  /** These chats were deleted. */
  drop(ids) {
    const { active } = this.rows;
    const next = ids.includes(active) && this.rows.element.contains(document.activeElement) ? this.rows.after(active, ids) : null;
    for (const id of ids) this.chats.delete(id);
    this.draw();
    if (next) this.rows.focus(next);
  }

  /** Another chat is open now. */
  mark() {
    const isLibrary = document.body.dataset.view === "library";
    if (isLibrary) this.library.setAttribute("aria-current", "page");
    else this.library.removeAttribute("aria-current");
    if (this.isKnown) this.news.hear(this.chats, this.page.current());
    this.rows.redraw(this.look);
  }

  /** Open a chat, at one of its messages where there is one. */
  async open(id, messageId = null) {
    await this.page.open(id, true, messageId ?? undefined);
  }

  // --- what is shown

  get shownChats() {
    return [...this.chats.values()].filter((chat) => this.filter.passes(chat));
  }

  draw() {
    if (this.isKnown) this.news.hear(this.chats, this.page.current());
    this.filter.draw(tagsOf(this.chats.values()));
    const shown = this.shownChats;
    this.selection.draw(shown.map(({ id }) => id));
    this.rows.draw(groups(shown), this.look);
    this.empty.textContent = this.chats.size ? "No chat has all of these tags." : "Your chats will stand here.";
    this.empty.hidden = shown.length > 0 || !this.isKnown;
  }

  /** How a chat's row looks now. */
  look = (id) => ({
    isCurrent: id === this.page.current(),
    isRunning: this.news.isRunning(id),
    isUnread: this.news.isUnread(id),
    isPicked: this.selection.isOn ? this.selection.ids.has(id) : undefined,
  });

  /** Yesterday begins to be yesterday also on a page that stays open. */
  waitForMidnight() {
    setTimeout(() => { this.draw(); this.waitForMidnight(); }, midnight(new Date(), -1) - Date.now() + 1000);
  }

  // --- what the person does

  choices(id) {
    const { pinned, tags = [] } = this.chats.get(id);
    return [
      { label: "Rename", run: () => this.rows.rename(id) },
      { label: pinned ? "Unpin" : "Pin", run: () => this.change(id, { pinned: !pinned }, this.call("pin", { chat_id: id, pinned: !pinned })) },
      { label: tags.length ? "Change tags" : "Add tags", run: () => this.tag([id]) },
      { label: "Select", run: () => this.selection.begin([id]) },
      { label: "Export as Markdown", run: () => this.export(() => download(`/export/${id}.md`)), line: true },
      { label: "Export as JSON", run: () => this.export(() => download(`/export/${id}.json`)) },
      { label: "Delete", run: () => this.remove([id]), danger: true, line: true },
    ];
  }

  /** What the own account offers. Its box is a bundle of its own. */
  ownChoices() {
    const account = (run) => this.export(async () => run(await import("./account.js")));
    return [
      { label: "Account", run: () => account(({ Account }) => new Account(this.page.link)) },
      ...this.officeChoice(),
      { label: "Log out", run: () => account(({ logOut }) => logOut()), line: true },
    ];
  }

  officeChoice() {
    return this.user?.is_admin ? [{ label: "Administration", run: () => location.assign("/admin") }] : [];
  }

  listChoices() {
    return [
      { label: "Select several", run: () => this.selection.begin() },
      { label: "Import chats", run: () => this.file.click() },
      { label: "Export all chats", run: () => this.export(() => download("/export/all.json")) },
      ...(this.me.hidden ? this.officeChoice() : []),
      ...THEMES.map(([name, words], at) => (
        { label: `Theme: ${words.toLowerCase()}`, run: () => setTheme(name), checked: theme() === name, line: at === 0 })),
    ];
  }

  /** A call whose failure is told. Undefined when it failed. */
  async call(name, body) {
    try {
      return await this.page.link.call(name, body);
    } catch (failure) {
      this.toast.say(sentence(failure.message));
      return undefined;
    }
  }

  /** Show a change at once; take it back when the server does not want it. */
  async change(id, fields, asked) {
    const chat = this.chats.get(id);
    const before = Object.fromEntries(Object.keys(fields).map((name) => [name, chat[name]]));
    this.put({ id, ...fields });
    if (!(await asked) && this.chats.has(id)) this.put({ id, ...before }); // what else has changed meanwhile stays
  }

  tag(ids) {
    const own = ids.length === 1 ? this.chats.get(ids[0]).tags ?? [] : [];
    const title = ids.length === 1 ? "Tags of this chat" : `Add tags to ${ids.length} chats`;
    const known = tagsOf(this.chats.values());
    const keep = async (tags) => {
      for (const id of ids) {
        const all = ids.length === 1 ? tags : [...new Set([...(this.chats.get(id)?.tags ?? []), ...tags])];
        await this.page.link.call("tag", { chat_id: id, tags: all });
      }
    };
    askTags({ title, tags: own, known, save: keep });
  }

  /** Delete chats, for good only when the offer to undo it is over. Further ones join the same offer. */
  async remove(chosen) {
    const ids = chosen.filter((id) => this.chats.has(id) && !this.going.has(id));
    if (!ids.length) return; // pressed twice
    const open = this.page.current();
    const items = ids.map((id) => ({ id, title: this.chats.get(id).title, wasOpen: id === open }));
    for (const id of ids) this.going.add(id);
    const isDone = await this.call("delete", { chat_ids: ids });
    for (const id of ids) this.going.delete(id);
    if (!isDone) return;
    this.drop(ids);
    this.toast.offer({
      of: this,
      items,
      words: (all) => (all.length === 1 ? `“${all[0].title}” was deleted.` : `${all.length} chats were deleted.`),
      back: (all) => this.restore(all),
    });
  }

  /** Whether a chat was deleted here, and may come back. */
  hasDeleted(id) {
    return this.going.has(id) || this.toast.isOffered(this, id);
  }

  /** Bring deleted chats back; false when the server did not. */
  async restore(deleted) {
    const back = await this.call("restore", { chat_ids: deleted.map(({ id }) => id) });
    if (!back) return false;
    for (const chat of back.chats) this.put(chat); // as they are now: their answers have ended
    this.toast.say(deleted.length === 1 ? "The chat is back." : `${deleted.length} chats are back.`);
    const open = deleted.findLast(({ wasOpen }) => wasOpen);
    if (open && this.page.isAtNothing()) this.open(open.id);
    return true;
  }

  async export(run) {
    try {
      await run();
    } catch (failure) {
      this.toast.say(sentence(failure.message));
    }
  }

  async import(files) {
    if (!files.length) return;
    this.toast.say(`Importing ${files.length === 1 ? files[0].name : `${files.length} files`}…`);
    const { said, notices } = await bring(files);
    const listed = await this.call("chats", {});
    if (listed) this.take(listed.chats);
    this.toast.say(said);
    if (notices.length) showDialog("Imported", make("p", {}, said), make("ul", {}, ...notices.map((notice) => make("li", {}, sentence(notice)))));
  }

  /** Files that are dropped on the sidebar are imported. */
  takeDrops(aside) {
    const isFile = ({ dataTransfer }) => dataTransfer?.types.includes("Files");
    const over = (event) => {
      if (!isFile(event)) return;
      event.preventDefault();
      event.stopPropagation();
      aside.classList.add("target");
    };
    aside.addEventListener("dragenter", over);
    aside.addEventListener("dragover", over);
    aside.addEventListener("dragleave", ({ relatedTarget }) => { if (!aside.contains(relatedTarget)) aside.classList.remove("target"); });
    aside.addEventListener("drop", (event) => {
      if (!isFile(event)) return;
      event.preventDefault();
      event.stopPropagation();
      aside.classList.remove("target");
      this.import([...event.dataTransfer.files]);
    });
  }
}
