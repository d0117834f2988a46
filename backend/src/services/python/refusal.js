import { PythonBridgeError } from './failures.js';

const LOOK_EVERY_MS = 250; // a handful of files, and only while requests are turned away

/** The lasting failure that ended all starting, until a file that a start depends on changes. */
export class Refusal {
  #fingerprint;
  #now;
  #failure = null;
  #then = '';
  #lookedAt = 0;

  /**
   * @param {() => string} fingerprint What a start depends on; see watch.js.
   * @param {() => number} now Milliseconds, monotonic.
   */
  constructor(fingerprint, now) {
    this.#fingerprint = fingerprint;
    this.#now = now;
  }

  /** Return the failure for one more request, or null. */
  get failure() {
    if (this.#failure === null) return null;
    const { reason, detail, exitCode, signal, stderrTail, error } = this.#failure;
    return new PythonBridgeError(reason, detail, { exitCode, signal, stderrTail, error });
  }

  remember(failure) {
    this.#failure = failure;
    this.#then = this.#fingerprint();
    this.#lookedAt = this.#now();
  }

  forget() {
    this.#failure = null;
  }

  /** Whether something has changed that starting depends on; it looks now and then. */
  isOutdated() {
    if (this.#failure === null || this.#now() - this.#lookedAt < LOOK_EVERY_MS) return false;
    this.#lookedAt = this.#now();
    return this.#fingerprint() !== this.#then;
  }
}
