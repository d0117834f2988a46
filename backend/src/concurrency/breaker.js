/** Leaving something that keeps failing alone for a while: one circuit breaker for Python, databases and everything else. */
import { systemClock } from './time.js';

/**
 * A circuit breaker, which only counts and looks at a clock.
 *
 * closed: everything passes. open: nothing passes until the wait is over. half-open, after that: one attempt passes as
 * a probe, and its outcome closes the breaker or opens it again. Callers that need no probe ask `isOpen` instead of
 * `admit`: for them everything passes when the wait is over.
 *
 * The libraries that were tried (cockatiel 3.2) open after failures in a row or by a rate, not after a number within a
 * time. They also read the system's clock, which may be set back, and let callers wait for the probe.
 */
export class Breaker {
  /** Whether a probe is under way. */
  isProbing = false;
  /** Milliseconds from the last opening to the next attempt. */
  waitMs;

  #limits;
  #clock;
  /** @type {number[]} */
  #failures = [];
  /** @type {number | null} */
  #openedAt = null;
  #nOpenings = 0; // in a row

  /**
   * @param {object} options
   * @param {number} [options.failures] How many within the window open the breaker; 1 by default.
   * @param {number} [options.windowMs] Older failures are forgotten, those that doubled the wait as well; one minute by
   *   default.
   * @param {number} options.waitMs From opening until the next attempt.
   * @param {number} [options.longestMs] The wait doubles up to this with each opening in a row; `waitMs` by default.
   * @param {() => number} [options.jitter] A factor from 0 to 1 of each wait; 1 by default.
   * @param {{now: () => number}} [options.clock] In milliseconds.
   */
  constructor({ failures = 1, windowMs = 60_000, waitMs, longestMs = waitMs, jitter = () => 1, clock = systemClock }) {
    this.#limits = { failures, windowMs, waitMs, longestMs, jitter };
    this.#clock = clock;
    this.waitMs = waitMs;
  }

  /** @returns {'closed' | 'open' | 'half-open'} */
  get state() {
    if (this.#openedAt === null) return 'closed';
    return this.isProbing || this.#clock.now() - this.#openedAt >= this.waitMs ? 'half-open' : 'open';
  }

  get isOpen() {
    return this.state === 'open';
  }

  /** The number of failures within the window. */
  get recentFailures() {
    const oldest = this.#clock.now() - this.#limits.windowMs;
    this.#failures = this.#failures.filter((moment) => moment > oldest);
    return this.#failures.length;
  }

  /**
   * Decide about one attempt.
   *
   * @returns {'pass' | 'probe' | 'refuse'} After `probe` the caller must call `succeed`, `fail` or `release`.
   */
  admit() {
    if (this.state === 'closed') return 'pass';
    if (this.isOpen || this.isProbing) return 'refuse';
    this.isProbing = true;
    return 'probe';
  }

  /** Record a success, which closes the breaker and forgets all failures. */
  succeed() {
    this.#openedAt = null;
    this.isProbing = false;
    this.#failures = [];
    this.waitMs = this.#limits.waitMs;
  }

  /** Record that the probe ended without a result. The next attempt may be a probe. */
  release() {
    this.isProbing = false;
  }

  /**
   * Record a failure.
   *
   * @returns {boolean} Whether it has opened the breaker.
   */
  fail() {
    if (this.recentFailures === 0) this.#nOpenings = 0;
    this.#failures.push(this.#clock.now());
    const { failures, waitMs, longestMs, jitter } = this.#limits;
    if (this.isOpen || (this.state === 'closed' && this.recentFailures < failures)) return false;
    this.waitMs = jitter() * Math.min(longestMs, waitMs * 2 ** this.#nOpenings);
    this.#nOpenings += 1;
    this.#openedAt = this.#clock.now();
    this.isProbing = false;
    return true;
  }
}
