/** How long the machine kept this process waiting. Node's own monitor loses a stall during which it is reset. */

const EVERY_MS = 5;

/** Measures the time between two turns of the event loop, without gaps. */
export class Stalls {
  #last = performance.now();
  #longest = 0;
  #timer = setInterval(() => this.#measure(), EVERY_MS);

  /** Return the longest stall since the last call, in milliseconds. */
  take() {
    this.#measure();
    const longest = this.#longest;
    this.#longest = 0;
    return longest;
  }

  stop() {
    clearInterval(this.#timer);
  }

  #measure() {
    const now = performance.now();
    this.#longest = Math.max(this.#longest, now - this.#last - EVERY_MS);
    this.#last = now;
  }
}
