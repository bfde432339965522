// When to draw: at most once a frame, and so seldom that drawing takes no more than a part of the time. An answer that
// arrives quickly on a small machine is drawn thirty times a second, and keys and scrolling stay quick.
const SHARE = 5; // one part in so many is for drawing
const QUICK_PER_S = 200; // pieces: nobody reads along any more,
const QUICK_SHARE = 15; // so it may be drawn more seldom
const LONGEST_MS = 50;
const HALF_A_FRAME_MS = 8; // a frame that is asked for comes so much later

export class Frames {
  constructor(draw) {
    this.draw = draw;
    this.frame = 0;
    this.timer = 0;
    this.due = 0; // not before this time
    this.began = 0;
    this.nAsked = 0; // since it was drawn
    this.share = SHARE;
    const { port1, port2 } = new MessageChannel(); // its message comes after layout and painting of the frame
    port1.onmessage = () => this.rest();
    this.port = port2;
  }

  /** Draw soon. isUrgent: at the next frame, however much was drawn before. */
  ask(isUrgent = false) {
    this.nAsked += 1;
    if (this.frame || (this.timer && !isUrgent)) return;
    const wait = isUrgent ? 0 : this.due - performance.now();
    clearTimeout(this.timer);
    this.timer = 0;
    if (wait > 0) this.timer = setTimeout(() => { this.timer = 0; this.ask(true); }, wait);
    else this.frame = requestAnimationFrame(() => this.run());
  }

  /** Whether something waits to be drawn. */
  get isAsked() {
    return Boolean(this.frame || this.timer);
  }

  run() {
    this.frame = 0;
    const now = performance.now();
    this.share = (this.nAsked * 1000) / (now - this.began) > QUICK_PER_S ? QUICK_SHARE : SHARE;
    this.nAsked = 0;
    this.began = now;
    this.draw();
    this.port.postMessage(0);
  }

  rest() {
    const took = performance.now() - this.began;
    this.due = this.began + Math.min(this.share * took, LONGEST_MS) - HALF_A_FRAME_MS;
  }
}
