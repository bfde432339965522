// The door: logging in, and joining with a code. The form says which of the two it is.
import { post } from "./post.js";
import { isNow, wayBack } from "./whose.js";
import { isTouch, sentence } from "./words.js";

const form = document.getElementById("door");
const problem = document.getElementById("problem");
const submit = form.querySelector("[type=submit]");
const show = document.getElementById("show");
const { password } = form.elements;
const words = submit.textContent;
let isBusy = false;

form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (!isBusy) enter();
});
show.addEventListener("click", () => showPassword(password.type === "password"));
if (!isTouch) [...form.elements].find((field) => field.matches("input") && !field.value)?.focus();

function showPassword(is) {
  password.type = is ? "text" : "password";
  show.setAttribute("aria-pressed", String(is));
}

async function enter() {
  const body = Object.fromEntries(new FormData(form));
  problem.hidden = true;
  problem.textContent = "";
  showPassword(false); // so that the browser knows it for a password, and offers to keep it
  setBusy(true);
  try {
    const { user } = await post(form.dataset.path, body);
    if (user) isNow(user.id);
    location.replace(wayBack());
  } catch (failure) {
    problem.textContent = sentence(failure.message);
    problem.hidden = false;
    if (failure.waitS) wait(Math.ceil(failure.waitS));
    else setBusy(false);
    ((failure.code === "wrong_password" && form.elements.code) || password).focus();
  }
}

function setBusy(is) {
  isBusy = is;
  submit.setAttribute("aria-disabled", String(is));
}

/** The server takes nothing before the time is over: count it down on the button. */
function wait(seconds) {
  submit.textContent = seconds > 0 ? `${words} (${seconds} s)` : words;
  setBusy(seconds > 0);
  if (seconds > 0) setTimeout(() => wait(seconds - 1), 1000);
}
