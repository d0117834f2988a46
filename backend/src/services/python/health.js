/**
 * When to start, replace and spare Python processes.
 *
 * - `Backoff`: how long to wait before the next start.
 * - `Breaker`: stops all starts for a while after too many deaths.
 * - `LastingFailure`: stops all starts until a file changes.
 * - `Quarantine`: refuses requests during which two workers died.
 * - `Recycling`: replaces workers that have served long enough or use too much memory.
 */
import { readFileSync } from 'node:fs';

import { PythonBridgeError } from './failures.js';

/** @import { Worker } from './worker.js' */

const FIRST_WAIT_MS = 100; // after one death the next worker is ready within a second
const LONGEST_WAIT_MS = 30_000;
const HEALTHY_MS = 60_000; // without a death; the next death counts as the first one again

/** How long to wait before the next start: exponential backoff with full jitter, so that several pools spread out. */
export class Backoff {
  #now;
  #random;
  #attempt = 0;
  #lastDeath = -Infinity;

  /**
   * @param {() => number} now Milliseconds, monotonic.
   * @param {() => number} random From 0 to 1.
   */
  constructor(now, random) {
    this.#now = now;
    this.#random = random;
  }

  /** Return the milliseconds to wait after a death that happens now. */
  next() {
    if (this.#now() - this.#lastDeath >= HEALTHY_MS) this.#attempt = 0;
    this.#lastDeath = this.#now();
    return this.#random() * Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** this.#attempt++);
  }
}

const BREAKER_DEATHS = 5; // within the window; fewer may be accidents
const WINDOW_MS = 3 * 60_000;
const COOL_DOWN_MS = 30_000; // from opening until the next probe

/**
 * A circuit breaker. It only counts, on the clock that it gets.
 *
 * closed: every request passes. open: no request passes, and no process runs. half-open, after the cool-down: exactly
 * one request passes as a probe, and its outcome closes the breaker or opens it again.
 */
export class Breaker {
  #now;
  #limits;
  /** @type {number[]} */
  #deaths = [];
  /** @type {number | null} */
  #openedAt = null;

  /** Whether a probe is under way. */
  isProbing = false;

  /**
   * @param {() => number} now Milliseconds, monotonic.
   * @param {{deaths?: number, windowMs?: number, coolDownMs?: number}} [limits]
   */
  constructor(now, { deaths = BREAKER_DEATHS, windowMs = WINDOW_MS, coolDownMs = COOL_DOWN_MS } = {}) {
    this.#now = now;
    this.#limits = { deaths, windowMs, coolDownMs };
  }

  get state() {
    if (this.#openedAt === null) return 'closed';
    return this.isProbing || this.#now() - this.#openedAt >= this.#limits.coolDownMs ? 'half-open' : 'open';
  }

  /** The number of deaths within the window. */
  get recentDeaths() {
    this.#dropOldDeaths();
    return this.#deaths.length;
  }

  /**
   * Decide about one request.
   *
   * @returns {'pass' | 'probe' | 'refuse'} After `probe` the caller must call `succeed`, `die` or `release`.
   */
  admit() {
    if (this.state === 'closed') return 'pass';
    if (this.state === 'open' || this.isProbing) return 'refuse';
    this.isProbing = true;
    return 'probe';
  }

  /** Record that the probe was answered, which closes the breaker. */
  succeed() {
    this.#openedAt = null;
    this.isProbing = false;
    this.#deaths = [];
  }

  /** Record that the probe ended without a result. The next request may be a probe. */
  release() {
    this.isProbing = false;
  }

  /**
   * Record an unexpected death.
   *
   * @returns {boolean} Whether it has opened the breaker.
   */
  die() {
    const wasHalfOpen = this.state === 'half-open';
    this.#deaths.push(this.#now());
    if (!wasHalfOpen && (this.#openedAt !== null || this.recentDeaths < this.#limits.deaths)) return false;
    this.#openedAt = this.#now();
    this.isProbing = false;
    return true;
  }

  #dropOldDeaths() {
    const oldest = this.#now() - this.#limits.windowMs;
    this.#deaths = this.#deaths.filter((moment) => moment > oldest);
  }
}

const CHECK_FILES_MS = 250; // between two looks at a few files, and only while requests are refused

/** The lasting failure that stopped all starts, until a file changes on which a start depends. */
export class LastingFailure {
  #fingerprint;
  #now;
  /** @type {PythonBridgeError | null} */
  #failure = null;
  #recorded = ''; // the fingerprint at the failure
  #checkedAt = 0;

  /**
   * @param {() => string} fingerprint On what a start depends; see `launchFingerprint`.
   * @param {() => number} now Milliseconds, monotonic.
   */
  constructor(fingerprint, now) {
    this.#fingerprint = fingerprint;
    this.#now = now;
  }

  /** A new failure for one more request, or null. */
  get failure() {
    if (this.#failure === null) return null;
    const { reason, detail, exitCode, signal, stderrTail, error } = this.#failure;
    return new PythonBridgeError(reason, detail, { exitCode, signal, stderrTail, error });
  }

  /** @param {PythonBridgeError} failure */
  record(failure) {
    this.#failure = failure;
    this.#recorded = this.#fingerprint();
    this.#checkedAt = this.#now();
  }

  clear() {
    this.#failure = null;
  }

  /** Whether a file has changed since the failure. Files are checked every 250 ms at most; in between it is false. */
  isOutdated() {
    if (this.#failure === null || this.#now() - this.#checkedAt < CHECK_FILES_MS) return false;
    this.#checkedAt = this.#now();
    return this.#fingerprint() !== this.#recorded;
  }
}

const QUARANTINE_DEATHS = 2; // one may be an accident
const QUARANTINE_MS = 10 * 60_000; // from the last death
const MAX_SUSPECTS = 1000; // limits memory if every request ends a worker; the breaker opens long before

/** Remembers which requests were being computed when a worker died, and holds those with two deaths back. */
export class Quarantine {
  #now;
  #suspects = new Map(); // by digest, in the order of their last deaths

  /** @param {() => number} now Milliseconds, monotonic. */
  constructor(now) {
    this.#now = now;
  }

  /**
   * Record a death during a request.
   *
   * @param {string} digest
   * @returns {boolean} Whether the request is in quarantine from now on.
   */
  charge(digest) {
    const deaths = (this.#recent(digest)?.deaths ?? 0) + 1;
    this.#suspects.delete(digest); // a map keeps the position of a key that is set again
    this.#suspects.set(digest, { deaths, lastDeath: this.#now() });
    if (this.#suspects.size > MAX_SUSPECTS) this.#suspects.delete(this.#suspects.keys().next().value);
    return deaths >= QUARANTINE_DEATHS;
  }

  /** Whether a request is in quarantine. */
  holds(digest) {
    return (this.#recent(digest)?.deaths ?? 0) >= QUARANTINE_DEATHS;
  }

  get size() {
    return this.#suspects.size;
  }

  #recent(digest) {
    const suspect = this.#suspects.get(digest);
    if (suspect === undefined || this.#now() - suspect.lastDeath < QUARANTINE_MS) return suspect;
    this.#suspects.delete(digest);
    return undefined;
  }
}

const RECYCLE_REQUESTS = 10_000; // memory leaks are small
const RECYCLE_BYTES = 2 ** 30; // a worker with 100,000 items has 0.4 GB, and twice that while it changes versions
const JITTER_SHARE = 0.1; // so that workers that started together are not replaced together
const CHECK_MEMORY_EVERY = 64; // answers
const POSTPONED_ANSWERS = 1000; // until the next attempt, if a replacement could not start

/** Decides when to replace a worker. One is replaced at a time, and serves until its replacement is ready. */
export class Recycling {
  #limits;
  #random;
  #memoryOf;
  #retireAt = new WeakMap();
  /** @type {Worker | null} */
  #old = null;

  /**
   * @param {{requests?: number, bytes?: number}} limits
   * @param {{random: () => number, memoryOf: (pid: number) => number}} seams
   */
  constructor({ requests = RECYCLE_REQUESTS, bytes = RECYCLE_BYTES } = {}, { random, memoryOf }) {
    this.#limits = { requests, bytes };
    this.#random = random;
    this.#memoryOf = memoryOf;
  }

  /**
   * Add a new worker.
   *
   * @param {Worker} worker
   */
  add(worker) {
    this.#retireAt.set(worker, this.#limits.requests * (1 + JITTER_SHARE * (2 * this.#random() - 1)));
  }

  /**
   * Whether to start a replacement for this worker now.
   *
   * @param {Worker} worker
   */
  isDue(worker) {
    if (this.#old !== null || worker.state !== 'ready' || !this.#isOld(worker)) return false;
    this.#old = worker;
    return true;
  }

  /** Retire the old worker: a new one is ready. */
  finish() {
    this.#old?.retire();
    this.#old = null;
  }

  /** Keep the old worker for another thousand answers: a worker was lost. */
  postpone() {
    if (this.#old !== null) this.#retireAt.set(this.#old, this.#old.served + POSTPONED_ANSWERS);
    this.#old = null;
  }

  #isOld(worker) {
    if (worker.served >= this.#retireAt.get(worker)) return true;
    return worker.served % CHECK_MEMORY_EVERY === 0 && this.#memoryOf(worker.pid) > this.#limits.bytes;
  }
}

/** Return a process's resident memory in bytes; 0 on systems without /proc, so that no limit is reached there. */
export function residentBytes(pid) {
  try {
    return 1024 * Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0);
  } catch {
    return 0;
  }
}
