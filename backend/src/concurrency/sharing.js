/** What concurrent callers share: places of a `Semaphore`, and results of a `SingleFlight`. */
import { TooLate } from './time.js';

export const JOIN_MS = 250; // how old what a shared query has read may be: a list must not show what was sold out a second ago

/** Allows a number of holders at the same time. Others wait in order, and fail when their time is up. */
export class Semaphore {
  #free;
  #waiting = new Set();

  /** @param {number} places How many may hold it at the same time. */
  constructor(places) {
    this.#free = places;
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

  /** @returns {Promise<void>} */
  #waitForPlace(ms) {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(enter);
        reject(new TooLate(`There should be a place within ${ms} ms. Received: none.`));
      }, ms);
      const enter = () => {
        clearTimeout(timer);
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

/** Lets callers that need the same result at the same time share one computation. */
export class SingleFlight {
  #flights = new Map();

  get size() {
    return this.#flights.size;
  }

  /**
   * Return the result of the computation that is under way, or of a new one.
   *
   * @template T
   * @param {string | number} key Identifies the result.
   * @param {(isCurrent: () => boolean) => Promise<T>} compute `isCurrent`: whether callers still join it; false once it is forgotten.
   * @param {number} [joinMs] Until when others may join it after its beginning. What it has read may have changed since.
   * @returns {Promise<T>}
   */
  run(key, compute, joinMs = Infinity) {
    const underWay = this.#flights.get(key);
    if (underWay !== undefined && performance.now() < underWay.until) return underWay.flight;
    const isCurrent = () => this.#flights.get(key)?.flight === flight;
    const flight = Promise.resolve().then(() => compute(isCurrent));
    this.#flights.set(key, { flight, until: performance.now() + joinMs });
    const end = () => {
      if (isCurrent()) this.#flights.delete(key);
    };
    flight.then(end, end);
    return flight;
  }

  /** Have the next callers start new computations for all keys with a prefix: those under way are outdated. */
  forgetAll(prefix) {
    for (const key of this.#flights.keys()) if (key.startsWith(prefix)) this.#flights.delete(key);
  }
}
