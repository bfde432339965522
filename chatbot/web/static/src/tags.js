// Tags: the row of buttons that narrows the list, and the box in which the tags of chats are written.
import { showDialog } from "./dialog.js";
import { make } from "./dom.js";
import { sentence } from "./words.js";

/** All tags of these chats, in the order of the alphabet. */
export function tagsOf(chats) {
  return [...new Set([...chats].flatMap(({ tags = [] }) => tags))].sort((a, b) => a.localeCompare(b));
}

/** The tags that a person wrote: separated by commas, each once. */
function parseTags(text) {
  return [...new Set(text.split(",").map((tag) => tag.trim().replace(/^#/, "").trim()).filter(Boolean))];
}

export class TagFilter {
  constructor(changed) {
    this.changed = changed;
    this.chosen = new Set();
    this.element = make("div", { class: "filter", role: "group", "aria-label": "Show only chats with the tag", hidden: true });
    this.shown = "";
    this.element.addEventListener("click", ({ target }) => {
      const { tag } = target.dataset;
      if (tag === undefined) return;
      if (!this.chosen.delete(tag)) this.chosen.add(tag);
      this.mark();
      this.changed();
    });
  }

  /** Offer these tags; what is chosen and no longer there is chosen no more. */
  draw(tags) {
    this.chosen = new Set(tags.filter((tag) => this.chosen.has(tag)));
    const shown = JSON.stringify(tags);
    if (shown !== this.shown) {
      this.shown = shown;
      this.element.replaceChildren(...tags.map((tag) => make("button", { type: "button", "data-tag": tag }, tag)));
    }
    this.element.hidden = !tags.length;
    this.mark();
  }

  mark() {
    for (const button of this.element.children) button.setAttribute("aria-pressed", String(this.chosen.has(button.dataset.tag)));
  }

  passes({ tags = [] }) {
    return [...this.chosen].every((tag) => tags.includes(tag));
  }
}

/** Ask for tags. save(tags) keeps them; what it throws is told in the box, which stays open. */
export function askTags({ title, tags, known, save }) {
  const field = make("input", { id: "tags", autocomplete: "off", enterkeyhint: "done" });
  const problem = make("p", { class: "problem", role: "alert", hidden: true });
  const offered = known.map((tag) => make("button", { type: "button", onclick: () => toggle(tag) }, tag));
  const form = make("form", { method: "dialog" },
    make("label", { for: "tags" }, "Tags, with commas between them"), field,
    make("div", { class: "filter", role: "group", "aria-label": "Tags in use", hidden: !known.length }, ...offered),
    problem,
    make("div", { class: "ways" }, make("button", { type: "button", onclick: () => dialog.close() }, "Cancel"),
      make("button", { type: "submit", class: "main" }, "Save")));
  const mark = () => {
    const written = parseTags(field.value);
    for (const button of offered) button.setAttribute("aria-pressed", String(written.includes(button.textContent)));
  };
  const toggle = (tag) => {
    const written = parseTags(field.value);
    field.value = (written.includes(tag) ? written.filter((each) => each !== tag) : [...written, tag]).join(", ");
    mark();
  };
  field.value = tags.join(", ");
  field.addEventListener("input", mark);
  mark();
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      await save(parseTags(field.value));
      dialog.close();
    } catch (failure) {
      problem.textContent = sentence(failure.message);
      problem.hidden = false;
    }
  });
  const dialog = showDialog(title, form);
  field.focus();
}
