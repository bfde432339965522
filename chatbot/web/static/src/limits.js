// Limits of use: the fields in which they are written, and the words for them.
import { bytes } from "./amounts.js";
import { field } from "./confirm.js";
import { counted } from "./words.js";

const NAMES = [
  ["messages_per_day", "Messages in 24 hours"],
  ["answers_at_once", "Answers at once"],
  ["storage_mb", "Storage in MB"],
];
const MOST = 1000000;

/** Three fields with these limits; ids begin with the given word. */
export function limitFields(limits, word) {
  return NAMES.map(([name, label]) => field(label,
    { id: `${word}-${name}`, name, type: "number", min: "0", max: String(MOST), step: "1", required: true, inputmode: "numeric", value: String(limits?.[name] ?? 0) }));
}

/** What is written in these fields of a form. */
export function limitsIn(form) {
  return Object.fromEntries(NAMES.map(([name]) => [name, form.elements[name].valueAsNumber]));
}

/** Limits in words; empty where there are none. */
export function limitWords(limits) {
  const { messages_per_day: messages, answers_at_once: answers, storage_mb: megabytes } = limits ?? {};
  return [messages && `${counted(messages, "message")} a day`, answers && `${counted(answers, "answer")} at once`, megabytes && bytes(megabytes * 1e6)].filter(Boolean).join(", ");
}
