/** A guard for queries that a page can do without: each has a time limit, and a database that keeps failing is not queried. */
import { Breaker } from '../../concurrency/breaker.js';
import { TooLate, withinMs } from '../../concurrency/time.js';
import { isOfDatabase } from '../../config/databaseErrors.js';

const LIMITS = { failures: 5, windowMs: 10_000, waitMs: 500 }; // five failures open the breaker; then one attempt every half second

/** The database failed, or did not answer in time. */
export class DatabaseUnavailable extends Error {
  name = 'DatabaseUnavailable';
  reason = 'database_unavailable';
}

/** Runs queries with a time limit, behind a circuit breaker. */
export class DatabaseGuard {
  #breaker = new Breaker(LIMITS);

  /**
   * Run a query, or refuse while the breaker is open.
   *
   * @template T
   * @param {number} ms The time limit.
   * @param {() => Promise<T>} query
   * @returns {Promise<T>} What `query` resolves to.
   * @throws {DatabaseUnavailable}
   */
  async run(ms, query) {
    const admission = this.#breaker.admit();
    if (admission === 'refuse') {
      throw new DatabaseUnavailable('The database should be there. Received: several failures in a row.');
    }
    try {
      const result = await withinMs(ms, query());
      this.#breaker.succeed();
      return result;
    } catch (cause) {
      if (!isOfDatabase(cause) && !(cause instanceof TooLate)) {
        if (admission === 'probe') this.#breaker.release();
        throw cause;
      }
      this.#breaker.fail();
      throw new DatabaseUnavailable(`The database should answer. Received: ${cause.message}`, { cause });
    }
  }
}
