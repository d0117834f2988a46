import { systemClock } from './clock.js';
import { TooLate } from './withinMs.js';

/** Allows a number of holders at the same time. Others wait in order, and fail when their time is up. */
export class Semaphore {
  #free;
  #clock;
  #waiting = new Set();

  /** @param {number} places How many may hold it at the same time. */
  constructor(places, { clock = systemClock } = {}) {
    this.#free = places;
    this.#clock = clock;
  }

  /**
   * Take a place.
   *
   * @param {number} ms How long to wait. A holder that waits for a second place would otherwise wait for ever.
   * @returns {Promise<() => void>} Releases the place; a second call does nothing.
   * @throws {TooLate}
   */
  async acquire(ms) {
    if (this.#free > 0) this.#free -= 1;
    else await this.#waitForPlace(ms);
    let isHeld = true;
    return () => {
      if (isHeld) this.#passOn();
      isHeld = false;
    };
  }

  #waitForPlace(ms) {
    return new Promise((resolve, reject) => {
      const timer = this.#clock.setTimeout(() => {
        this.#waiting.delete(enter);
        reject(new TooLate(`There should be a place within ${ms} ms. Received: none.`));
      }, ms);
      const enter = () => {
        this.#clock.clearTimeout(timer);
        resolve();
      };
      this.#waiting.add(enter);
    });
  }

  /** Give a released place to the caller that has waited longest. */
  #passOn() {
    const [next] = this.#waiting;
    if (next === undefined) this.#free += 1;
    else this.#waiting.delete(next);
    next?.();
  }
}
