// What the commands of the page do. Those that are not here are the server's: what it says is shown, and the files
// that it gives are put into the composer.
import { shownValue } from "./controls.js";
import { copy } from "./copy.js";
import { showDialog } from "./dialog.js";
import { make } from "./dom.js";
import { withSources } from "./place.js";
import { counted, sentence } from "./words.js";

const CODE = /^ {0,3}(`{3,}|~{3,})[^\n]*\n([\s\S]*?)\n? {0,3}\1/gm;
const SERVER_TIMEOUT_MS = 60000; // it may have to read pages

/** The last block of code in a text. */
function lastCode(text) {
  return [...text.matchAll(CODE)].at(-1)?.[2];
}

/** page: what the page lends: link, conversation, composer, options, list (of commands), note, chats, acts. */
export function deedsOf({ link, conversation, composer, options, list, note, chats, acts }) {
  const say = (text) => note.say(text);
  /** Choose an option as it is typed behind /set, which the server reads; without a value it is shown. */
  const choose = async (line) => {
    const { place } = conversation;
    const { name, is_set: isSet, value } = await link.call("setting", { text: line });
    if (conversation.place !== place) return;
    if (!isSet) {
      options.open(name ?? "");
      return;
    }
    await options.set(name, value ?? undefined);
    const { label } = options.known.controls.find((each) => each.name === name);
    say(`${label}: ${value === null ? "default" : shownValue(value)}`);
  };
  return {
    new: () => acts.fresh(),
    model: (name) => (name ? choose(`model ${name}`) : options.open("model")),
    system: (text) => (text ? choose(`system_prompt ${text}`) : options.open("system_prompt")),
    think: (how) => (how ? choose(`thinking ${how.toLowerCase() === "on" ? "medium" : how}`) : options.open("thinking")),
    set: (line) => (line ? choose(line) : options.open()),
    file: () => composer.picker.click(),
    url: async (address) => {
      const { place } = conversation;
      const chip = await composer.attachments.addPage(address.replace(/^#/, ""));
      if (!chip) composer.giveBack(place.id, { content: `/url ${address}` });
    },
    regen: () => acts.again() || say("There is no answer yet that could be given again."),
    continue: () => {
      const answer = conversation.last("assistant");
      return answer ? acts.goOn(answer) : say("There is no answer yet that could go on.");
    },
    edit: () => acts.editLast() || say("You have said nothing yet that could be changed."),
    undo: () => (conversation.messages.length ? acts.undo() : say("There is nothing yet to take back.")),
    copy: (what) => copyLast(conversation, what, say),
    save: (name) => {
      const kind = name.toLowerCase().endsWith("json") ? "json" : "md";
      return conversation.id ? acts.save(`${conversation.id}.${kind}`) : say("There is no conversation yet to save.");
    },
    list: () => acts.showList(),
    open: (id) => {
      const wanted = id.toLowerCase();
      const chat = id && chats().find((each) => each.id === id || each.title.toLowerCase() === wanted);
      if (id && !chat) throw new Error(`There is no conversation ${id}: choose one from the list.`);
      return chat ? acts.open(chat.id) : acts.showList();
    },
    search: (text) => acts.search(text),
    stats: () => say(statsOf(conversation, acts.fill())),
    clear: () => {
      acts.clear();
      say("The screen is clear, and the conversation goes on. /new begins another one.");
    },
    help: (name) => (name ? askServer({ link, conversation, composer, note }, `/help ${name}`) : showHelp(list.commands)),
  };
}

/** Copy the last answer, or the last block of code in it (what is "code"), and say so. */
export async function copyLast(conversation, what, say) {
  const answer = conversation.last("assistant");
  const wanted = what === "code" ? lastCode(answer?.content ?? "") : answer && withSources(answer);
  if (!wanted) say(what === "code" ? "The last answer has no block of code." : "There is no answer yet.");
  else say((await copy(wanted)) ? "Copied." : "This browser does not let the page copy: select the text and press Ctrl+C.");
}

function statsOf(conversation, { nUsed, nCtx }) {
  const { timings, usage } = conversation.last("assistant")?.meta ?? {};
  const n = usage?.completion_tokens ?? timings?.n_pieces;
  const writing = timings?.first_s ? timings.total_s - timings.first_s : 0;
  const lines = timings?.first_s ? [`The last answer: ${counted(n, "token")}, the first after ${timings.first_s.toFixed(1)} s`] : ["No answer yet"];
  if (writing > 0 && n > 1) lines[0] += `, then ${(Math.round(((n - 1) / writing) * 10) / 10).toLocaleString()} a second`;
  if (usage?.prompt_tokens) {
    const cached = usage.cached_tokens ? `, ${usage.cached_tokens.toLocaleString()} of them known from before` : "";
    lines.push(`It was asked with ${counted(usage.prompt_tokens, "token")}${cached}`);
  }
  if (nCtx) lines.push(`${nUsed.toLocaleString()} of the ${nCtx.toLocaleString()} tokens that the model holds are used`);
  return `${lines.join(". ")}.`;
}

function showHelp(commands) {
  const rows = commands.map(({ name, args, help }) =>
    make("div", {}, make("dt", {}, make("code", {}, `/${name} ${args ?? ""}`.trim())), make("dd", {}, sentence(help))));
  showDialog("Commands", make("dl", { class: "commands" }, ...rows));
}

/** Let the server do a command. */
export async function askServer({ link, conversation, composer, note }, text) {
  const { place } = conversation;
  note.say("One moment…");
  const files = composer.attachments.files.map(({ id }) => id);
  const told = await link.call("command", { chat_id: place.id, text, files }, SERVER_TIMEOUT_MS).finally(() => note.hide());
  if (conversation.place !== place) return;
  if (told.files?.length) composer.attachments.addReady(told.files);
  if (told.say) note.say(told.say);
}
