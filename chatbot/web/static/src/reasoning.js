// The thoughts before an answer: folded, live and timed while the model thinks, never read aloud.
import { isFinal } from "./conversation.js";
import { hide, make, stored } from "./dom.js";
import { Renderer } from "./markdown.js";

const CHOICE = "reasoning"; // whether the person wants the thoughts open

export class Reasoning {
  constructor() {
    this.element = make("details", { class: "reasoning" });
    this.summary = make("summary");
    const holder = make("div", { class: "thoughts text" });
    this.element.append(this.summary, holder);
    this.element.hidden = true;
    this.element.open = stored((store) => store.getItem(CHOICE)) === "open";
    this.renderer = new Renderer(holder);
    this.since = 0; // when the thoughts began
    this.lasted = 0; // seconds, where this page saw them end
    this.wasOver = false; // the answer; it may go on
    this.timer = 0;
    this.message = null;
    this.drawn = "";
    this.wasWhole = false;
    this.element.addEventListener("toggle", () => this.draw(this.message));
    this.summary.addEventListener("click", () => {
      const isToOpen = !this.element.open; // it opens or closes after this event
      stored((store) => store.setItem(CHOICE, isToOpen ? "open" : "folded"));
    });
  }

  draw(message) {
    this.message = message;
    if (!message) return;
    hide(this.element, !message.reasoning);
    if (!message.reasoning) return;
    const isOver = isFinal(message);
    if (this.wasOver && !isOver) this.since = this.lasted = 0; // the pause is no time of thoughts
    this.wasOver = isOver;
    const isThinking = !message.content && !isOver;
    if (isThinking && !this.since) this.since = performance.now() - 1000 * (message.meta.thought_s ?? 0);
    if (!isThinking && this.since && !this.lasted) this.lasted = this.seconds();
    if (this.element.dataset.live !== String(isThinking)) this.element.dataset.live = String(isThinking);
    this.tell(isThinking);
    if (this.element.open) this.render(message.reasoning, !isThinking);
  }

  render(text, isWhole) {
    if (text === this.drawn && isWhole === this.wasWhole) return;
    this.renderer.show(text, isWhole);
    this.drawn = text;
    this.wasWhole = isWhole;
  }

  seconds() {
    return (performance.now() - this.since) / 1000;
  }

  tell(isThinking) {
    clearInterval(this.timer);
    this.timer = 0;
    if (isThinking) {
      this.timer = setInterval(() => (this.element.isConnected ? this.tell(true) : clearInterval(this.timer)), 1000);
    }
    const lasted = this.lasted || this.message.meta.thought_s;
    const over = lasted ? `Thought for ${Math.max(1, Math.round(lasted))} s` : "Thoughts";
    const words = isThinking ? `Thinking… ${Math.floor(this.seconds())} s` : over;
    if (this.summary.textContent !== words) this.summary.textContent = words;
  }
}
