// One message of the person: its text, its files, and what can be done with it.
import { make } from "./dom.js";
import { Change } from "./editor.js";
import { isShown, pictureLine } from "./pictures.js";
import { versions } from "./versions.js";
import { button, counted, height, sentence } from "./words.js";

/** deeds: drafts, and what a click does: resend, branch, and of a message that was refused tryAgain, takeUp, discard. */
export function saidEntry(message, deeds) {
  const element = make("article", { class: "message said" });
  element.setAttribute("aria-label", "You");
  const text = make("div", { class: "user" });
  const files = make("ul", { class: "files" });
  files.setAttribute("aria-label", "Files of this message");
  const refusal = make("p", { class: "refusal" });
  const row = make("div", { class: "actions" });
  const sending = make("p", { class: "sending" });
  element.append(text, files, refusal, sending, row);
  let drawn = "";
  const change = new Change(element, {
    drafts: deeds.drafts,
    put: (form) => element.append(form),
    take: (now, written) => deeds.resend(now, written),
    words: ({ files: sent }) => ({ label: "Your message", verb: "Send again", takesEnter: true, mayBeEmpty: sent?.length > 0 }),
  });
  const edit = () => change.edit(message);

  return {
    element,
    edit,
    /** given: how the model got the files, as its answer tells. */
    draw(now, given) {
      message = now;
      if (!now.pending) change.goOn(now);
      if (text.textContent !== now.content) {
        text.textContent = now.content;
        element.style.setProperty("--tall", height(now.content));
      }
      text.hidden = !now.content;
      const rest = JSON.stringify([now.files, now.siblings, now.pending, now.refusal, given]);
      if (rest === drawn) return; // else its buttons keep the focus
      drawn = rest;
      files.replaceChildren(...(now.files ?? []).map((file) => (isShown(file) ? pictureLine(file) : fileLine(file, given))));
      files.hidden = !now.files?.length;
      refusal.textContent = now.refusal ? `Not sent. ${sentence(now.refusal)}` : "";
      refusal.hidden = !now.refusal;
      sending.textContent = now.pending && !now.refusal ? "Sending…" : "";
      sending.hidden = !sending.textContent;
      row.hidden = !sending.hidden;
      row.replaceChildren(...(now.refusal ? choices(now, deeds) : [...versions(now, deeds.branch), button("quiet edit", "Edit", edit)]));
    },
  };
}

/** What can be done with a message that was refused. */
function choices(message, { tryAgain, takeUp, discard }) {
  return [
    button("quiet again", "Send again", () => tryAgain(message)),
    button("quiet", "Edit", () => takeUp(message), "Edit: put it back into the message box"),
    button("quiet", "Discard", () => discard(message), "Discard this message"),
  ];
}

function fileLine(file, { whole = [], parts = [] } = {}) {
  const line = make("li");
  const isPage = /^https?:\/\//.test(file.source ?? "");
  const leads = isPage ? { href: file.source, target: "_blank", rel: "noopener noreferrer" } : {};
  const name = make(isPage ? "a" : "span", { class: "name", ...leads }, file.name);
  const sent = parts.includes(file.name) ? " · read in parts" : whole.includes(file.name) ? " · sent whole" : "";
  line.append(name, make("span", { class: "size" }, `${counted(file.n_chars, "character")}${sent}`));
  return line;
}
