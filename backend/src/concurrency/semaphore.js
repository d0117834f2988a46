import { systemClock } from './clock.js';
import { TooLate } from './withinMs.js';

/** Room for so many at a time; the others wait outside, in the order in which they came, and go away when their time is up. */
export class Semaphore {
  #free;
  #clock;
  #waiting = new Set();

  constructor(places, { clock = systemClock } = {}) {
    this.#free = places;
    this.#clock = clock;
  }

  /**
   * Take a place.
   *
   * @param {number} ms How long to wait for one: somebody who waits for himself would do so for ever.
   * @returns {Promise<() => void>} Gives it back; a second time does nothing.
   * @throws {TooLate}
   */
  async acquire(ms) {
    if (this.#free > 0) this.#free -= 1;
    else await this.#turn(ms);
    let isHeld = true;
    return () => {
      if (isHeld) this.#pass();
      isHeld = false;
    };
  }

  #turn(ms) {
    return new Promise((resolve, reject) => {
      const timer = this.#clock.setTimeout(() => {
        this.#waiting.delete(come);
        reject(new TooLate(`There should be a place within ${ms} ms. Received: none.`));
      }, ms);
      const come = () => {
        this.#clock.clearTimeout(timer);
        resolve();
      };
      this.#waiting.add(come);
    });
  }

  /** Give a place to the one who has waited longest. */
  #pass() {
    const [next] = this.#waiting;
    if (next === undefined) this.#free += 1;
    else this.#waiting.delete(next);
    next?.();
  }
}
