// When to draw: at most once a frame, and so seldom that drawing takes no more than a part of the time. An answer that
// arrives quickly on a small machine is drawn thirty times a second, and keys and scrolling stay quick.
const SHARE = 3; // one part in so many is for drawing
const QUICK_PER_S = 200; // pieces: nobody reads along any more,
const QUICK_SHARE = 15; // so it may be drawn more seldom
const LONGEST_MS = 75;
const HALF_A_FRAME_MS = 8; // a frame that is asked for comes so much later

export class Frames {
  constructor(draw) {
    this.draw = draw;
    this.frame = 0;
    this.timer = 0;
    this.due = 0; // not before this time
    this.began = 0;
    this.framed = 0; // when the frame began that paints what was drawn
    this.spent = 0; // on drawing, before it
    this.nAsked = 0; // since it was drawn
    this.isQuick = false;
    this.isOpen = false; // drawn, and not painted yet: what it costs is not known
    this.isWanted = false; // again, once that is known
    const { port1, port2 } = new MessageChannel(); // its message comes after layout and painting of the frame
    port1.onmessage = () => this.rest();
    this.port = port2;
  }

  /** Draw soon. isUrgent: at the next frame, however much was drawn before. */
  ask(isUrgent = false) {
    this.nAsked += 1;
    if (this.frame || (this.timer && !isUrgent)) return;
    if (isUrgent) this.atFrame();
    else if (this.isOpen) this.isWanted = true;
    else this.inTime();
  }

  inTime() {
    const wait = this.due - performance.now();
    if (wait <= 0) this.atFrame();
    else this.timer = setTimeout(() => this.afterWait(), wait);
  }

  /** Of a quick answer the drawing comes before its frame, which then has the scrolling in it: else that takes a second one. */
  afterWait() {
    this.timer = 0;
    if (!this.isQuick) return this.atFrame();
    this.run();
    requestAnimationFrame(() => this.paints());
    return undefined;
  }

  atFrame() {
    clearTimeout(this.timer);
    this.timer = 0;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.run();
      this.paints();
    });
  }

  run() {
    const now = performance.now();
    this.isQuick = (this.nAsked * 1000) / (now - this.began) > QUICK_PER_S;
    this.nAsked = 0;
    this.began = now;
    this.isOpen = true;
    this.isWanted = false;
    this.draw();
    this.spent = performance.now() - now;
  }

  paints() {
    this.framed = performance.now();
    this.port.postMessage(0);
  }

  rest() {
    const took = this.spent + performance.now() - this.framed;
    this.due = this.began + Math.min((this.isQuick ? QUICK_SHARE : SHARE) * took, LONGEST_MS) - (this.isQuick ? 0 : HALF_A_FRAME_MS);
    this.isOpen = false;
    if (this.isWanted) this.inTime();
    this.isWanted = false;
  }
}
