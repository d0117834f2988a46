/** A request on its way to a worker. */
import { PythonBridgeError } from './failures.js';
import { budgetFor, EncodedRequest, nextId, validateResponse } from './protocol.js';

/**
 * @import { Clock } from '../../concurrency/time.js'
 * @import { Document } from './protocol.js'
 */

const MAX_TIMEOUT_MS = 600_000; // the longest `budget_ms`; timers would overflow at 25 days

/** One request on its way. It is settled exactly once and in time, whatever processes do. */
export class Job {
  id = nextId();
  /** What Python was told at the last attempt, in milliseconds. */
  budgetMs = 0;
  /** Whether it has moved to another worker; a request moves once. */
  wasMoved = false;
  isSettled = false;
  /** @type {Promise<Document>} */
  outcome;
  /** Called at the deadline. */
  onDeadline = () => this.fail(deadlinePassed());

  /** @type {Clock} */
  #clock;
  #deadline;
  /** @type {NodeJS.Timeout} */
  #timer;
  #resolve;
  #reject;

  /**
   * @param {object} request A request of docs/PROTOCOL.md.
   * @param {number} timeoutMs Milliseconds from now until it fails; 10 minutes at most.
   * @param {Clock} clock
   * @throws {TypeError} If `timeoutMs` is no number.
   * @throws {PythonBridgeError} `deadline`, if `timeoutMs` is 0 or less; `invalid_request` or `too_large`.
   */
  constructor(request, timeoutMs, clock) {
    if (typeof timeoutMs !== 'number' || Number.isNaN(timeoutMs)) {
      throw new TypeError(`\`timeoutMs\` should be a number of milliseconds. Received: ${typeof timeoutMs}.`);
    }
    if (timeoutMs <= 0) throw deadlinePassed();
    const allowedMs = Math.min(timeoutMs, MAX_TIMEOUT_MS);
    this.#clock = clock;
    this.#deadline = clock.now() + allowedMs;
    this.encoded = new EncodedRequest(request);
    this.outcome = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.#timer = clock.setTimeout(() => this.onDeadline(), allowedMs);
  }

  /** Milliseconds until the deadline. */
  get leftMs() {
    return this.#deadline - this.#clock.now();
  }

  /** Return the bytes of its line, with the budget that is left now. */
  line() {
    this.budgetMs = budgetFor(this.leftMs);
    return this.encoded.line(this.id, this.budgetMs);
  }

  /**
   * Settle it with an answer. A failure that Python reports settles it, too.
   *
   * A traceback was written to stderr before the answer, but Node may read it just after the answer.
   *
   * @param {Document} document
   * @param {() => string} stderrTail
   * @throws {PythonBridgeError} `bad_answer` or `crossed_answer`; the request is not settled.
   */
  answer(document, stderrTail) {
    try {
      this.succeed(validateResponse(document, this));
    } catch (failure) {
      if (!failure.error) throw failure;
      if (failure.reason !== 'internal') this.fail(failure);
      else setImmediate(() => this.fail(Object.assign(failure, { stderrTail: stderrTail() })));
    }
  }

  succeed(answer) {
    this.#finish(this.#resolve, answer);
  }

  fail(error) {
    this.#finish(this.#reject, error);
  }

  #finish(callback, value) {
    this.isSettled = true;
    this.#clock.clearTimeout(this.#timer);
    callback(value); // a promise ignores the second call
  }
}

/** Return the failure of a request whose deadline has passed. */
export function deadlinePassed() {
  return new PythonBridgeError('deadline', 'Python should answer in time. Received: no answer.');
}
