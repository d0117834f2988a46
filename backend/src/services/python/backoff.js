const FIRST_MS = 100; // a worker that died once is back within a second
const LONGEST_MS = 30_000;
const HEALTHY_MS = 60_000; // this long without a death, and the next one is a first one again

/** How long to wait before the next start: exponential with full jitter, so that a fleet does not start in step. */
export class Backoff {
  #now;
  #random;
  #attempt = 0;
  #lastDeath = -Infinity;

  /**
   * @param {() => number} now Milliseconds, monotonic.
   * @param {() => number} random From 0 to 1.
   */
  constructor(now, random) {
    this.#now = now;
    this.#random = random;
  }

  /** Return the milliseconds to wait after a death that happens now. */
  next() {
    if (this.#now() - this.#lastDeath >= HEALTHY_MS) this.#attempt = 0;
    this.#lastDeath = this.#now();
    return this.#random() * Math.min(LONGEST_MS, FIRST_MS * 2 ** this.#attempt++);
  }
}
