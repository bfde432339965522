// The box of one's own account: who one is, where one is logged in, what one may use, the password, the way out.
// A bundle of its own, fetched when it is opened.
import { ago, bytes } from "./amounts.js";
import { field } from "./confirm.js";
import { showDialog } from "./dialog.js";
import { make } from "./dom.js";
import { post } from "./post.js";
import { forgetAll, loginPath } from "./whose.js";
import { button, sentence } from "./words.js";

/** Leave: the server forgets this browser, and this browser what was being written. */
export async function logOut() {
  await post("/logout");
  forgetAll();
  location.assign("/login");
}

export class Account {
  constructor(link) {
    this.link = link;
    this.body = make("div", { class: "account" }, make("p", {}, "Asking…"));
    showDialog("Your account", this.body);
    this.fill();
  }

  async fill() {
    try {
      this.show(await this.link.call("account"));
    } catch (failure) {
      if (failure.code === "not_logged_in") location.assign(loginPath());
      this.body.replaceChildren(make("p", { class: "problem", role: "alert" }, sentence(failure.message)));
    }
  }

  show({ user, sessions, limits, used }) {
    this.problem = make("p", { class: "problem", role: "alert", hidden: true });
    this.said = make("p", { class: "help", role: "status" });
    const who = make("p", { class: "who" }, make("strong", {}, user.name), user.is_admin ? ", administrator" : "");
    this.body.replaceChildren(who, this.problem, ...usage(limits ?? {}, used), ...this.places(sessions), ...this.password(user), this.said,
      make("div", { class: "ways" }, button("main", "Log out", () => this.attempt(logOut()))));
  }

  places(sessions) {
    const sorted = [...sessions].sort((a, b) => b.is_this - a.is_this || b.seen_at - a.seen_at);
    const rows = sorted.map(({ id, device, seen_at: at, is_this: isThis }) => {
      const words = make("span", { class: "words" }, device || "Unknown browser", make("span", { class: "facts" }, isThis ? "this browser" : ago(at)));
      const end = button("quiet", "Log out", () => this.end("end_session", { session_id: id }), `Log out ${device}, ${ago(at)}`);
      return make("li", {}, words, ...(isThis ? [] : [end]));
    });
    const others = button("", "Log out everywhere else", () => this.end("end_other_sessions"));
    others.hidden = sessions.length < 2;
    return [make("h3", { tabindex: "-1" }, "Where you are logged in"), make("ul", { class: "people" }, ...rows), others];
  }

  async end(name, body = {}) {
    if (!(await this.attempt(this.link.call(name, body)))) return;
    await this.fill();
    this.body.querySelector("h3:has(+ .people)")?.focus(); // the button that was pressed is gone
    this.said.textContent = "Logged out there.";
  }

  password({ name }) {
    const form = make("form", { class: "asks" },
      make("input", { name: "name", value: name, autocomplete: "username", hidden: true, "aria-label": "Name" }), // for password managers
      field("Current password", { id: "old", name: "old", type: "password", autocomplete: "current-password", required: true }),
      field("New password", { id: "new-password", name: "new", type: "password", autocomplete: "new-password", required: true }, "At least 8 characters. Your other browsers are logged out."),
      make("div", { class: "row" }, make("button", { type: "submit" }, "Change password"), showing("old", "new-password")));
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const { old, new: chosen } = form.elements;
      if (!(await this.attempt(this.link.call("password", { old: old.value, new: chosen.value }, 30000)))) return old.focus();
      await this.fill();
      this.body.querySelector("summary")?.focus();
      this.said.textContent = "Your password is changed.";
    });
    return [make("details", {}, make("summary", {}, "Change your password"), form)];
  }

  /** Wait for something; undefined when it failed and the box says why. */
  async attempt(promise) {
    this.problem.hidden = true;
    this.said.textContent = "";
    try {
      return (await promise) ?? true;
    } catch (failure) {
      this.problem.textContent = sentence(failure.message);
      this.problem.hidden = false;
      this.problem.scrollIntoView({ block: "nearest" });
      return undefined;
    }
  }
}

function usage(limits, used) {
  const of = (shown, most, words) => (most ? `${shown} of ${words}` : shown);
  const number = (n) => n.toLocaleString("en");
  const { messages_per_day: messages, answers_at_once: answers, storage_mb: megabytes } = limits;
  const lines = [
    ["Messages in 24 hours", of(number(used.messages_today), messages, number(messages ?? 0))],
    ["Answers at once", of(number(used.answers_now), answers, number(answers ?? 0))],
    ["Storage", of(bytes(used.storage_bytes), megabytes, bytes((megabytes ?? 0) * 1e6))],
  ];
  return [make("h3", {}, "What you use"), make("dl", { class: "facts-list" }, ...lines.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]))];
}

/** A button that shows what is written in password fields. */
function showing(...ids) {
  const show = button("quiet", "Show", () => {
    const is = show.getAttribute("aria-pressed") !== "true";
    show.setAttribute("aria-pressed", String(is));
    for (const id of ids) document.getElementById(id).type = is ? "text" : "password";
  }, "Show the passwords");
  show.setAttribute("aria-pressed", "false");
  return show;
}
