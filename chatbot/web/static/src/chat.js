// The page: wires the connection, the conversation and the views together. State lives in Conversation.
import { About } from "./about.js";
import { Conversation, isFinal, isProgress } from "./conversation.js";
import { Failure, Link, newKey } from "./link.js";
import { MessageList, sentence } from "./messages.js";
import { Speaker } from "./progress.js";

const byId = (id) => document.getElementById(id);
const page = {
  chats: byId("chats"), form: byId("composer"), input: byId("input"), send: byId("send"), stop: byId("stop"),
  problem: byId("problem"), strip: byId("strip"), demo: byId("demo"), base: byId("base"), welcome: byId("welcome"),
  live: byId("live"), empty: byId("empty"), menu: byId("menu"), side: byId("side"), shade: byId("shade"), fresh: byId("new"),
  close: byId("close"), main: byId("main"), title: byId("title"),
};
const MAX_CHARS = Number(document.body.dataset.maxChars);
const isTouch = matchMedia("(pointer: coarse)").matches;

const link = new Link();
const conversation = new Conversation(idInAddress());
const speaker = new Speaker(page.live);
const about = new About(byId("model"), byId("about"), async () => (await link.call("about")).about);
const list = new MessageList(byId("scroller"), byId("messages"), byId("latest"), retry);
let chats = [];
let model = { state: "", model: null, notice: "" };
let syncing = false;
let syncAgain = false;
let sending = Promise.resolve(); // the last message on its way; the next one follows it
let problemCode = "";

// --- what the server says

link.on("connect", sync);
link.on("disconnect", drawStrip);
link.on("connect_error", drawStrip);
link.on("model", (now) => { model = now; drawStrip(); });
link.on("chat", (chat) => { chats = [chat, ...chats.filter(({ id }) => id !== chat.id)]; drawChats(); });
link.on("turn", (turn) => {
  if (turn.chat.id !== conversation.id) return;
  showTurn(turn);
  syncAgain = true; // an answer to `open` that is on its way may be older than this turn
});
link.on("event", (event) => {
  if (event.chat_id !== conversation.id) return;
  const heard = conversation.hear(event);
  if (heard === "gap") sync();
  if (heard === "done") showAnswer(conversation.find(event.answer_id), event);
});
addEventListener("online", wake);
addEventListener("pageshow", (event) => { if (event.persisted) wake(); });
document.addEventListener("visibilitychange", () => { if (!document.hidden) wake(); });

/** The page was asleep or cut off: it may have missed something. */
function wake() {
  if (link.connected) sync();
  else link.hurry();
}

/** Fetch what this page has missed: the list of chats, and the open chat after the last known events. */
async function sync() {
  drawStrip();
  syncAgain = true;
  if (syncing) return;
  syncing = true;
  while (syncAgain && link.connected) {
    syncAgain = false;
    try {
      await fetchMissed();
    } catch (failure) {
      if (failure.code === "no_answer") syncAgain = true;
      else showProblem(failure.message, failure.code);
    }
  }
  syncing = false;
}

async function fetchMissed() {
  chats = (await link.call("chats")).chats;
  drawChats();
  if (conversation.id) await load();
  if (problemCode === "no_answer") showProblem("");
}

/** Fetch the open chat. A chat that does not exist makes room for a new one. */
async function load() {
  const { place } = conversation;
  try {
    const opened = await link.call("open", { chat_id: place.id, after: conversation.known() });
    if (conversation.place !== place) return;
    conversation.take(opened.messages);
  } catch (failure) {
    if (conversation.place !== place) return;
    if (failure.code !== "unknown_chat" && failure.code !== "bad_request") throw failure;
    leave();
    throw new Failure("This chat does not exist any more.", "unknown_chat");
  }
  list.showAll(conversation.shown);
  drawChats();
  drawState();
}

function showTurn(turn) {
  if (conversation.begin(turn)) list.showAll(conversation.shown);
  drawState();
}

function showAnswer(answer, event) {
  list.update(answer);
  if (event.type === "delta") return;
  if (isProgress(event)) {
    speaker.sayProgress(event);
    return;
  }
  drawState();
  if (event.type === "done") speaker.say(answer.content || answer.meta.error?.message || "Stopped.");
  if (event.status === "reading") speaker.say("Answering…");
  if (event.status === "streaming") speaker.endProgress();
}

// --- what the person does

page.form.addEventListener("submit", (event) => { event.preventDefault(); send(); });
page.input.addEventListener("keydown", (event) => {
  const isComposing = event.isComposing || event.keyCode === 229;
  if (event.key !== "Enter" || event.shiftKey || isComposing || isTouch) return;
  event.preventDefault();
  send();
});
page.input.addEventListener("input", () => { keepDraft(); fitInput(); drawState(); });
page.stop.addEventListener("click", stop);
page.fresh.addEventListener("click", (event) => { event.preventDefault(); openNew(); });
page.menu.addEventListener("click", () => showSide(true));
for (const element of [page.close, page.shade]) element.addEventListener("click", () => showSide(false));
matchMedia("(max-width: 46rem)").addEventListener("change", () => showSide(false));
addEventListener("keydown", (event) => { if (event.key === "Escape" && !event.isComposing) escape(); });
addEventListener("popstate", () => { const id = idInAddress(); id ? openChat(id, false) : startNew(); });

function send() {
  const text = page.input.value;
  if (!text.trim()) return;
  const nChars = text.length > MAX_CHARS ? [...text].length : text.length; // the server counts an emoji as one
  if (nChars > MAX_CHARS) {
    showProblem(`This message has ${nChars.toLocaleString()} characters, ${MAX_CHARS.toLocaleString()} are allowed.`);
    return;
  }
  const { place } = conversation;
  const key = newKey();
  conversation.pending.push({ id: key, role: "user", content: text, pending: true });
  showProblem("");
  setInput("");
  list.follow();
  list.showAll(conversation.shown);
  sending = sending.then(() => deliver(place, text, key));
}

async function deliver(place, text, key) {
  const from = place.id;
  try {
    const turn = await link.callUntilAnswered("send", { chat_id: from, text, key });
    forgetDraft(from, text);
    place.id = turn.chat.id;
    if (conversation.place !== place) {
      sync(); // the server now tells this page of that chat: open the right one again
      return;
    }
    conversation.settle((sent) => sent.id === key);
    if (from === null) history.replaceState(null, "", `/c/${place.id}`);
    showTurn(turn);
    list.showAll(conversation.shown);
    drawChats();
    if (from === null) sync(); // events may have come before this page knew the chat's id
  } catch (failure) {
    if (conversation.place === place) {
      conversation.settle((sent) => sent.id === key);
      list.showAll(conversation.shown);
      if (!page.input.value) setInput(text);
      drawState();
    }
    showProblem(failure.message, failure.code);
  }
}

async function stop() {
  const running = conversation.messages.find((message) => message.role === "assistant" && !isFinal(message));
  if (running) await attempt(link.call("stop", { answer_id: running.id }));
}

async function retry(answerId) {
  const turn = await attempt(link.call("retry", { answer_id: answerId }));
  if (turn && turn.chat.id === conversation.id) {
    list.follow();
    showTurn(turn);
  }
}

async function attempt(promise) {
  try {
    const answer = await promise;
    showProblem("");
    return answer;
  } catch (failure) {
    showProblem(failure.message, failure.code);
    return undefined;
  }
}

function escape() {
  if (isSideOpen()) showSide(false);
  else if (about.isOpen) about.leave();
  else if (!page.stop.hidden) stop();
}

async function openChat(id, remember = true) {
  if (remember) history.pushState(null, "", `/c/${id}`);
  showSide(false);
  showProblem("");
  enter(id);
  setInput(readDraft(id));
  drawChats();
  focusInput();
  await attempt(load());
}

function enter(id) {
  conversation.enter(id);
  list.clear();
  speaker.say(""); // what the chat before had to say
}

function openNew() {
  history.pushState(null, "", "/");
  startNew();
  showSide(false);
  showProblem("");
  focusInput();
}

function startNew() {
  enter(null);
  setInput(readDraft(null));
  drawChats();
}

/** This chat is not there: go on with a new one. */
function leave() {
  history.replaceState(null, "", "/");
  startNew();
}

// --- drafts: what is typed survives a reload

const draftName = (id) => `draft:${id ?? "new"}`;
const readDraft = (id) => stored((store) => store.getItem(draftName(id))) ?? "";

function keepDraft() {
  stored((store) => store.setItem(draftName(conversation.id), page.input.value));
}

function forgetDraft(id, sent) {
  if (readDraft(id) === sent) stored((store) => store.removeItem(draftName(id)));
}

/** Use the browser's storage where it is allowed and has room. */
function stored(use) {
  try {
    return use(localStorage);
  } catch {
    return null;
  }
}

// --- drawing

function drawChats() {
  page.chats.replaceChildren(...chats.map((chat) => {
    const item = document.createElement("li");
    const anchor = document.createElement("a");
    anchor.href = `/c/${chat.id}`;
    anchor.textContent = chat.title;
    anchor.title = chat.title;
    if (chat.id === conversation.id) anchor.setAttribute("aria-current", "page");
    anchor.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      openChat(chat.id);
    });
    item.append(anchor);
    return item;
  }));
  const title = chats.find(({ id }) => id === conversation.id)?.title;
  document.title = title ?? "Paddock";
  page.title.textContent = title ?? "New chat";
}

function drawState() {
  const answers = conversation.messages.filter((message) => message.role === "assistant");
  page.stop.hidden = answers.every(isFinal);
  page.send.disabled = !page.input.value.trim();
  page.empty.hidden = conversation.shown.length > 0;
}

function drawStrip() {
  const text = !link.connected
    ? (link.refusal && sentence(link.refusal)) || "The chat server does not answer. Trying again; what you typed is kept."
    : { away: "The model is away: nobody answers at its address. Your chats are safe; it is looked for every 2 seconds.",
        loading: "The model is being loaded. A message sent now is answered as soon as it is there." }[model.state] ?? "";
  page.strip.textContent = text;
  page.strip.hidden = !text;
  about.show(model.model, link.connected ? model.state : "away");
  page.demo.textContent = model.notice;
  page.demo.hidden = !model.notice;
  if (model.model) drawMode(model.model.is_base);
}

/** A base model goes on with a text; others answer. While no model is there, the page stays as it was. */
function drawMode(isBase) {
  page.base.hidden = !isBase;
  page.welcome.textContent = isBase ? "How does your text begin?" : "What would you like to talk about?";
  page.input.placeholder = isBase ? "Text to continue…" : "Write a message";
}

function showProblem(text, code = "") {
  problemCode = code;
  page.problem.textContent = text && sentence(text);
  page.problem.hidden = !text;
}

function setInput(text) {
  page.input.value = text;
  fitInput();
  drawState();
}

function fitInput() {
  page.input.style.height = "auto";
  page.input.style.height = `${page.input.scrollHeight + 2}px`;
}

/** The drawer of a narrow window. */
function showSide(open) {
  if (isSideOpen() === open) return;
  page.menu.setAttribute("aria-expanded", String(open));
  page.side.classList.toggle("open", open);
  page.shade.hidden = !open;
  page.main.inert = open;
  (open ? page.close : page.menu).focus();
}

function isSideOpen() {
  return page.menu.getAttribute("aria-expanded") === "true";
}

function focusInput() {
  if (!isTouch) page.input.focus(); // on a phone it would bring up the keyboard
}

function idInAddress() {
  return location.pathname.startsWith("/c/") ? location.pathname.slice(3) : null;
}

setInput(readDraft(conversation.id));
focusInput();
