/** Compares passwords with bcrypt hashes, outside of the main thread. */
import { compare } from '@node-rs/bcrypt';

import { TooLate } from '../concurrency/time.js';

const MOST_WAITING = 100; // five seconds of work

/** Compares one password after the other: files and names of hosts need the same few threads. */
export class Passwords {
  #nWaiting = 0;
  /** @type {Promise<unknown>} */
  #last = Promise.resolve();

  /**
   * Return whether a password matches a hash. Only the first 72 bytes of a password count.
   *
   * @param {string} password
   * @param {string} hash
   * @returns {Promise<boolean>} False as well if bcrypt cannot compare them.
   * @throws {TooLate} Too many comparisons wait already.
   */
  async compare(password, hash) {
    if (this.#nWaiting >= MOST_WAITING) throw new TooLate('There should be fewer logins at once. Received: more than can wait.');
    this.#nWaiting += 1;
    const outcome = this.#last.then(() => compare(password, hash)).catch(() => false);
    this.#last = outcome;
    return outcome.finally(() => (this.#nWaiting -= 1));
  }
}
