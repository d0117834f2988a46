/** How long the machine kept this process waiting. Node's own monitor forgets the stall that it is reset in. */

const EVERY_MS = 5;

/** Measures the time between two turns of the event loop, without a gap. */
export class Stalls {
  #last = performance.now();
  #most = 0;
  #timer = setInterval(() => this.#note(), EVERY_MS);

  /** Return the longest one since this was asked last, in milliseconds. */
  take() {
    this.#note();
    const most = this.#most;
    this.#most = 0;
    return most;
  }

  stop() {
    clearInterval(this.#timer);
  }

  #note() {
    const now = performance.now();
    this.#most = Math.max(this.#most, now - this.#last - EVERY_MS);
    this.#last = now;
  }
}
