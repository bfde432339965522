// One message of the person: its text, its files, and what can be done with it.
import { make } from "./dom.js";
import { editor } from "./editor.js";
import { isShown, pictureLine } from "./pictures.js";
import { versions } from "./versions.js";
import { button, counted, height } from "./words.js";

/** deeds: what a click does: resend, branch. */
export function saidEntry(message, deeds) {
  const element = make("article", { class: "message said" });
  element.toggleAttribute("data-pending", Boolean(message.pending));
  element.setAttribute("aria-label", "You");
  const text = make("div", { class: "user" });
  const files = make("ul", { class: "files" });
  files.setAttribute("aria-label", "Files of this message");
  const row = make("div", { class: "actions" });
  element.append(text, files, row);
  let drawn = "";
  let open = null;

  const leave = () => {
    open?.form.remove();
    open = null;
    element.classList.remove("editing");
    row.querySelector(".edit")?.focus();
  };
  const edit = () => {
    if (open) return;
    open = editor({
      text: message.content, label: "Your message", verb: "Send again", takesEnter: true, leave,
      mayBeEmpty: message.files?.length > 0,
      take: (changed) => {
        leave();
        deeds.resend(message, changed);
      },
    });
    element.classList.add("editing");
    element.append(open.form);
    open.begin();
  };

  return {
    element,
    edit,
    draw(now) {
      message = now;
      if (text.textContent !== now.content) {
        text.textContent = now.content;
        element.style.setProperty("--tall", height(now.content));
      }
      text.hidden = !now.content;
      const rest = JSON.stringify([now.files, now.siblings, now.pending]);
      if (rest === drawn) return; // else its buttons keep the focus
      drawn = rest;
      files.replaceChildren(...(now.files ?? []).map((file) => (isShown(file) ? pictureLine(file) : fileLine(file))));
      files.hidden = !now.files?.length;
      row.hidden = Boolean(now.pending);
      row.replaceChildren(...versions(now, deeds.branch), button("quiet edit", "Edit", edit));
    },
  };
}

function fileLine(file) {
  const line = make("li");
  const isPage = /^https?:\/\//.test(file.source ?? "");
  const leads = isPage ? { href: file.source, target: "_blank", rel: "noopener noreferrer" } : {};
  const name = make(isPage ? "a" : "span", { class: "name", ...leads }, file.name);
  line.append(name, make("span", { class: "size" }, counted(file.n_chars, "character")));
  return line;
}
