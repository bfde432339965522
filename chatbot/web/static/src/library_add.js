// Adding to a shelf: files by choosing or dropping them, a folder of the server's disk, addresses, repositories.
import { askFor, field, tick } from "./confirm.js";
import { make } from "./dom.js";
import { sendFile } from "./post.js";
import { button, isTouch, sentence } from "./words.js";

const HOW = [
  ["page", "This page alone"],
  ["sitemap", "All pages that its sitemap lists"],
  ["crawl", "The whole site, from link to link"],
];

export class AddTo {
  constructor(lib, shelfId) {
    Object.assign(this, { lib, shelfId });
    this.sent = []; // {name, state: "waiting"|"sending"|"failed", why}
    this.sending = Promise.resolve();
    this.picker = make("input", { type: "file", multiple: true, hidden: true, "aria-label": "Files for this shelf" });
    this.picker.addEventListener("change", () => {
      this.send([...this.picker.files]);
      this.picker.value = "";
    });
    this.folder = button("", "Folder", () => this.askFolder(), "Add a folder of this machine");
    this.told = make("p", { class: "lead" }, isTouch ? "Choose where documents come from." : "Drop files anywhere on this page, or choose where documents come from.");
    this.list = make("ul", { class: "sent", "aria-label": "Files on their way", hidden: true });
    this.element = make("div", { class: "add-to", hidden: true }, this.told, make("div", { class: "row", role: "group", "aria-label": "Add to this shelf" },
      button("", "Choose files", () => this.picker.click()), this.folder,
      button("", "Web address", () => this.askAddress(), "Add a web address"), button("", "Git repository", () => this.askGit(), "Add a git repository")), this.picker, this.list);
  }

  draw({ isOwn, mayReadDisk, isEmpty }) {
    this.element.hidden = !isOwn;
    this.element.classList.toggle("empty", isEmpty);
    this.folder.hidden = !mayReadDisk;
    this.mayReadDisk = mayReadDisk;
  }

  /** What was dropped: a folder cannot be sent as one file. */
  take(items) {
    const files = [];
    for (const item of items) {
      if (item.webkitGetAsEntry?.()?.isDirectory) this.lib.toast.say(`${item.getAsFile()?.name ?? "This"} is a folder: drop the files in it${this.mayReadDisk ? ", or add it with “Folder”" : ""}.`);
      else files.push(item.getAsFile());
    }
    this.send(files.filter(Boolean));
  }

  /** Send files one after the other. */
  send(files) {
    for (const file of files) {
      const row = { name: file.name, state: "waiting", why: "" };
      this.sent.push(row);
      this.sending = this.sending.then(() => this.deliver(row, file));
    }
    this.drawSent();
  }

  async deliver(row, file) {
    row.state = "sending";
    this.drawSent();
    try {
      await sendFile(`/library/${this.shelfId}/files`, file);
      this.sent.splice(this.sent.indexOf(row), 1);
      this.lib.page.say(`${file.name} is on the shelf.`);
    } catch (failure) {
      Object.assign(row, { state: "failed", why: sentence(failure.message) });
      if (this.element.isConnected) this.lib.page.say(row.why);
      else this.lib.toast.say(row.why);
    }
    this.drawSent();
    if (!this.sent.some(({ state }) => state === "waiting")) this.lib.refresh(true);
  }

  drawSent() {
    this.list.hidden = !this.sent.length;
    this.list.replaceChildren(...this.sent.map((row) => {
      const words = { waiting: "waiting", sending: "being read…", failed: row.why }[row.state];
      const drop = () => {
        this.sent.splice(this.sent.indexOf(row), 1);
        this.drawSent();
      };
      const away = row.state === "failed" ? [button("quiet", "×", drop, `Put away: ${row.name}`)] : [];
      return make("li", { "data-state": row.state }, make("span", { class: "name" }, row.name), make("span", { class: "facts" }, words), ...away);
    }));
  }

  /** Add a source, which is read at once. Throws Failure. */
  async add(kind, address, options) {
    await this.lib.link.call("source_add", { shelf_id: this.shelfId, kind, address, options }, 30000);
    await this.lib.refresh(true);
  }

  askFolder() {
    askFor({
      title: "Add a folder", verb: "Add it",
      fields: [
        field("Path on the machine of the chat server", { id: "source-path", name: "address", required: true, placeholder: "/home/me/documents", spellcheck: "false" }),
        field("Only files like", { id: "source-only", name: "only", placeholder: "*.md, *.pdf", spellcheck: "false" }, "Patterns with commas between them. Empty takes every file that can be read."),
        tick("Watch it: take changes within seconds", { name: "watch", checked: true }),
      ],
      act: ({ elements }) => this.add("folder", elements.address.value.trim(), { watch: elements.watch.checked, ...patterns(elements.only.value) }),
    });
  }

  askAddress() {
    const choices = HOW.map(([kind, text], at) => make("label", { class: "tick" }, make("input", { type: "radio", name: "kind", value: kind, checked: at === 0 }), text));
    const number = (label, name, value, most) => field(label, { id: `source-${name}`, name, type: "number", min: "1", max: String(most), value: String(value), inputmode: "numeric", required: true });
    const depth = number("How many links deep", "depth", 3, 10);
    const pages = number("At most so many pages", "n_pages", 200, 10000);
    const kinds = make("fieldset", { class: "kinds" }, make("legend", {}, "What of it"), ...choices);
    const kindOf = () => kinds.querySelector("input:checked").value;
    const ask = (row, isAsked) => {
      row.querySelector("input").disabled = !isAsked; // what is hidden must not hold up the others
      row.hidden = !isAsked;
    };
    const show = () => {
      ask(depth, kindOf() === "crawl");
      ask(pages, kindOf() !== "page");
    };
    kinds.addEventListener("change", show);
    show();
    askFor({
      title: "Add a web address", verb: "Add it",
      fields: [field("Address", { id: "source-url", name: "address", type: "url", required: true, placeholder: "https://", spellcheck: "false" }), kinds, depth, pages],
      act: ({ elements }) => {
        const kind = kindOf();
        const options = { ...(kind === "crawl" && { depth: Number(elements.depth.value) }), ...(kind !== "page" && { n_pages: Number(elements.n_pages.value) }) };
        return this.add(kind, elements.address.value.trim(), options);
      },
    });
  }

  askGit() {
    const hint = this.mayReadDisk ? "https://…, or the path of a repository on the machine of the chat server." : "https://… of a repository that everybody may read.";
    askFor({
      title: "Add a git repository", verb: "Add it",
      fields: [
        field("Repository", { id: "source-git", name: "address", required: true, spellcheck: "false", placeholder: "https://" }, hint),
        field("Branch or tag", { id: "source-ref", name: "ref", spellcheck: "false" }, "Empty takes the one that the repository shows first."),
        field("Only files like", { id: "source-only", name: "only", placeholder: "docs/*, *.md", spellcheck: "false" }, "Patterns with commas between them. Empty takes every file that can be read."),
      ],
      act: ({ elements }) => {
        const ref = elements.ref.value.trim();
        return this.add("git", elements.address.value.trim(), { ...(ref && { ref }), ...patterns(elements.only.value) });
      },
    });
  }
}

function patterns(text) {
  const only = text.split(",").map((each) => each.trim()).filter(Boolean);
  return only.length ? { only } : {};
}
