// The chats as rows in the sidebar: keeps the elements, moves only what moved. Knows no server.
import { iconButton, isComposing, make } from "./dom.js";

const TITLE_CHARS = 200;

export class Rows {
  /** element: where the groups go. row actions: open(id), menu(id, button), rename(id, title), remove(ids), pick(id, to). */
  constructor(element, actions) {
    this.element = element;
    this.actions = actions;
    this.rows = new Map(); // chat id -> Row
    this.sections = new Map(); // group name -> its section
    this.isMoving = false; // rows to other places: what they hold has not lost the person's attention
    this.active = null; // the one row that Tab leads to; arrows go on from there
    element.addEventListener("click", (event) => this.click(event));
    element.addEventListener("keydown", (event) => this.press(event));
    element.addEventListener("focusin", ({ target }) => { const id = idOf(target); if (id) this.activate(id); });
  }

  /** Show groups {name, chats}; look(id) tells how a row looks: {isCurrent, isRunning, isUnread, isPicked}. */
  draw(groups, look) {
    const focused = this.element.contains(document.activeElement) ? document.activeElement : null;
    this.isMoving = true;
    this.arrange(groups, look);
    if (focused?.isConnected && focused !== document.activeElement) focused.focus({ preventScroll: true });
    this.isMoving = false;
    const isInUse = this.element.contains(document.activeElement) && this.rows.has(this.active);
    this.activate(isInUse ? this.active : this.currentId(look));
  }

  /** Show how the same rows look now. */
  redraw(look) {
    for (const [id, row] of this.rows) row.show(row.chat, look(id));
    if (!this.element.contains(document.activeElement)) this.activate(this.currentId(look));
  }

  arrange(groups, look) {
    const seen = new Set(groups.flatMap(({ chats }) => chats.map(({ id }) => id)));
    for (const [id, row] of this.rows) if (!seen.has(id)) { row.item.remove(); this.rows.delete(id); }
    const sections = groups.map(({ name, chats }) => {
      const section = this.section(name);
      arrange(section.lastElementChild, chats.map((chat) => this.row(chat, look(chat.id)).item));
      return section;
    });
    arrange(this.element, sections);
  }

  row(chat, look) {
    if (!this.rows.has(chat.id)) this.rows.set(chat.id, new Row(chat.id));
    const row = this.rows.get(chat.id);
    row.show(chat, look);
    return row;
  }

  section(name) {
    if (!this.sections.has(name)) {
      const id = `group-${name.toLowerCase().replaceAll(" ", "-")}`;
      this.sections.set(name, make("section", {}, make("h2", { id }, name), make("ul", { "aria-labelledby": id })));
    }
    return this.sections.get(name);
  }

  activate(id) {
    if (this.active !== id) this.rows.get(this.active)?.reach(false);
    this.active = id;
    this.rows.get(id)?.reach(true);
  }

  focus(id) {
    this.rows.get(id)?.link.focus();
  }

  /** The chat that stands after this one when these are gone, else the one before it; null when none is left. */
  after(id, gone) {
    const { ids } = this;
    const at = ids.indexOf(id);
    const stays = (other) => !gone.includes(other);
    return ids.slice(at).find(stays) ?? ids.slice(0, Math.max(at, 0)).reverse().find(stays) ?? null;
  }

  currentId(look) {
    for (const id of this.rows.keys()) if (look(id).isCurrent) return id;
    return this.element.querySelector("li")?.dataset.chat ?? null;
  }

  get ids() {
    return [...this.element.querySelectorAll("li")].map(({ dataset }) => dataset.chat);
  }

  click(event) {
    const id = idOf(event.target);
    const { target } = event;
    if (!id) return;
    if (target.closest(".more")) this.actions.menu(id, target.closest(".more"));
    else if (target.matches(".pick")) this.actions.pick(id, target.checked);
    else if (target.matches("a") && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
      event.preventDefault();
      const { pick } = this.rows.get(id);
      if (pick) this.actions.pick(id, !pick.checked);
      else this.actions.open(id);
    }
  }

  press(event) {
    const id = idOf(event.target);
    if (!id || event.ctrlKey || event.metaKey || event.altKey || event.target.matches(".rename")) return;
    const { ids } = this;
    const at = ids.indexOf(id);
    const places = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: ids.length - 1 };
    if (event.key in places) this.focus(ids[places[event.key]] ?? id);
    else if (event.key === "F2") this.rename(id);
    else if (event.key === "Delete") this.actions.remove([id]);
    else return;
    event.preventDefault();
  }

  /** Let the person write another title in its place. */
  rename(id) {
    const row = this.rows.get(id);
    if (!row || row.item.querySelector(".rename")) return;
    const before = row.link.textContent;
    const field = make("input", { class: "rename", dir: "auto", "aria-label": "Title of the chat", maxlength: String(TITLE_CHARS), enterkeyhint: "done" });
    field.value = before;
    let isOver = false;
    const end = (isKept) => {
      if (isOver) return; // taking the field away is a blur, too
      isOver = true;
      const title = field.value.trim();
      const hadFocus = document.activeElement === field;
      row.link.hidden = false;
      field.remove();
      if (hadFocus) row.link.focus();
      if (isKept && title && title !== before) this.actions.rename(id, title);
    };
    field.addEventListener("blur", () => { if (!this.isMoving) end(true); });
    field.addEventListener("keydown", (event) => {
      if (isComposing(event) || (event.key !== "Enter" && event.key !== "Escape")) return;
      event.preventDefault();
      event.stopPropagation(); // Escape means this field alone
      end(event.key === "Enter");
    });
    row.link.hidden = true;
    row.link.after(field);
    field.focus();
    field.select();
  }
}

class Row {
  constructor(id) {
    const note = `about-${id}`;
    this.link = make("a", { href: `/c/${id}`, dir: "auto", "aria-describedby": note, tabindex: "-1" });
    this.note = make("span", { id: note, class: "offscreen" });
    this.more = iconButton("more", "", { "aria-haspopup": "menu", "aria-expanded": "false", tabindex: "-1" });
    this.more.classList.add("more");
    this.tags = make("span", { class: "tags", hidden: true });
    this.item = make("li", { "data-chat": id }, this.link, this.note, this.more, this.tags);
    this.pick = null; // the box to tick while several are being selected
    this.chat = null; // as it is shown
    this.look = "";
  }

  show(chat, { isCurrent, isRunning, isUnread, isPicked }) {
    const look = `${isCurrent} ${isRunning} ${isUnread} ${isPicked}`;
    if (chat === this.chat && look === this.look) return;
    const { title, tags = [] } = chat;
    this.chat = chat;
    this.look = look;
    this.link.textContent = title;
    this.link.title = title;
    if (isCurrent) this.link.setAttribute("aria-current", "page");
    else this.link.removeAttribute("aria-current");
    this.item.classList.toggle("running", isRunning);
    this.item.classList.toggle("unread", isUnread);
    this.note.textContent = [isRunning && "Is being answered", isUnread && "New answer"].filter(Boolean).join(", ");
    this.more.setAttribute("aria-label", `Actions for ${title}`);
    this.more.title = "Actions";
    this.tags.replaceChildren(...tags.map((tag) => make("span", { dir: "auto" }, tag)));
    this.tags.hidden = !tags.length;
    this.showPick(isPicked, title);
  }

  showPick(isPicked, title) {
    if (isPicked === undefined) {
      this.pick?.remove();
      this.pick = null;
      return;
    }
    if (!this.pick) {
      this.pick = make("input", { type: "checkbox", class: "pick", tabindex: this.link.getAttribute("tabindex") });
      this.item.prepend(this.pick);
    }
    this.pick.checked = isPicked;
    this.pick.setAttribute("aria-label", `Select ${title}`);
  }

  /** Whether Tab comes here: it does to one row of the list, not to a thousand. */
  reach(isReached) {
    for (const element of [this.link, this.more, this.pick]) element?.setAttribute("tabindex", isReached ? "0" : "-1");
  }
}

/** Make these the children of an element, moving only those that stand elsewhere. */
function arrange(parent, children) {
  children.forEach((child, at) => {
    if (parent.children[at] !== child) parent.insertBefore(child, parent.children[at] ?? null);
  });
  while (parent.children.length > children.length) parent.lastElementChild.remove();
}

function idOf(element) {
  return element.closest("li")?.dataset.chat ?? null;
}
