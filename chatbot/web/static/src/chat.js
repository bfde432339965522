// The page: wires the connection, the conversation and the views together. State lives in Conversation.
import { About } from "./about.js";
import { Alerts } from "./alert.js";
import { drawAsksLine } from "./asks_line.js";
import { attempting } from "./attempt.js";
import { Asked } from "./asked.js";
import { listenForKeys } from "./chat_keys.js";
import { CommandList } from "./commands.js";
import { Composer } from "./composer.js";
import { Context } from "./context.js";
import { Conversation, isProgress } from "./conversation.js";
import { copyLast, deedsOf } from "./deeds.js";
import { closeDialogs } from "./dialog.js";
import { Drafts } from "./drafts.js";
import { furtherLine } from "./further.js";
import { LibraryDoor } from "./library_door.js";
import { Failure, Link } from "./link.js";
import { MessageList } from "./messages.js";
import { Missed } from "./missed.js";
import { Note } from "./note.js";
import { obeying } from "./obey.js";
import { warmUp } from "./markdown.js";
import { Options } from "./options.js";
import { Speaker } from "./progress.js";
import { Sidebar } from "./sidebar.js";
import { Surface } from "./surface.js";
import { download } from "./transfer.js";
import { Turns } from "./turns.js";
import { loginPath } from "./whose.js";

const byId = (id) => document.getElementById(id);
const openInList = () => chats.find(({ id }) => id === conversation.id);
const problem = (text, code) => surface.showProblem(text, code);

const link = new Link();
const surface = new Surface();
const conversation = new Conversation(idInAddress());
const { attempt, attemptHere } = attempting(conversation, problem);
const speaker = new Speaker(byId("live"));
const alerts = new Alerts(byId("strip"));
const about = new About(byId("model"), byId("about"), () => asked.tell());
const drafts = new Drafts();
const note = new Note(byId("note"), byId("note-text"), byId("note-close"), (text) => speaker.say(text));
const say = (text) => note.say(text);
const options = new Options(byId("options"), {
  link, conversation, drafts, changed: drawState, learned: (prompts) => { commands.prompts = prompts; },
});
const context = new Context(byId("gauge"), { link, now: () => asked.fill(), changed: () => attempt(load()) });
const commands = new CommandList(byId("input"), byId("commands"), {
  run: (text) => runCommand(text), tell: (text) => speaker.say(text),
  write: (text) => { problem(""); composer.write(text); }, // what was wrong with the words before is not said of these
});
const composer = new Composer({
  form: byId("composer"), input: byId("input"), send: byId("send"), chips: byId("chips"), attach: byId("attach"),
  picker: byId("picker"), area: byId("main"), list: commands, drafts, conversation,
}, link, {
  problem, run: (text) => runCommand(text), tell: (text) => speaker.say(text), changed: () => context.drawSoon(),
  send: (...message) => turns.send(...message), editLast: () => turns.editLast(),
});
const asked = new Asked({ link, conversation, options, composer, changed: () => context.draw() });
const list = new MessageList(byId("scroller"), byId("messages"), byId("latest"), {
  drafts, retry: (answer) => turns.retry(answer), goOn: (answer) => turns.goOn(answer),
  dequeue: (answer) => turns.dequeue(answer),
  change: (answer, text) => turns.change(answer, text),
  resend: (message, text) => turns.resend(message, text),
  tryAgain: (message) => turns.tryAgain(message), takeUp: (message) => turns.takeUp(message), discard: (message) => turns.discard(message),
  branch: (id, way) => turns.branch(id, way), showContext: () => context.open(),
  askWithout: (answer) => turns.askWithout(answer),
});
const turns = new Turns({ link, conversation, list, composer, options, speaker }, {
  problem, attempt, attemptHere, load, sync, showAll, showOpened, showTurn, begun,
});
const sidebar = new Sidebar(byId("side"), { link, open: openChat, fresh: openNew, current: () => (document.body.dataset.view ? null : conversation.id), isAtNothing: () => !document.body.dataset.view && !conversation.id && !conversation.pending.length });
const missed = new Missed(link, fetchMissed, ({ message, code }) => problem(message, code));
const drawFurther = furtherLine(byId("further"), (id) => turns.bringBack(id));
const deeds = deedsOf({
  link, conversation, composer, options, list: commands, note, chats: () => chats,
  acts: {
    fresh: openNew, open: openChat, again: () => turns.again(), editLast: () => turns.editLast(), undo: () => turns.undo(),
    showList, search, fill: () => asked.fill(), save: (name) => download(`/export/${name}`), goOn: (answer) => turns.goOn(answer), clear: () => list.putAway(),
  },
});
const runCommand = obeying({ link, conversation, composer, note, list: commands, deeds, attempt });
const door = new LibraryDoor({
  main: byId("main"), link, toast: sidebar.toast, menu: sidebar.menu, conversation, going, left,
  say: (text) => speaker.say(text), ask: (text) => composer.putBefore(text), hasAccounts: () => !sidebar.me.hidden,
});
let chats = [];
let vanished = null; // {id, place, before}: the chat that went, the new one in its place, what was written in both
let isUnspoken = false; // the first answer of a new chat began before this page could hear of it

// --- what the server says

link.on("connect", () => { sync(); learn(); });
link.on("alert", (said) => alerts.show(said));
link.onLoggedOut = () => location.assign(loginPath()); // what was being written is kept, and comes back with its person
link.onSilence = ({ message, code }) => problem(message, code);
link.onAnswer = () => { if (surface.problemCode === "no_answer") problem(""); };
for (const name of ["disconnect", "connect_error"]) link.on(name, drawSurface);
link.on("model", (now) => {
  if (asked.server.state && asked.server.state !== now.state) learn();
  asked.server = now;
  drawSurface();
});
link.on("chat", (chat) => {
  chats = [chat, ...chats.filter(({ id }) => id !== chat.id)];
  sidebar.put(chat);
  drawTitle();
  if (chat.id === vanished?.id) comeBack();
  if (chat.id !== conversation.id) return;
  options.show(chat.options);
  asked.hear(chat.options);
  if (chat.leaf_id !== conversation.messages.at(-1)?.id) sync(); // another branch is shown now
});
link.on("gone", ({ chat_ids: ids }) => {
  chats = chats.filter(({ id }) => !ids.includes(id));
  sidebar.drop(ids);
  if (!ids.includes(conversation.id)) return;
  const isOwn = sidebar.hasDeleted(conversation.id); // its line says so
  const kept = leave();
  if (!isOwn) problem(`This chat was deleted in another window.${kept}`);
});
link.on("turn", (turn) => {
  if (turn.chat.id !== conversation.id) return;
  showTurn(turn);
  missed.age(); // an answer to `open` that is on its way may be older than this turn
});
link.on("message", ({ chat_id: id, message }) => {
  if (id !== conversation.id) return;
  if (conversation.put(message)) showAll();
  else sync(); // of another branch, or new
});
link.on("notes", ({ chat_id: id }) => { if (id === conversation.id) sync(); });
link.on("event", (...events) => events.forEach(hear));
addEventListener("online", wake);
addEventListener("pageshow", (event) => { if (event.persisted) wake(); });
document.addEventListener("visibilitychange", () => { if (!document.hidden) wake(); });

function hear(event) {
  if (event.chat_id !== conversation.id) return;
  const heard = conversation.hear(event);
  if (heard === "gap") sync();
  if (heard === "done") showAnswer(conversation.find(event.answer_id), event);
}

/** The page was asleep or cut off: it may have missed something. */
function wake() {
  if (link.connected) sync();
  else link.hurry();
}

/** Fetch what this page has missed: the list of chats, and the open chat after the last known events. */
function sync() {
  drawSurface();
  return missed.get();
}

async function fetchMissed() {
  chats = (await link.call("chats")).chats;
  sidebar.take(chats);
  drawTitle();
  if (conversation.id) await load();
}

/** Take what the server offers: controls, presets, commands, models, limits. */
async function learn() {
  const hello = await link.callUntilAnswered("hello").catch(() => null); // asked again at the next connection
  if (!hello) return;
  options.learn(hello);
  commands.learn(hello);
  sidebar.know(hello);
  turns.resume();
  composer.attachments.maxBytes = hello.limits.file_bytes;
  asked.keepTurns = hello.limits.keep_turns;
  drawState();
}

/** Fetch the open chat. A chat that does not exist makes room for a new one. */
async function load() {
  const { place } = conversation;
  try {
    const opened = await link.call("open", { chat_id: place.id, after: conversation.known() });
    conversation.place === place ? showOpened(opened) : sync(); // the server may tell this page of the other one now
  } catch (failure) {
    if (conversation.place !== place) return;
    if (failure.code !== "unknown_chat" && failure.code !== "bad_request") throw failure;
    throw new Failure(`This chat does not exist any more.${leave()}`, "unknown_chat");
  }
}

function showOpened({ chat, messages, notes, further }) {
  if (conversation.take(messages)) sync();
  if (isUnspoken) speaker.sayState(conversation.last("assistant"));
  isUnspoken = false;
  conversation.takeNotes(notes);
  conversation.further = further;
  options.show(chat.options);
  showAll();
  drawTitle();
  asked.hear(chat.options, true);
  drafts.restoreEdits(messages.map(({ id }) => id)).then((isSome) => isSome && showAll());
}

function showAll() {
  list.showAll(conversation.shown, asked.edge());
  drawState();
}

function showTurn(turn) {
  note.hide();
  if (conversation.begin(turn) === "gap") sync();
  showAll();
}

function showAnswer(answer, event) {
  list.update(answer);
  if (event.type === "delta" || event.type === "thought") {
    context.drawSoon();
    return;
  }
  if (!isProgress(event)) drawState();
  speaker.sayEvent(answer, event);
  if (event.type === "done") asked.ended();
}

// --- what the person does

byId("stop").addEventListener("click", () => turns.stop());
addEventListener("popstate", () => {
  closeDialogs();
  if (door.owns(location.pathname)) return door.show();
  const isBegun = door.isOpen && conversation.place === conversation.fresh; // the new chat may have its id by now
  const id = idInAddress() ?? (isBegun ? conversation.id : null);
  const isThere = door.isOpen && id === conversation.id;
  if (isThere && id) history.replaceState(null, "", `/c/${id}`);
  door.close();
  if (!isThere) id ? openChat(id, false) : startNew();
});
listenForKeys({ escape, copy: (what) => copyLast(conversation, what, say), step: (by) => !door.isOpen && turns.step(by) });

function escape() {
  if (surface.isSideOpen) surface.showSide(false);
  else if (door.isOpen) return;
  else if (about.isOpen) about.leave();
  else if (!byId("stop").hidden) turns.stop();
  else if (note.isOpen) note.hide();
  else document.activeElement.blur();
}

/** The library covers the conversation now. */
function going() {
  surface.showSide(false);
  about.close();
  sidebar.mark();
}

/** The conversation is to be seen again. focused: what had the focus in it. */
function left(focused) {
  drawTitle();
  focused ? focused.focus({ preventScroll: true }) : composer.focus();
}

/** Open a chat; at one of its messages, which may be on another branch, when one is named. */
async function openChat(id, remember = true, messageId = undefined) {
  if (remember) history.pushState(null, "", `/c/${id}`);
  door.close();
  surface.showSide(false);
  const shown = show(id);
  composer.focus();
  await shown;
  if (messageId && conversation.id === id) await showMessage(messageId);
}

function show(id) {
  problem("");
  enter(id);
  options.show(chats.find((chat) => chat.id === id)?.options);
  composer.restore(id);
  drawTitle();
  return attempt(load());
}

async function showMessage(id) {
  if (!conversation.find(id)) {
    const opened = await attemptHere(link.call("branch", { chat_id: conversation.id, message_id: id }));
    if (!opened) return;
    showOpened(opened);
  }
  list.showMessage(id);
}

function enter(id) {
  closeDialogs();
  isUnspoken = false;
  turns.enter(id);
  note.hide();
  speaker.say(""); // what the chat before had to say
}

function openNew() {
  history.pushState(null, "", "/");
  door.close();
  startNew();
  surface.showSide(false);
  problem("");
  composer.focus();
}

function startNew() {
  enter(null);
  options.showKept();
  composer.restore(null);
  drawTitle();
}

/** This chat is not there: go on with a new one. What is to be said of the words in the message box. */
function leave() {
  const { id } = conversation;
  const kept = composer.isEmpty ? "" : " What you wrote is kept here for a new one.";
  const before = composer.move(id, null);
  if (!door.isOpen) history.replaceState(null, "", "/");
  startNew();
  vanished = { id, place: conversation.place, before };
  return kept;
}

/** The chat that went is there again: back to it, with the words, unless the person does something else by now. */
function comeBack() {
  const { id, place, before } = vanished;
  vanished = null;
  if (conversation.place !== place || place.id !== null || conversation.pending.length) return;
  composer.moveBack(id, null, before);
  if (!door.isOpen) history.replaceState(null, "", `/c/${id}`);
  show(id);
  sidebar.toast.say("The chat is back.");
}

/** The new chat of this page has an id now. */
function begun(id) {
  isUnspoken = true;
  if (!door.isOpen) history.replaceState(null, "", `/c/${id}`);
  drawTitle();
}

function showList() {
  sidebar.panel.show();
  (byId("side").querySelector("nav a") ?? byId("new")).focus();
}

function search(text) {
  sidebar.panel.show();
  sidebar.search.field.value = text;
  sidebar.search.change();
  sidebar.search.focus();
}

// --- drawing

function drawTitle() {
  sidebar.mark();
  if (!door.isOpen) surface.showTitle(openInList()?.title);
}

function drawState() {
  list.mark(asked.edge());
  drawStop();
  drawFurther(conversation);
  byId("empty").hidden = conversation.shown.length > 0;
  composer.draw();
  context.draw();
  drawAsksLine(byId("asks"), options.inForce, () => options.open("library"));
  drawModel();
}

/** Stop is there for what is being answered on a branch that is not shown, too. */
function drawStop() {
  const isHidden = !conversation.running && Boolean(openInList()?.running);
  byId("stop").hidden = !conversation.running && !isHidden;
  byId("stop").title = isHidden ? "Another version of this chat is being answered" : "";
}

function drawSurface() {
  surface.showState(link, asked.server);
  drawModel();
  context.draw();
}

function drawModel() {
  about.show(asked.model, link.connected ? asked.server.state : "away");
}

function idInAddress() {
  return location.pathname.startsWith("/c/") ? location.pathname.slice(3) : null;
}

if (conversation.id === null) options.showKept();
composer.restore(conversation.id);
if (door.owns(location.pathname)) door.show();
else composer.focus();
warmUp();
