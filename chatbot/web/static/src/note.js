// What a command has to say: a note above the composer, which is no part of the conversation.
import { Renderer } from "./markdown.js";
import { isTouch } from "./words.js";

export class Note {
  /** speak: says it to a screen reader. */
  constructor(element, body, close, speak) {
    Object.assign(this, { element, body, speak });
    close.addEventListener("click", () => {
      this.hide();
      if (!isTouch) document.getElementById("input").focus();
    });
  }

  say(text) {
    this.body.replaceChildren();
    new Renderer(this.body).show(text, true);
    this.element.hidden = false;
    this.speak(text);
  }

  hide() {
    this.element.hidden = true;
  }

  get isOpen() {
    return !this.element.hidden;
  }
}
