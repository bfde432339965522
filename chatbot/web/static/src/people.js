// The users: who there is, who is invited, and what an administrator can do about them.
import { ago, bytes, day, moment } from "./amounts.js";
import { askFor, field, tick } from "./confirm.js";
import { copy } from "./copy.js";
import { showDialog } from "./dialog.js";
import { iconButton, make } from "./dom.js";
import { limitFields, limitsIn, limitWords } from "./limits.js";
import { redraw } from "./redraw.js";
import { button, counted } from "./words.js";

const WITHOUT = "There are no accounts: this page can be opened on this machine alone, and whoever sits at it is its owner. "
  + "Accounts begin when the chat is started for other machines too: --host 0.0.0.0, for example.";

export class People {
  /** place: where they stand; call(name, body): asks the server and draws the page anew; menu: opens lists of actions. */
  constructor(place, { call, menu, me }) {
    Object.assign(this, { place, call, menu, me });
  }

  draw({ accounts, users, invitations }) {
    const focused = this.place.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
    const shown = [accounts, users.map((user) => ({ ...user, seen_at: user.seen_at && ago(user.seen_at) })), invitations];
    const isNew = redraw(this.place, shown, () => (accounts ? this.parts(users, invitations) : [make("p", { class: "none" }, WITHOUT)]));
    if (isNew && focused !== undefined) this.focus(focused);
  }

  parts(users, invitations) {
    const open = invitations.length
      ? [make("h3", {}, "Codes that are out"), make("ul", { class: "people" }, ...invitations.map((each) => this.invitation(each)))]
      : [];
    const invite = button("", "Invite somebody", () => this.invite());
    invite.dataset.key = "invite";
    return [make("ul", { class: "people" }, ...users.map((user) => this.user(user))), invite, ...open];
  }

  /** The button of a user, of an invitation, or the one that invites; the heading where it is gone. */
  focus(key) {
    (this.place.querySelector(`[data-key="${CSS.escape(key)}"]`) ?? document.getElementById("users-title")).focus();
  }

  /** When a box is closed, its button may have been drawn anew: then the browser does not find the way back. */
  leads(dialog, key) {
    dialog.addEventListener("close", () => { if (document.activeElement === document.body) this.focus(key); });
  }

  user(user) {
    const { id, name, is_admin: isAdmin, is_locked: isLocked, n_chats: nChats, storage_bytes: size, messages_today: today, seen_at: seen } = user;
    const own = limitWords(user.limits);
    const facts = [
      counted(nChats, "chat"), bytes(size), `${counted(today, "message")} today`, seen ? `seen ${ago(seen)}` : "never seen",
      user.limits && (own ? `own limits: ${own}` : "without limits"),
    ];
    const roles = [id === this.me() && "you", isAdmin && "administrator", isLocked && "locked"].filter(Boolean);
    const words = make("div", { class: "words" }, make("strong", {}, name), make("span", { class: "roles" }, roles.length ? ` · ${roles.join(" · ")}` : ""),
      make("span", { class: "facts" }, facts.filter(Boolean).join(" · ")));
    const more = iconButton("more", `Actions for ${name}`, { "aria-haspopup": "menu", "aria-expanded": "false", "data-key": id });
    more.addEventListener("click", () => this.menu.toggle(more, `Actions for ${name}`, this.choices(user)));
    return make("li", { class: isLocked ? "locked" : "" }, words, more);
  }

  choices(user) {
    const { id, name, is_admin: isAdmin, is_locked: isLocked } = user;
    const lock = { label: isLocked ? "Unlock" : "Lock", run: () => this.call("lock", { user_id: id, locked: !isLocked }, isLocked ? `${name} may come in again.` : `${name} is locked out.`), line: true };
    const right = { label: isAdmin ? "Make an ordinary user" : "Make an administrator", run: () => this.call("make_admin", { user_id: id, is_admin: !isAdmin }, isAdmin ? `${name} is an administrator no more.` : `${name} is an administrator now.`) };
    return [
      { label: "Limits", run: () => this.limits(user) },
      { label: "Code for a new password", run: () => this.reset(user) },
      right, lock,
      { label: "Remove", run: () => this.remove(user), danger: true },
    ];
  }

  invitation({ id, note, is_admin: isAdmin, for: name, expires_at: end }) {
    const what = name ? `New password for ${name}` : note || "Invitation";
    const facts = [isAdmin && !name && "as an administrator", `until ${moment(end)}`].filter(Boolean).join(" · ");
    const drop = button("quiet", "Withdraw", () => this.call("uninvite", { id }, "The code is worth nothing now."), `Withdraw: ${what}`);
    drop.dataset.key = id;
    return make("li", {}, make("div", { class: "words" }, what, make("span", { class: "facts" }, facts)), drop);
  }

  invite() {
    this.leads(askFor({
      title: "Invite somebody",
      verb: "Make a code",
      fields: [
        field("For whom", { id: "invite-note", name: "note", maxlength: "80" }, "A note for this list; the person chooses a name of their own."),
        tick("As an administrator", { name: "is_admin" }),
      ],
      act: async ({ elements }) => {
        const made = await this.call.raw("invite", { note: elements.note.value.trim(), is_admin: elements.is_admin.checked });
        this.leads(showCode("An invitation", "to join", made), "invite");
      },
    }), "invite");
  }

  async reset({ id, name }) {
    const made = await this.call("reset", { user_id: id });
    if (made) this.leads(showCode(`A new password for ${name}`, "to choose a new password", made), id);
  }

  limits(user) {
    const { id, name } = user;
    const house = tick("The limits of the house", { name: "house", checked: !user.limits });
    const fields = limitFields(user.limits, "user");
    const show = () => { for (const each of fields) each.hidden = house.firstChild.checked; };
    house.addEventListener("change", show);
    show();
    this.leads(askFor({
      title: `Limits of ${name}`,
      verb: "Save",
      fields: [make("p", { class: "help" }, "0 is no limit. Administrators have none."), house, ...fields],
      act: (form) => this.call.raw("limits", { user_id: id, limits: form.elements.house.checked ? null : limitsIn(form) }, `The limits of ${name} are kept.`),
    }), id);
  }

  remove({ id, name, n_chats: nChats }) {
    const goes = nChats ? `and ${counted(nChats, "chat")} with all messages and files go` : "goes";
    this.leads(askFor({
      title: `Remove ${name}?`,
      verb: `Remove ${name}`,
      danger: true,
      fields: [make("p", {}, `The account of ${name} ${goes} for good. To keep the chats and only shut the door, lock the account instead.`)],
      act: () => this.call.raw("remove_user", { user_id: id }, `${name} is removed.`),
    }), id);
  }
}

/** Show a code that was made, once: with a text that can be handed on. */
function showCode(title, purpose, { code, expires_at: end }) {
  const text = `Open ${location.origin}/join and type this code ${purpose}: ${code}\nIt works once, until ${day(end)}.`;
  const said = make("p", { class: "help", role: "status" });
  const handed = make("pre", { class: "handed", tabindex: "0", "aria-label": "Text to hand on" }, text);
  const take = button("main", "Copy this text", async () => {
    said.textContent = (await copy(text)) ? "Copied." : "This browser does not let the page copy: select the text and press Ctrl+C.";
  });
  const dialog = showDialog(title, make("p", {}, "Hand this on by a way that you trust. It is not shown again."), make("p", { class: "code-shown" }, code), handed, said, make("div", { class: "ways" }, take));
  take.focus();
  return dialog;
}
