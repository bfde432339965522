// The page: wires the connection, the conversation and the views together. State lives in Conversation.
import { Conversation, isFinal } from "./conversation.js";
import { Link, newKey } from "./link.js";
import { MessageList } from "./messages.js";

const byId = (id) => document.getElementById(id);
const page = {
  chats: byId("chats"), form: byId("composer"), input: byId("input"), send: byId("send"), stop: byId("stop"),
  problem: byId("problem"), strip: byId("strip"), demo: byId("demo"), model: byId("model"), live: byId("live"),
  empty: byId("empty"), menu: byId("menu"), side: byId("side"), shade: byId("shade"), fresh: byId("new"),
};
const MAX_CHARS = Number(document.body.dataset.maxChars);
const isTouch = matchMedia("(pointer: coarse)").matches;

const link = new Link();
const conversation = new Conversation();
const list = new MessageList(byId("scroller"), byId("messages"), byId("latest"), retry);
let chats = [];
let model = { state: "loading", model: null, notice: "" };
let syncing = false;

// --- what the server says

link.on("connect", sync);
link.on("disconnect", drawStrip);
link.on("model", (now) => { model = now; drawStrip(); });
link.on("chat", (chat) => { chats = [chat, ...chats.filter(({ id }) => id !== chat.id)]; drawChats(); });
link.on("turn", (turn) => { if (turn.chat.id === conversation.id) showTurn(turn); });
link.on("event", (event) => {
  if (event.chat_id !== conversation.id) return;
  const heard = conversation.hear(event);
  if (heard === "gap") sync();
  if (heard === "done") showAnswer(conversation.find(event.answer_id), event);
});
for (const name of ["pageshow", "online"]) addEventListener(name, () => link.connected && sync());
document.addEventListener("visibilitychange", () => !document.hidden && link.connected && sync());

/** Fetch what this page has missed: the list of chats, and the open chat after the last known events. */
async function sync() {
  drawStrip();
  if (syncing) return;
  syncing = true;
  try {
    chats = (await link.call("chats")).chats;
    drawChats();
    const id = conversation.id ?? idInAddress();
    if (id) await load(id);
  } catch (failure) {
    showProblem(failure.message);
  } finally {
    syncing = false;
  }
}

async function load(id) {
  const after = id === conversation.id ? conversation.known() : {};
  try {
    const opened = await link.call("open", { chat_id: id, after });
    conversation.take(id, opened.messages);
  } catch (failure) {
    if (failure.code !== "unknown_chat") throw failure;
    startNew();
    throw failure;
  }
  list.showAll(conversation.messages);
  drawChats();
  drawState();
}

function showTurn(turn) {
  if (conversation.begin(turn)) list.showAll(conversation.messages);
  drawState();
}

function showAnswer(answer, event) {
  list.update(answer);
  if (event.type === "delta") return;
  drawState();
  if (event.type === "done") page.live.textContent = answer.content || answer.meta.error?.message || "Stopped.";
  if (event.status === "reading") page.live.textContent = "Answering…";
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
page.menu.addEventListener("click", () => showSide(page.menu.getAttribute("aria-expanded") !== "true"));
page.shade.addEventListener("click", () => showSide(false));
addEventListener("keydown", (event) => { if (event.key === "Escape") escape(); });
addEventListener("popstate", () => { const id = idInAddress(); id ? openChat(id, false) : startNew(); });

async function send() {
  const text = page.input.value;
  if (!text.trim()) return;
  if (text.length > MAX_CHARS) {
    showProblem(`This message has ${text.length.toLocaleString()} characters, ${MAX_CHARS.toLocaleString()} are allowed.`);
    return;
  }
  const from = conversation.id;
  showProblem("");
  setInput("");
  list.follow();
  const key = newKey();
  list.update({ id: key, role: "user", content: text }); // until the server has it
  page.empty.hidden = true;
  try {
    const turn = await link.callUntilAnswered("send", { chat_id: from, text, key });
    forgetDraft(from);
    if (conversation.id !== from) return;
    if (from === null) adopt(turn.chat.id);
    showTurn(turn);
    list.showAll(conversation.messages);
    if (from === null) sync(); // events may have come before this page knew the chat's id
  } catch (failure) {
    if (conversation.id === from) list.showAll(conversation.messages);
    if (conversation.id === from && !page.input.value) setInput(text);
    showProblem(failure.message);
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
    showProblem(failure.message);
    return undefined;
  }
}

function escape() {
  if (page.menu.getAttribute("aria-expanded") === "true") showSide(false);
  else if (!page.stop.hidden) stop();
}

async function openChat(id, remember = true) {
  if (remember) history.pushState(null, "", `/c/${id}`);
  showSide(false);
  showProblem("");
  list.clear();
  await attempt(load(id));
  setInput(readDraft(id));
  drawChats();
  page.input.focus();
}

function openNew() {
  history.pushState(null, "", "/");
  startNew();
  showSide(false);
  page.input.focus();
}

function startNew() {
  conversation.take(null, []);
  list.clear();
  setInput(readDraft(null));
  drawChats();
  drawState();
}

/** A new chat has got its id from the server. */
function adopt(id) {
  conversation.id = id;
  history.replaceState(null, "", `/c/${id}`);
  drawChats();
}

// --- drafts: what is typed survives a reload

const draftName = (id) => `draft:${id ?? "new"}`;
const readDraft = (id) => localStorage.getItem(draftName(id)) ?? "";
const forgetDraft = (id) => { if (!page.input.value) localStorage.removeItem(draftName(id)); };

function keepDraft() {
  localStorage.setItem(draftName(conversation.id), page.input.value);
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
  document.title = chats.find(({ id }) => id === conversation.id)?.title ?? "Paddock";
}

function drawState() {
  const answers = conversation.messages.filter((message) => message.role === "assistant");
  page.stop.hidden = answers.every(isFinal);
  page.send.disabled = !page.input.value.trim();
  page.empty.hidden = conversation.messages.length > 0;
}

function drawStrip() {
  const text = !link.connected
    ? "The chat server does not answer. Trying again; what you typed is kept."
    : { away: "The model is away: nobody answers at its address. Your chats are safe; it is looked for every 2 seconds.",
        loading: "The model is being loaded. A message sent now is answered as soon as it is there." }[model.state] ?? "";
  page.strip.textContent = text;
  page.strip.hidden = !text;
  page.model.textContent = [model.model?.name, model.model?.demo && "demonstration"].filter(Boolean).join(" · ");
  page.model.dataset.state = link.connected ? model.state : "away";
  page.demo.textContent = model.notice;
  page.demo.hidden = !model.notice;
}

function showProblem(text) {
  page.problem.textContent = text;
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

function showSide(open) {
  page.menu.setAttribute("aria-expanded", String(open));
  page.side.classList.toggle("open", open);
  page.shade.hidden = !open;
}

function idInAddress() {
  return location.pathname.startsWith("/c/") ? decodeURIComponent(location.pathname.slice(3)) : null;
}

setInput(readDraft(idInAddress()));
if (!isTouch) page.input.focus();
