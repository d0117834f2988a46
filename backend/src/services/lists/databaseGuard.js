import { TooLate, withinMs } from '../../concurrency/withinMs.js';
import { isOfDatabase } from '../databaseErrors.js';
import { Breaker } from '../python/health.js';
import { systemClock } from '../../concurrency/clock.js';
import { DatabaseAway } from './fallbackReasons.js';

const LIMITS = { deaths: 5, windowMs: 10_000, coolDownMs: 500 }; // in a row; then one look every half second

/** Asks the database for what a page can do without: each time only for so long, and not at all while it is known to be away. */
export class DatabaseGuard {
  #clock;
  #breaker;

  constructor({ clock = systemClock } = {}) {
    this.#clock = clock;
    this.#breaker = new Breaker(clock.now, LIMITS);
  }

  get isAway() {
    return this.#breaker.state === 'open';
  }

  /**
   * Return what `work` resolves to.
   *
   * @template T
   * @param {number} ms How long it may take.
   * @param {() => Promise<T>} work
   * @returns {Promise<T>}
   * @throws {DatabaseAway}
   */
  async run(ms, work) {
    if (this.#breaker.admit() === 'refuse') throw new DatabaseAway('The database should be there. Received: several failures in a row.');
    try {
      const result = await withinMs(ms, work(), this.#clock);
      this.#breaker.succeed();
      return result;
    } catch (cause) {
      if (!isOfDatabase(cause) && !(cause instanceof TooLate)) {
        this.#breaker.release();
        throw cause;
      }
      this.#breaker.die();
      throw new DatabaseAway(`The database should answer. Received: ${cause.message}`, { cause });
    }
  }
}
