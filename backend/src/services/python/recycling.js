const REQUESTS = 10_000; // what leaks, leaks in small steps
const BYTES = 2 ** 30; // a worker with 100,000 items holds 0.4 GB, twice that while it swaps versions
const JITTER = 0.1; // so that workers that started together are not replaced together
const CHECK_EVERY = 64; // answers between two looks at the memory
const POSTPONED = 1000; // answers until the next attempt, where a replacement could not start

/** Decides when a worker is old. One is replaced at a time, and goes on until its replacement is ready. */
export class Recycling {
  #limits;
  #random;
  #memoryOf;
  #retireAt = new WeakMap();
  #old = null;

  /**
   * @param {{requests?: number, bytes?: number}} limits
   * @param {{random: () => number, memoryOf: (pid: number) => number}} seams
   */
  constructor({ requests = REQUESTS, bytes = BYTES } = {}, { random, memoryOf }) {
    this.#limits = { requests, bytes };
    this.#random = random;
    this.#memoryOf = memoryOf;
  }

  /** Remember a new worker. */
  add(worker) {
    this.#retireAt.set(worker, this.#limits.requests * (1 + JITTER * (2 * this.#random() - 1)));
  }

  /** Whether to start a replacement for this worker now. */
  isDue(worker) {
    if (this.#old !== null || worker.state !== 'ready' || !this.#isOld(worker)) return false;
    this.#old = worker;
    return true;
  }

  /** A worker has become ready: the old one may leave. */
  finish() {
    this.#old?.retire();
    this.#old = null;
  }

  /** A worker was lost meanwhile: the old one stays for a while. */
  postpone() {
    if (this.#old !== null) this.#retireAt.set(this.#old, this.#old.served + POSTPONED);
    this.#old = null;
  }

  #isOld(worker) {
    if (worker.served >= this.#retireAt.get(worker)) return true;
    return worker.served % CHECK_EVERY === 0 && this.#memoryOf(worker.pid) > this.#limits.bytes;
  }
}
