import { badAnswer, provenAnswer } from './answer.js';

/** A worker is given so long for any answer: what began with a few milliseconds left is late on a busy machine, and no sign of a hang. */
export const LEAST_PATIENCE_MS = 300; // above the 200 ms after which Python's own watchdog ends it

/** The requests on the wire of one worker. They are answered in their order, so an answer is either that of the first, or nobody's. */
export class Turns {
  #sent = [];

  get length() {
    return this.#sent.length;
  }

  /**
   * Milliseconds that the first answer may take before the worker is given up; what waited in the pipe has begun only now, with the budget
   * that it was told. Whoever asked is told by then that time is up.
   */
  get patienceMs() {
    const [{ job, budgetMs }] = this.#sent;
    return Math.max(job.left, budgetMs, LEAST_PATIENCE_MS);
  }

  /** Whether there is something to answer, and nobody who still waits for it. */
  get isForNobody() {
    return this.#sent.length > 0 && this.#sent.every(({ job }) => job.isSettled);
  }

  add(job, budgetMs) {
    this.#sent.push({ job, budgetMs });
  }

  /** Return all requests, the one being computed first, and forget them. */
  takeAll() {
    return this.#sent.splice(0).map(({ job }) => job);
  }

  /**
   * Settle the first request with an answer.
   *
   * @param {object} document
   * @param {() => string} stderrTail
   * @returns {'answered' | 'late' | 'stray'} Late: nobody waits for it any more. Stray: it is none of theirs.
   * @throws {PythonBridgeError} `bad_answer` or `crossed_answer`: the worker is not to be trusted; the request stays.
   */
  settle(document, stderrTail) {
    const first = this.#sent[0]?.job;
    const isRefusedUnread = document.ok === false && document.id === undefined;
    if (first === undefined || (document.id !== first.id && !isRefusedUnread)) return this.#stray(document.id);
    const { isSettled } = first;
    if (!isSettled) answer(first, document, stderrTail);
    this.#sent.shift();
    return isSettled ? 'late' : 'answered';
  }

  #stray(id) {
    if (this.#sent.some(({ job }) => job.id === id)) throw badAnswer('an answer out of turn');
    return 'stray';
  }
}

/**
 * Settle a request with what was answered. What is none of the contract throws; what Python tells is an answer, too. A defect's traceback
 * was written before the answer, but may be read just after it.
 */
function answer(job, document, stderrTail) {
  try {
    job.succeed(provenAnswer(document, job));
  } catch (failure) {
    if (!failure.error) throw failure;
    if (failure.reason === 'internal') setImmediate(() => job.fail(Object.assign(failure, { stderrTail: stderrTail() })));
    else job.fail(failure);
  }
}
