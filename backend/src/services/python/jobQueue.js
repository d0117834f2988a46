import { PythonBridgeError } from './failures.js';

const MOST_JOBS = 64; // at 5 ms each, what two workers get done before the first visitor loses patience
const MOST_BYTES = 8 * 2 ** 20;

/** Jobs that wait for a worker, first come first served, bounded in number and in bytes. */
export class JobQueue {
  #limits;
  #jobs = [];
  #bytes = 0;

  /** @param {{jobs?: number, bytes?: number}} [limits] */
  constructor({ jobs = MOST_JOBS, bytes = MOST_BYTES } = {}) {
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
   * Make sure that there is room for a request.
   *
   * @param {number} bytes
   * @throws {PythonBridgeError} `overloaded`
   */
  checkRoom(bytes) {
    if (this.length < this.#limits.jobs && this.#bytes + bytes <= this.#limits.bytes) return;
    throw new PythonBridgeError('overloaded', `${this.#jobs.length} requests (${this.#bytes} bytes) are waiting already.`);
  }

  add(job) {
    this.#jobs.push(job);
    this.#bytes += job.bytes;
  }

  /** Put jobs back that had been taken before; they go first, in their order. */
  putBack(jobs) {
    this.#jobs.unshift(...jobs);
    for (const job of jobs) this.#bytes += job.bytes;
  }

  /** Return the next job that somebody still waits for, or undefined. */
  next() {
    this.#dropSettled();
    const job = this.#jobs.shift();
    this.#bytes -= job?.bytes ?? 0;
    return job;
  }

  /** Fail every job, each with a failure of its own. */
  failAll(failure) {
    for (const job of this.#jobs.splice(0)) job.fail(failure());
    this.#bytes = 0;
  }

  #dropSettled() {
    this.#jobs = this.#jobs.filter((job) => !job.isSettled);
    this.#bytes = this.#jobs.reduce((sum, job) => sum + job.bytes, 0);
  }
}
