// The administrator's page: wires the connection and its parts together.
import { bytes, rounded } from "./amounts.js";
import { make } from "./dom.js";
import { House } from "./house.js";
import { Link } from "./link.js";
import { Menu } from "./menu.js";
import { Now } from "./now.js";
import { People } from "./people.js";
import { redraw } from "./redraw.js";
import { Toast } from "./toast.js";
import { loginPath } from "./whose.js";
import { sentence } from "./words.js";

const LOOK_EVERY_MS = 10000; // at who came in meanwhile
const SHOWN_CHARS = 500; // of a message to all
const bodyOf = (id) => document.querySelector(`#${id} .body`);
const strip = document.getElementById("strip");
const link = new Link();
const toast = new Toast();
const menu = new Menu();
let me = null;

const call = async (name, body, said) => {
  try {
    return await call.raw(name, body, said);
  } catch (failure) {
    toast.say(sentence(failure.message));
    return undefined;
  }
};
/** The same, but throws Failure. */
call.raw = async (name, body, said = "") => {
  const told = await link.call(name, body);
  if (said) toast.say(said);
  await look();
  return told;
};

document.body.append(menu.element, toast.element);
const people = new People(bodyOf("users"), { call, menu, me: () => me });
const house = new House(bodyOf("house"), { call, hello: () => link.call("hello") });
const now = new Now(() => link.call("live"), bodyOf("now"), bodyOf("models"));
drawMessage(bodyOf("everybody"));

link.on("connect", begin);
link.on("disconnect", () => tell("The chat server does not answer. Trying again."));
link.on("connect_error", () => tell(link.refusal ? sentence(link.refusal) : "The chat server does not answer. Trying again."));
link.onLoggedOut = () => location.assign(loginPath());
document.addEventListener("visibilitychange", () => look());
setInterval(look, LOOK_EVERY_MS);

async function begin() {
  tell("");
  try {
    const hello = await link.callUntilAnswered("hello");
    me = hello.user?.id ?? null;
    house.learn({ ...hello, shelves: await sharedShelves() });
  } catch (failure) {
    tell(sentence(failure.message));
  }
  await look();
  await now.look();
}

/** The shelves that everybody may read; none where the library cannot be asked. */
async function sharedShelves() {
  const { shelves } = await link.call("library").catch(() => ({ shelves: [] }));
  return shelves.filter((shelf) => shelf.is_shared);
}

/** Fetch how things are, and draw what has changed. */
async function look() {
  if (document.hidden || !link.connected) return;
  try {
    const told = await link.call("admin");
    tell("");
    if (menu.button) return; // nothing is drawn anew under an open menu
    people.draw(told);
    house.show(told);
    drawStorage(bodyOf("storage"), told.storage);
  } catch (failure) {
    tell(sentence(failure.message));
  }
}

function tell(text) {
  strip.textContent = text;
  strip.hidden = !text;
}

function drawStorage(place, { database_bytes: size, free_bytes: free, library_bytes: library = 0, n_chats: nChats, n_messages: nMessages, n_files: nFiles }) {
  const lines = [
    ["The database takes", bytes(size)], ["The library takes", bytes(library)], ["Left on its disk", bytes(free)],
    ["Chats", rounded(nChats)], ["Messages", rounded(nMessages)], ["Files", rounded(nFiles)],
  ];
  redraw(place, lines, () => [make("dl", { class: "facts-list" }, ...lines.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]))]);
}

/** The field for a message to all pages that are open, and to those that are opened within the hour. */
function drawMessage(place) {
  const area = make("textarea", { id: "said", rows: "2", maxlength: String(SHOWN_CHARS), required: true, "aria-describedby": "said-help" });
  const form = make("form", { class: "said" },
    make("label", { for: "said" }, "Message"), area,
    make("p", { class: "facts", id: "said-help" }, "It stands on every open page, and for an hour on those that are opened later."),
    make("button", { type: "submit" }, "Show it"));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const text = area.value.trim();
    if (text && await call("alert", { text }, "Everybody sees it now.")) area.value = "";
  });
  place.replaceChildren(form);
}
