/**
 * Requests on their way: `Job` is one of them, `JobQueue` holds those that wait for a worker, and `InFlightRequests`
 * those that a worker has. `deadlineIn` and `beforeDeadline` bound the time.
 */
import { PythonBridgeError } from './failures.js';
import { badAnswer, nextId, validateResponse } from './protocol.js';

/**
 * @import { Clock } from '../../concurrency/time.js'
 * @import { Document, EncodedRequest } from './protocol.js'
 */

const MAX_TIMEOUT_MS = 600_000; // the longest `budget_ms`; timers would overflow at 25 days
const MAX_JOBS = 64; // at 5 ms each, two workers answer them before a user gives up
const MAX_BYTES = 8 * 2 ** 20;

/**
 * The least time a worker has for an answer. A request that began with a few milliseconds left is late on a busy
 * machine, which is no sign of a hang. Python's own watchdog ends the worker 200 ms after a deadline.
 */
const MIN_ANSWER_MS = 300;

/** One request on its way through the pool. It is settled exactly once and in time, whatever workers do. */
export class Job {
  id = nextId();
  /** @type {EncodedRequest} */
  encoded;
  /** @type {number} */
  deadline;
  /** Whether it has moved to another worker; a request moves once. */
  wasMoved = false;
  isSettled = false;
  /** @type {Promise<Document>} */
  outcome;

  /** @type {Clock} */
  #clock;
  /** @type {NodeJS.Timeout} */
  #timer;
  #resolve;
  #reject;

  /**
   * @param {EncodedRequest} encoded
   * @param {number} deadline Milliseconds on the clock.
   * @param {Clock} clock
   */
  constructor(encoded, deadline, clock) {
    this.encoded = encoded;
    this.deadline = deadline;
    this.#clock = clock;
    this.outcome = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.#timer = clock.setTimeout(() => this.fail(deadlinePassed()), deadline - clock.now());
  }

  get bytes() {
    return this.encoded.bytes;
  }

  /** Milliseconds until the deadline. */
  get leftMs() {
    return this.deadline - this.#clock.now();
  }

  succeed(answer) {
    this.#finish(this.#resolve, answer);
  }

  fail(error) {
    this.#finish(this.#reject, error);
  }

  #finish(callback, value) {
    if (this.isSettled) return;
    this.isSettled = true;
    this.#clock.clearTimeout(this.#timer);
    callback(value);
  }
}

/** Jobs that wait for a worker, first come, first served. Their number and their bytes are bounded. */
export class JobQueue {
  #limits;
  /** @type {Job[]} */
  #jobs = [];
  #bytes = 0;

  /** @param {{jobs?: number, bytes?: number}} [limits] */
  constructor({ jobs = MAX_JOBS, bytes = MAX_BYTES } = {}) {
    this.#limits = { jobs, bytes };
  }

  get length() {
    this.#dropSettled();
    return this.#jobs.length;
  }

  get bytes() {
    this.#dropSettled();
    return this.#bytes;
  }

  /**
   * Check that there is room for a request.
   *
   * @param {number} bytes
   * @throws {PythonBridgeError} `overloaded`
   */
  checkRoom(bytes) {
    if (this.length < this.#limits.jobs && this.#bytes + bytes <= this.#limits.bytes) return;
    const detail = `${this.#jobs.length} requests (${this.#bytes} bytes) are waiting already.`;
    throw new PythonBridgeError('overloaded', detail);
  }

  add(job) {
    this.#jobs.push(job);
    this.#bytes += job.bytes;
  }

  /** Return jobs to the front of the queue, in their order. */
  putBack(jobs) {
    this.#jobs.unshift(...jobs);
    for (const job of jobs) this.#bytes += job.bytes;
  }

  /** Remove and return the first job whose caller still waits, or undefined. */
  next() {
    this.#dropSettled();
    const job = this.#jobs.shift();
    this.#bytes -= job?.bytes ?? 0;
    return job;
  }

  /**
   * Fail every job.
   *
   * @param {() => PythonBridgeError} newFailure Makes one failure per job.
   */
  failAll(newFailure) {
    for (const job of this.#jobs.splice(0)) job.fail(newFailure());
    this.#bytes = 0;
  }

  #dropSettled() {
    this.#jobs = this.#jobs.filter((job) => !job.isSettled);
    this.#bytes = this.#jobs.reduce((sum, job) => sum + job.bytes, 0);
  }
}

/** The requests that one worker has and has not answered. Answers come in the same order as requests. */
export class InFlightRequests {
  /** @type {{job: Job, budgetMs: number}[]} */
  #sent = [];

  get length() {
    return this.#sent.length;
  }

  /**
   * Milliseconds that the first answer may take before the worker counts as hanging.
   *
   * A request that waited in the pipe begins only now, with its whole budget. Its caller gets `deadline` before that.
   */
  get answerTimeoutMs() {
    const [{ job, budgetMs }] = this.#sent;
    return Math.max(job.leftMs, budgetMs, MIN_ANSWER_MS);
  }

  /** Whether there are requests, and no caller waits for any of them. */
  get isAbandoned() {
    return this.#sent.length > 0 && this.#sent.every(({ job }) => job.isSettled);
  }

  add(job, budgetMs) {
    this.#sent.push({ job, budgetMs });
  }

  /** Return all requests, the one being computed first, and remove them. */
  takeAll() {
    return this.#sent.splice(0).map(({ job }) => job);
  }

  /**
   * Give an answer to the first request.
   *
   * @param {Document} document
   * @param {() => string} stderrTail
   * @returns {'answered' | 'late' | 'stray'} Late: no caller waits for it any more. Stray: it belongs to no request.
   * @throws {PythonBridgeError} `bad_answer` or `crossed_answer`: the worker must not be used. The request stays.
   */
  answerFirst(document, stderrTail) {
    const first = this.#sent[0]?.job;
    const isRefusedUnread = document.ok === false && document.id === undefined;
    if (first === undefined || (document.id !== first.id && !isRefusedUnread)) return this.#stray(document.id);
    const { isSettled } = first;
    if (!isSettled) settleJob(first, document, stderrTail);
    this.#sent.shift();
    return isSettled ? 'late' : 'answered';
  }

  /** @returns {'stray'} */
  #stray(id) {
    if (this.#sent.some(({ job }) => job.id === id)) throw badAnswer('an answer out of turn');
    return 'stray';
  }
}

/**
 * Settle a request with a document. A failure that Python reports settles it, too.
 *
 * A traceback was written to stderr before the answer, but Node may read it just after the answer.
 *
 * @throws {PythonBridgeError} `bad_answer` or `crossed_answer`; the request is not settled.
 */
function settleJob(job, document, stderrTail) {
  try {
    job.succeed(validateResponse(document, job));
  } catch (failure) {
    if (!failure.error) throw failure;
    if (failure.reason === 'internal') {
      setImmediate(() => job.fail(Object.assign(failure, { stderrTail: stderrTail() })));
    } else job.fail(failure);
  }
}

/**
 * Return the deadline of a request that arrives now.
 *
 * @param {number} timeoutMs Milliseconds from now; 10 minutes at most.
 * @param {{now: () => number}} clock
 * @returns {number} Milliseconds on the clock.
 * @throws {TypeError} If `timeoutMs` is no number.
 * @throws {PythonBridgeError} `deadline`, if `timeoutMs` is 0 or less.
 */
export function deadlineIn(timeoutMs, clock) {
  if (typeof timeoutMs !== 'number' || Number.isNaN(timeoutMs)) {
    throw new TypeError(`\`timeoutMs\` should be a number of milliseconds. Received: ${typeof timeoutMs}.`);
  }
  if (timeoutMs <= 0) throw deadlinePassed();
  return clock.now() + Math.min(timeoutMs, MAX_TIMEOUT_MS);
}

/**
 * Return what a promise resolves to, if it does so before the deadline.
 *
 * @throws {PythonBridgeError} `deadline`
 */
export async function beforeDeadline(promise, deadline, clock) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = clock.setTimeout(() => reject(deadlinePassed()), deadline - clock.now());
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clock.clearTimeout(timer);
  }
}

/** Return the failure of a request whose deadline has passed. */
export function deadlinePassed() {
  return new PythonBridgeError('deadline', 'Python should answer in time. Received: no answer.');
}
