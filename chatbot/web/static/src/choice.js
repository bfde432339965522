// A set of options as the server has taken it, and the changes that are still on their way there: seen at once, and each
// one that is refused is taken back alone.

/** The change that gives one option a value, or the default again (undefined). */
export function choosing(name, value) {
  return ({ [name]: _, ...rest }) => (value === undefined ? rest : { ...rest, [name]: value });
}

/** Whether two sets of options are the same. */
export function same(a, b) {
  const sorted = (options) => JSON.stringify(Object.entries(options).sort(([one], [two]) => (one < two ? -1 : 1)));
  return sorted(a) === sorted(b);
}

export class Choice {
  /** send: has the server take all options, and gives back what it keeps; throws Failure. */
  constructor(send) {
    this.send = send;
    this.accepted = {};
    this.waiting = [];
    this.sent = Promise.resolve(); // the last change on its way; the next one follows it
  }

  /** The options with all that is still on its way. */
  get now() {
    return this.waiting.reduce((options, change) => change(options), this.accepted);
  }

  /** The server says how they are. */
  accept(options) {
    this.accepted = options;
  }

  /** Make a change, a function of the options; done when the server has taken it. Throws Failure. */
  make(change) {
    this.waiting.push(change);
    const done = this.sent.then(() => this.deliver(change));
    this.sent = done.catch(() => {});
    return done;
  }

  async deliver(change) {
    try {
      this.accepted = await this.send(change(this.accepted));
    } finally {
      this.waiting.splice(this.waiting.indexOf(change), 1);
    }
  }
}
