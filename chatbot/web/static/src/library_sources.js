// The sources of a shelf: where its documents come from, how far each is read, and what could not be.
import { ago } from "./amounts.js";
import { showDialog } from "./dialog.js";
import { make } from "./dom.js";
import { keepingFocus, moreButton, progressBar, progressWords } from "./library_parts.js";
import { readable } from "./place.js";
import { redraw } from "./redraw.js";
import { button, counted, sentence } from "./words.js";

const KINDS = { folder: "Folder", page: "Page", sitemap: "Sitemap", crawl: "Web site", git: "Git repository" };

export class Sources {
  constructor(lib) {
    this.lib = lib;
    this.list = make("ul", { class: "sources-of", "aria-labelledby": "sources-title" });
    this.element = make("section", { hidden: true }, make("h2", { id: "sources-title" }, "Sources"), this.list);
  }

  draw(sources, isOwn, other) {
    this.element.hidden = !sources.length;
    if (this.lib.page.menu.button && this.list.contains(this.lib.page.menu.button)) return; // nothing moves under an open menu
    keepingFocus(this.list, () => redraw(this.list, [sources, isOwn], () => sources.map((source) => this.row(source, isOwn))), other);
  }

  row(source, isOwn) {
    const { id, kind, address, state, progress, problem, n_failures: nFailures } = source;
    const isRunning = state === "running";
    const name = make("span", { class: "address" }, address);
    const words = make("div", { class: "words" }, name, make("span", { class: "facts" }, factsOf(source)));
    if (isRunning) words.append(make("span", { class: "state" }, progressWords(source)), progressBar(source, `How far ${address} is read`), ...(progress?.uri ? [make("span", { class: "facts uri" }, readable(progress.uri))] : []));
    if (problem) words.append(make("span", { class: "state failed" }, sentence(problem)));
    if (nFailures) {
      const some = button("quiet failures", `${counted(nFailures, "item")} could not be read`, () => this.showFailures(source));
      some.dataset.key = `failures-${id}`;
      words.append(some);
    }
    const ways = [];
    if (isOwn && isRunning) ways.push(this.way(source, "Stop", "source_stop"));
    if (isOwn && !isRunning) ways.push(this.way(source, state === "stopped" ? "Go on" : "Refresh", "source_refresh"));
    if (isOwn) ways.push(moreButton(this.lib, `Actions for ${address}`, `source-${id}`, () => [{ label: "Remove with its documents", run: () => this.remove(source), danger: true }]));
    return make("li", { "data-state": state }, make("span", { class: "kind" }, KINDS[kind] ?? kind), words, make("div", { class: "ways-of" }, ...ways));
  }

  way(source, label, event) {
    const made = button("quiet", label, () => this.act(event, source), `${label}: ${source.address}`);
    made.dataset.key = `run-${source.id}`;
    return made;
  }

  async act(event, { id }) {
    if (await this.lib.call(event, { source_id: id })) this.lib.refresh();
  }

  /** Its documents go with it; the way back is to add it anew. */
  async remove({ id, kind, address, options }) {
    const at = this.lib.view.id;
    if (!(await this.lib.call("source_remove", { source_id: id }))) return;
    await this.lib.refresh(true);
    this.lib.offer(`${address} was removed with its documents.`, "source_add", { shelf_id: at, kind, address, options });
  }

  async showFailures({ id, address }) {
    const told = await this.lib.call("source_failures", { source_id: id });
    if (!told) return;
    const rows = told.failures.map(({ uri, reason }) => make("li", {}, make("span", { class: "uri" }, readable(uri)), make("span", { class: "facts" }, sentence(reason))));
    const body = rows.length ? make("ul", { class: "failures", tabindex: "0", "aria-label": "What could not be read" }, ...rows) : make("p", {}, "All of it could be read.");
    showDialog("What could not be read", make("p", { class: "help" }, `From ${address}. Everything else is on the shelf.`), body);
  }
}

function factsOf({ n_documents: n, refreshed_at: at, options, state }) {
  const more = [
    options.watch && "watched", options.only?.length && `only ${options.only.join(", ")}`, options.ref && `at ${options.ref}`,
    options.depth && `${counted(options.depth, "link")} deep`, options.n_pages && `at most ${counted(options.n_pages, "page")}`,
  ];
  const when = state === "stopped" ? "stopped" : at ? `read ${ago(at)}` : "not read yet";
  return [counted(n, "document"), when, ...more].filter(Boolean).join(" · ");
}
