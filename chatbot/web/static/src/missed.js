// What a page has missed is fetched by one at a time, and once more when something came while it was on its way.

export class Missed {
  /** fetch: gets what was missed; failed: told why where it could not, unless it is asked for again. */
  constructor(link, fetch, failed) {
    Object.assign(this, { link, fetch, failed });
    this.isBusy = false;
    this.isOld = false; // what is on its way may be older than what is known here
  }

  /** What is being fetched may be older than what came now. */
  age() {
    this.isOld = true;
  }

  async get() {
    this.age();
    if (this.isBusy) return;
    this.isBusy = true;
    while (this.isOld && this.link.connected) {
      this.isOld = false;
      try {
        await this.fetch();
      } catch (failure) {
        if (failure.code === "no_answer") this.age();
        else this.failed(failure);
      }
    }
    this.isBusy = false;
  }
}
