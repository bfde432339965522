// One control of the options: made from what the server says of it (name, label, kind, range, help), read back as a
// value. Empty means the value in force, which stands there as a placeholder.
import { make } from "./dom.js";
import { button, sentence } from "./words.js";

const CHOICES = { break_down: "break down" }; // as a person reads them
const MOST_CHARS = 80; // of a value that is shown in a sentence
const LONG_TEXTS = { system_prompt: 5, stop: 2, extra: 3 };

/** What a value may be, in words; empty when the value is right. */
function complaint(control, value) {
  const { kind, label, low, high, step } = control;
  if (value === undefined) return "";
  if (kind === "number") {
    const isWhole = Number.isInteger(step);
    const fits = Number.isFinite(value) && value >= low && value <= high && !(isWhole && !Number.isInteger(value));
    return fits ? "" : `${label} is a ${isWhole ? "whole " : ""}number from ${low} to ${high}.`;
  }
  const isObject = value !== null && typeof value === "object" && !Array.isArray(value);
  return kind === "json" && !isObject ? `${label}: write an object such as {"mirostat": 2}.` : "";
}

/** A value in a sentence. */
export function shownValue(value) {
  const text = typeof value === "object" ? JSON.stringify(value) : value === "" ? "none is sent" : String(value);
  return text.length > MOST_CHARS ? `${text.slice(0, MOST_CHARS)}…` : text;
}

/** Say why a choice was not taken: at the row that it is of, else by the text that is given back. options: in force. */
export function refused(rows, { message, option }, options) {
  const why = `Not saved: ${sentence(message)}`;
  const row = rows.find(({ name }) => name === option);
  row?.refuse(why, options[option]);
  return row ? "" : why;
}

/** A row of the panel: {name, element, update, refuse}. set: called with the new value, undefined for none. */
export function controlRow(control, set) {
  const id = `option-${control.name}`;
  const field = fieldOf(control, id);
  const choose = (value) => {
    set(value);
    field.focus();
  };
  let shown = ""; // what stands in the field, but for what is being typed
  let inForce; // the value that holds while what stands there is wrong
  const custom = make("span", { class: "custom" }, "custom");
  const reset = button("quiet", "Reset", () => choose(undefined), `Reset ${control.label}`);
  const none = button("quiet", "Send none", () => choose(""));
  const head = make("div", { class: "head" }, make("label", { for: id }, control.label), custom, reset, none);
  const problem = make("p", { class: "problem", id: `${id}-problem`, role: "alert" });
  const mark = (why) => {
    problem.textContent = why && inForce !== undefined ? `${why} In force: ${shownValue(inForce)}.` : why;
    field.setAttribute("aria-invalid", String(Boolean(why)));
    return !why;
  };
  field.addEventListener("change", () => {
    const typed = valueOf(control, field.value);
    shown = field.value;
    if (mark(complaint(control, typed))) set(typed);
  });
  const help = make("p", { class: "help", id: `${id}-help` }, helpOf(control));
  return {
    name: control.name,
    element: make("div", { class: `control ${control.kind} ${control.name}` }, head, field, help, problem),
    /** value: what is chosen; fallback: what is in force otherwise; models: for the control of that name. */
    update({ value, fallback, models }) {
      custom.hidden = reset.hidden = value === undefined;
      none.hidden = control.name !== "system_prompt" || value === "";
      if (control.name === "model") offer(field, modelChoices(value, fallback, models));
      if (control.kind === "choice") offer(field, [["", fallback ? `default (${CHOICES[fallback] ?? fallback})` : "default"], ...control.choices.map((each) => [each, CHOICES[each] ?? each])]);
      field.placeholder = value === "" ? "None is sent." : asText(control, fallback);
      const isWrong = field.getAttribute("aria-invalid") === "true"; // then it stays, to be put right
      const isTyped = field === document.activeElement && field.value !== shown;
      if (isTyped || (isWrong && same(value, inForce))) return;
      inForce = value;
      field.value = shown = asText(control, value);
      mark("");
    },
    /** What was typed is not taken, and value holds: it stays, to be put right. */
    refuse(why, value) {
      inForce = value;
      mark(why);
    },
  };
}

function same(one, other) {
  return JSON.stringify(one) === JSON.stringify(other);
}

function helpOf({ name, kind, help, low, high }) {
  if (name === "system_prompt") return "What the model is told before this conversation.";
  return kind === "number" ? `${help} ${low} to ${high.toLocaleString()}.` : help;
}

function fieldOf(control, id) {
  const described = { id, "aria-describedby": `${id}-help ${id}-problem` };
  if (control.name === "model" || control.kind === "choice") return make("select", described);
  if (control.name in LONG_TEXTS) return make("textarea", { ...described, rows: String(LONG_TEXTS[control.name]) });
  const range = control.kind === "number" ? { inputmode: "decimal" } : {};
  return make("input", { ...described, type: "text", autocomplete: "off", ...range });
}

/** Give a select these choices, [value, text] each, unless it has them. */
export function offer(field, choices) {
  const now = JSON.stringify(choices);
  if (field.dataset.choices === now) return;
  field.dataset.choices = now;
  field.replaceChildren(...choices.map(([value, text]) => make("option", { value }, text)));
}

function modelChoices(value, fallback, models) {
  const names = models.map(({ name, state }) => [name, state && state !== "ok" ? `${name} · ${state}` : name]);
  if (value && !models.some(({ name }) => name === value)) names.push([value, `${value} · not listed`]);
  const first = fallback || models[0]?.name;
  return [["", first ? `default (${first})` : "default"], ...names];
}

function asText({ kind }, value) {
  if (value === undefined || value === null) return "";
  if (kind === "lines") return value.map((line) => line.replace(/\n/g, "\\n").replace(/\t/g, "\\t")).join("\n");
  if (kind === "json") return Object.keys(value).length ? JSON.stringify(value, null, 1) : "";
  return String(value);
}

/** A value as it was typed, where \n in a line is a line end: undefined where nothing was, null where it cannot be read. */
function valueOf({ kind }, text) {
  const typed = kind === "lines" ? text : text.trim();
  if (!typed) return undefined;
  if (kind === "number") return Number(typed.replace(",", "."));
  if (kind === "lines") return typed.split("\n").filter(Boolean).map((line) => line.replace(/\\n/g, "\n").replace(/\\t/g, "\t"));
  if (kind !== "json") return typed;
  try {
    return JSON.parse(typed);
  } catch {
    return null;
  }
}
