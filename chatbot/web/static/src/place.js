// Where a passage stands: in words, as an address of the library, and as a list under a copied answer.

const BEGINS_CHARS = 80;

/** The titles over a passage, the outermost first; a first heading that says the title again is left out. */
export function titlesOf({ title, headings = [] }) {
  const parts = [title, ...headings].filter(Boolean);
  return parts.length > 1 && parts[0].toLowerCase() === parts[1].toLowerCase() ? parts.slice(1) : parts;
}

/** Title, headings and page in one line. */
export function placeOf(source) {
  return `${titlesOf(source).join(" › ")}${source.page ? `, page ${source.page}` : ""}`;
}

/** Where an answer was looked for, in words: on shelves, and in files of the chat. */
export function whereOf({ shelves = [], files = [] }) {
  return [...shelves, ...files].join(", ") || "your documents";
}

/** The address of the library at which a passage is shown. By its first words and its digest it is found again in a
 * document that has changed since. */
export function addressOf({ document_id: id, start, end, text = "", digest = "" }) {
  const begins = [...text.slice(0, 2 * BEGINS_CHARS)].slice(0, BEGINS_CHARS).join("");
  return `/library/document/${id}?${new URLSearchParams({ at: `${start}-${end}`, begins, digest })}`;
}

/** The passage that such an address leads to, as the server is asked for it; null where it leads to a document alone. */
export function passageAt(asked) {
  const [, start, end] = /^(\d{1,9})-(\d{1,9})$/.exec(asked.get("at") ?? "") ?? [];
  if (start === undefined) return null;
  const [begins, digest] = [asked.get("begins") ?? "", asked.get("digest") ?? ""];
  return { start: Number(start), end: Number(end), begins: begins.slice(0, 2 * BEGINS_CHARS), digest: digest.slice(0, BEGINS_CHARS) };
}

/** A link that may be followed out of the library; of others nothing is left, whatever a document calls its address. */
export function outside(link) {
  return /^https?:\/\//i.test(link ?? "") ? link : "";
}

/** Where a document lies, as a person writes it: the path of a file, an address as it is. */
export function readable(uri) {
  const path = /^file:(?:\/\/)?(.*)$/s.exec(uri)?.[1];
  if (path === undefined) return uri;
  try {
    return decodeURIComponent(path);
  } catch {
    return path; // a name with a per cent sign of its own
  }
}

/** The first words of a passage in one line, after the heading that it is named by, without the signs of headings. */
export function beginning({ text, headings = [] }, mostChars) {
  const own = (headings.at(-1) ?? "").replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  const found = own ? new RegExp(`^#{0,6} *${own} *$`, "m").exec(text) : null;
  const rest = found ? text.slice(found.index + found[0].length) : text;
  const line = (rest.trim() ? rest : text).replace(/^#{1,6} +/gm, "").replace(/\s+/g, " ").trim();
  return line.length > mostChars ? `${line.slice(0, mostChars).trimEnd()}…` : line;
}

/** The text of an answer as it is copied: with its sources, where it has some. */
export function withSources({ content, meta }) {
  const lines = (meta.library?.sources ?? []).map((source) => `[${source.n}] ${placeOf(source)} (${outside(source.link) || readable(source.uri)})`);
  return lines.length ? `${content}\n\nSources:\n${lines.join("\n")}` : content;
}
