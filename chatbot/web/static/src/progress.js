// What is told of an answer aloud, and while it has not begun: its words, and how often they are spoken.
import { isFinal, isProgress } from "./conversation.js";
import { lookingIn, stepWords } from "./grounded.js";

const SPEAK_EVERY_MS = 1000;
const STEP_PERCENT = 10;
const BEGUN = "Answering…";

/** The words for a progress, or nothing where there is none. */
export function words(progress) {
  if (progress?.type === "queued") return `Waiting, ${progress.n_before.toLocaleString()} before you`;
  if (progress?.type === "reading") return `Reading your message ${progress.percent} %`;
  return "";
}

/** Speaks through a live region: progress at most once a second and once a step, everything else at once. */
export class Speaker {
  constructor(region) {
    this.region = region;
    this.step = "";
    this.at = -Infinity;
    this.timer = 0;
  }

  say(text) {
    this.forget();
    this.region.textContent = text;
  }

  /** An answer is on its way: said once, and not in place of how far it is, which may be about to be said. */
  sayBegun() {
    if (!this.step && this.region.textContent !== BEGUN) this.region.textContent = BEGUN;
  }

  sayProgress(progress) {
    const step = progress.type === "reading" ? `read ${Math.floor(progress.percent / STEP_PERCENT)}` : words(progress);
    if (step === this.step) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.step = step;
      this.at = performance.now();
      this.region.textContent = words(progress);
    }, this.at + SPEAK_EVERY_MS - performance.now());
  }

  /** How an answer stands that began unheard. */
  sayState(answer) {
    if (answer && isFinal(answer)) this.sayEnd(answer);
    else this.sayBegun();
  }

  sayEnd(answer) {
    this.say(answer.content || answer.meta.error?.message || "Stopped.");
  }

  /** What an event has done to an answer. */
  sayEvent(answer, event) {
    if (isProgress(event)) this.sayProgress(event);
    if (event.type === "looked") this.say(stepWords(event));
    if (event.type === "grounds" && lookingIn(answer)) this.say(`${lookingIn(answer)}…`);
    if (event.type === "done") this.sayEnd(answer);
    if (event.status === "reading") this.sayBegun();
    if (event.status === "streaming") this.endProgress();
  }

  /** The answer has begun: what is left of the progress is not spoken any more. */
  endProgress() {
    const wasSpoken = this.step !== "";
    this.forget();
    if (wasSpoken) this.region.textContent = BEGUN;
  }

  forget() {
    clearTimeout(this.timer);
    this.step = "";
  }
}
