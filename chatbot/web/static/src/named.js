// How a shelf, a document or a file is named in a message. chatbot/core/mentions.py reads it.

/** What a person writes to name something. */
export function written(name) {
  return `#${/^[^\s"#]+$/.test(name) ? name : `"${name.replaceAll('"', "").trim().replace(/\s+/g, " ")}"`}`;
}
