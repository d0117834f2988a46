import { outOfTime } from './deadline.js';
import { nextId } from './request.js';

/** One request on its way through the pool. Whatever happens to workers meanwhile, it is settled once, and in time. */
export class Job {
  id = nextId();
  encoded;
  deadline;
  /** Whether it lost a worker before it was begun; that happens to a request once. */
  wasMoved = false;
  isSettled = false;
  /** @type {Promise<object>} */
  outcome;

  #clock;
  #timer;
  #resolve;
  #reject;

  /**
   * @param {EncodedRequest} encoded
   * @param {number} deadline On the clock.
   * @param {typeof systemClock} clock
   */
  constructor(encoded, deadline, clock) {
    this.encoded = encoded;
    this.deadline = deadline;
    this.#clock = clock;
    this.outcome = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.#timer = clock.setTimeout(() => this.fail(outOfTime()), deadline - clock.now());
  }

  get bytes() {
    return this.encoded.bytes;
  }

  /** Milliseconds to go. */
  get left() {
    return this.deadline - this.#clock.now();
  }

  succeed(answer) {
    this.#settle(this.#resolve, answer);
  }

  fail(error) {
    this.#settle(this.#reject, error);
  }

  #settle(how, what) {
    if (this.isSettled) return;
    this.isSettled = true;
    this.#clock.clearTimeout(this.#timer);
    how(what);
  }
}
