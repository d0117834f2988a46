/** A pool of Python workers: `createPool` answers requests in milliseconds. */
import { Breaker } from '../../concurrency/breaker.js';
import { systemClock } from '../../concurrency/time.js';
import { PythonBridgeError } from './failures.js';
import { launchFingerprint, launchPlan } from './launch.js';
import { Job } from './job.js';
import { residentBytes } from './process.js';
import { LISTING } from './protocol.js';
import { Worker } from './worker.js';

/**
 * @import { spawn as Spawn } from 'node:child_process'
 * @import { Clock } from '../../concurrency/time.js'
 * @import { CallOptions, PoolOptions, PoolStats, WorkerStats } from '../pythonInvoker.js'
 * @import { LaunchPlan } from './launch.js'
 * @import { End } from './process.js'
 * @import { Document } from './protocol.js'
 */

/**
 * @typedef {object} Seams What tests replace.
 * @property {Clock} [clock]
 * @property {() => number} [random] From 0 to 1.
 * @property {(pid: number | null) => number} [memoryOf] Bytes.
 * @property {typeof Spawn} [spawn]
 * @property {typeof process.kill} [kill]
 * @property {() => Promise<LaunchPlan>} [plan]
 * @property {() => string} [fingerprint]
 */

const DEFAULT_SIZE = 2;
const DEFAULT_DEPTH = 2; // the next request is in the pipe while Node reads the last answer
const QUEUE = { jobs: 64, bytes: 8 * 2 ** 20 }; // at 5 ms each, two workers answer them before a user gives up
const DEFAULT_TIMEOUT_MS = 800; // a page that has a second can still use its fallback
const DEATHS = 5; // within the window, until all starts stop; fewer may be accidents
const WINDOW_MS = 3 * 60_000;
const COOL_DOWN_MS = 30_000; // until the next request may start a worker as a probe
const RESTART = { waitMs: 100, longestMs: 30_000 }; // after one death the next worker is ready within a second
const QUARANTINE = { failures: 2, windowMs: 10 * 60_000, waitMs: 10 * 60_000 }; // one death may be an accident
const CHECK_FILES_MS = 250; // between two looks at a few files, and only while requests are refused
const RECYCLE = { requests: 10_000, bytes: 2 ** 30 }; // leaks are small; a worker with 100,000 items has 0.4 GB, twice that while it changes versions
const JITTER_SHARE = 0.1; // so that workers that started together are not replaced together
const CHECK_MEMORY_EVERY = 64; // answers
const POSTPONED_ANSWERS = 1000; // until the next attempt to replace a worker, if a replacement could not start
const WARM_UP = { requests: 4, bytes: 16 * 2 ** 10 }; // recent requests that a new worker answers before it is ready; larger ones are left out
const MAX_SUSPECTS = 1000; // limits memory if every request ends a worker; the breaker opens long before

/**
 * How long requests may wait while no worker is ready: the time of a start. After that the caller should use its
 * fallback at once.
 */
const STARTUP_GRACE_MS = 1500;

/** @type {Set<string | null>} */
const STOP_SIGNALS = new Set(['SIGTERM', 'SIGINT', 'SIGHUP']); // an operator stopped the worker; that is no death

const failures = {
  closed: () => new PythonBridgeError('closed', 'The pool should be open. Received: a request during or after its closing.'),
  breakerOpen: () => new PythonBridgeError('breaker_open', 'Python should stay alive. Received: too many deaths; no process is started during the cool-down.'),
  probeUnderWay: () => new PythonBridgeError('breaker_open', 'Another request is testing whether Python has recovered.'),
  notReady: () => new PythonBridgeError('not_ready', 'A worker should be ready. Received: none so far.'),
  quarantined: () => new PythonBridgeError('quarantined', 'A request should not end workers. Received: one that was being computed at two deaths.'),
};

/**
 * Start a pool of workers.
 *
 * @param {PoolOptions & Seams} [options]
 * @returns {Pool}
 */
export function createPool(options) {
  return new Pool(options);
}

/**
 * Admits or refuses requests, hands them to workers, and settles each exactly once.
 *
 * It keeps `size` workers ready, unless the breaker is open or a lasting failure makes starts useless.
 */
class Pool {
  #options;
  #seams;
  /** @type {Clock} */
  #clock;
  /** @type {Job[]} */
  #queue = []; // requests that wait for a worker, first come, first served
  /** @type {Breaker} */
  #breaker;
  /** @type {Breaker} */
  #restarts; // spreads the starts of several pools by its jitter
  /** @type {Map<string, Breaker>} */
  #suspects = new Map(); // by the digest of the request that was being computed at a death, the latest last
  /** @type {Worker | null} */
  #retiring = null; // serves until its replacement is ready; one at a time
  /** @type {{failure: PythonBridgeError, fingerprint: string, checkedAt: number} | null} */
  #refusal = null; // the lasting failure that stopped all starts, until a file changes on which a start depends
  /** @type {Set<Worker>} */
  #workers = new Set();
  #counts = { spawned: 0, deaths: 0, recycled: 0, banner: 0, stray: 0, late: 0, answered: 0, failed: {} };
  /** @type {object[]} */
  #recentRequests = []; // the newest ones that were answered, for the warm-up of new workers
  #readyWaiters = [];
  #refusedVersion = ''; // the version, and the code of its failure, of the latest event `version_refused`
  #nStarting = 0;
  /** @type {NodeJS.Timeout | null} */
  #restartTimer = null;
  #graceUntil = 0;
  #isClosed = false;
  /** @type {Promise<void> | null} */
  #closing = null;

  /** @param {PoolOptions & Seams} [options] */
  constructor(options = {}) {
    const { clock = systemClock, random = Math.random, memoryOf = residentBytes, spawn, kill, ...others } = options;
    const { size = DEFAULT_SIZE, depth = DEFAULT_DEPTH, queue, breaker = {}, recycle, onEvent = () => {}, ...launch } = others;
    const { plan = () => launchPlan(launch, ['--worker']), fingerprint = () => launchFingerprint(launch) } = launch;
    const { deaths = DEATHS, windowMs = WINDOW_MS, coolDownMs = COOL_DOWN_MS } = breaker;
    this.#options = { size, plan, fingerprint, onEvent, random, memoryOf, queue: { ...QUEUE, ...queue }, recycle: { ...RECYCLE, ...recycle } };
    this.#seams = { depth, clock, spawn, kill };
    this.#clock = clock;
    this.#breaker = new Breaker({ failures: deaths, windowMs, waitMs: coolDownMs, clock });
    this.#restarts = new Breaker({ ...RESTART, jitter: random, clock });
    this.#start();
  }

  /**
   * Have a worker answer a request.
   *
   * @param {object} request A request of docs/PROTOCOL.md.
   * @param {CallOptions} [options]
   * @returns {Promise<Document>} A validated answer.
   * @throws {PythonBridgeError}
   */
  async runPythonInference(request, { timeoutMs = DEFAULT_TIMEOUT_MS } = {}) {
    try {
      if (this.#isClosed) throw failures.closed();
      const job = new Job(request, timeoutMs, this.#clock);
      this.#admit(job);
      this.#dispatch();
      const answer = await job.outcome;
      this.#counts.answered += 1;
      this.#keepForWarmUp(request, job);
      return answer;
    } catch (failure) {
      const { failed } = this.#counts;
      if (failure instanceof PythonBridgeError) failed[failure.reason] = (failed[failure.reason] ?? 0) + 1;
      throw failure;
    }
  }

  #keepForWarmUp(request, { encoded: { op, bytes } }) {
    if (!LISTING.has(op) || bytes > WARM_UP.bytes) return;
    this.#recentRequests = [...this.#recentRequests, request].slice(-WARM_UP.requests);
  }

  /** Resolve once a worker is ready. Reject as soon as no worker will be. */
  async ready() {
    if (this.#isClosed) throw failures.closed();
    if (this.#count('ready') > 0) return;
    if (this.#refusal !== null) throw this.#refusal.failure;
    await new Promise((resolve, reject) => this.#readyWaiters.push({ resolve, reject }));
  }

  /**
   * Return counts and states for operators.
   *
   * @returns {PoolStats}
   */
  stats() {
    const facts = ({ pid, state, version, refused, served, inFlight }) => ({ pid, state, version, refused, served, inFlight });
    return {
      ...this.#counts,
      failed: { ...this.#counts.failed },
      workers: [...this.#workers].map(facts),
      ...this.#waiting(),
      breaker: this.#breaker.state,
      recentDeaths: this.#breaker.recentFailures,
      refused: this.#refusal?.failure.reason ?? null,
      suspects: this.#suspects.size,
    };
  }

  /** Start workers again after a lasting failure whose repair changes no watched file. */
  reset() {
    if (!this.#isClosed) this.#start();
  }

  /** Refuse new and waiting requests, let workers answer theirs, and stop them. */
  close() {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close() {
    this.#isClosed = true;
    this.#failWaiting(failures.closed());
    this.#clock.clearTimeout(this.#restartTimer);
    const stopping = [...this.#workers];
    for (const worker of stopping) worker.stop();
    await Promise.all(stopping.map((worker) => worker.gone));
  }

  // Requests

  /** Add a request to the queue. It fails if it cannot be answered in time, or must not be computed. */
  #admit(job) {
    try {
      const mayBeSuspect = this.#suspects.size > 0; // otherwise no digest is computed
      const suspect = mayBeSuspect ? this.#suspects.get(job.encoded.digest) : undefined;
      if (suspect?.isOpen) throw failures.quarantined();
      if (suspect?.recentFailures === 0) this.#suspects.delete(job.encoded.digest);
      this.#checkAvailable();
      this.#checkRoom(job.encoded.bytes);
      const admission = this.#breaker.admit();
      if (admission === 'refuse') throw failures.probeUnderWay();
      this.#queue.push(job);
      if (admission === 'probe') this.#probe(job);
    } catch (failure) {
      job.fail(failure);
    }
  }

  /** Check that a worker is ready or will be soon. */
  #checkAvailable() {
    if (this.#mayBeRepaired()) this.#start();
    if (this.#count('ready') > 0) return;
    if (this.#refusal !== null) throw this.#refusal.failure;
    if (this.#breaker.isOpen) throw failures.breakerOpen();
    if (this.#breaker.state === 'closed' && this.#clock.now() > this.#graceUntil) throw failures.notReady();
  }

  /** Whether a file has changed since the lasting failure. Files are checked every 250 ms at most; in between it is false. */
  #mayBeRepaired() {
    if (this.#refusal === null || this.#clock.now() - this.#refusal.checkedAt < CHECK_FILES_MS) return false;
    this.#refusal.checkedAt = this.#clock.now();
    return this.#options.fingerprint() !== this.#refusal.fingerprint;
  }

  /**
   * Check that there is room in the queue, whose requests and bytes are bounded.
   *
   * @throws {PythonBridgeError} `overloaded`
   */
  #checkRoom(bytes) {
    const { queued, queuedBytes } = this.#waiting();
    const { jobs: mostJobs, bytes: mostBytes } = this.#options.queue;
    if (queued < mostJobs && queuedBytes + bytes <= mostBytes) return;
    throw new PythonBridgeError('overloaded', `${queued} requests (${queuedBytes} bytes) are waiting already.`);
  }

  /** Remove the requests whose callers wait no more, and return the number and the bytes of the others. */
  #waiting() {
    this.#queue = this.#queue.filter((job) => !job.isSettled);
    return { queued: this.#queue.length, queuedBytes: this.#queue.reduce((sum, { encoded }) => sum + encoded.bytes, 0) };
  }

  /** Start one worker for the probe, and close or release the breaker by its outcome. */
  #probe(job) {
    const succeed = () => {
      this.#breaker.succeed();
      this.#emit('breaker_closed');
      this.#start();
    };
    // A failure that Python reports shows that Python works.
    job.outcome.then(succeed, (failure) => (failure.error === null ? this.#breaker.release() : succeed()));
    this.#start();
  }

  /** Give waiting requests to the least busy workers with room. */
  #dispatch() {
    this.#waiting();
    for (;;) {
      const [worker] = [...this.#workers].filter(({ hasRoom }) => hasRoom).sort((one, other) => one.inFlight - other.inFlight);
      const job = worker === undefined ? undefined : this.#queue.shift();
      if (job === undefined) return;
      worker.send(job);
    }
  }

  /** Fail all requests and `ready()` calls that wait for a worker. */
  #failWaiting(failure) {
    for (const job of this.#queue.splice(0)) job.fail(failure);
    for (const { reject } of this.#readyWaiters.splice(0)) reject(failure);
  }

  /**
   * Fail the first request of a lost worker, which was being computed. The others move to other workers, once.
   *
   * @param {PythonBridgeError} failure
   * @param {Job[]} jobs
   * @param {boolean} isDeath
   */
  #reassign(failure, [first, ...others], isDeath) {
    first?.fail(failure);
    if (isDeath && first !== undefined && first.encoded.op !== 'ping') this.#recordDeathDuring(first.encoded.digest);
    const movable = others.filter((job) => !job.wasMoved && !this.#isClosed);
    for (const job of others) if (!movable.includes(job)) job.fail(failure);
    for (const job of movable) job.wasMoved = true;
    this.#queue.unshift(...movable);
    this.#dispatch();
  }

  /** Put a request into quarantine at its second death, and after that at each. */
  #recordDeathDuring(digest) {
    const suspect = this.#suspects.get(digest) ?? new Breaker({ ...QUARANTINE, clock: this.#clock });
    this.#suspects.delete(digest); // a map keeps the position of a key that is set again
    this.#suspects.set(digest, suspect);
    for (const oldest of this.#suspects.keys()) if (this.#suspects.size > MAX_SUSPECTS) this.#suspects.delete(oldest);
    if (suspect.fail()) this.#emit('quarantined', { digest });
  }

  // Workers

  /** Start the missing workers, even after a lasting failure. */
  #start() {
    this.#refusal = null;
    this.#restartGrace();
    this.#startMissing();
  }

  #startMissing() {
    if (this.#isClosed || this.#refusal !== null || this.#restartTimer !== null) return;
    const sizes = { closed: this.#options.size, 'half-open': this.#breaker.isProbing ? 1 : 0, open: 0 };
    const missing = sizes[this.#breaker.state] - this.#nStarting - this.#count('booting', 'ready');
    for (let started = 0; started < missing; started += 1) this.#startWorker();
  }

  async #startWorker() {
    this.#nStarting += 1;
    /** @type {LaunchPlan | PythonBridgeError} */
    const plan = await this.#options.plan().catch((failure) => failure);
    this.#nStarting -= 1;
    if (this.#isClosed) return;
    if (plan instanceof Error) this.#onLost(plan, []);
    else this.#addWorker(plan);
  }

  /** @param {LaunchPlan} plan */
  #addWorker(plan) {
    const handlers = {
      onReady: (worker) => this.#onReady(worker),
      onAnswer: (worker) => this.#onAnswer(worker),
      onDown: (failure, jobs) => this.#onLost(failure, jobs),
      onGone: (worker, end) => this.#onGone(worker, end),
      onDropped: (kind) => this.#onDropped(kind),
    };
    const worker = new Worker(plan, handlers, { ...this.#seams, recentRequests: () => this.#recentRequests });
    this.#workers.add(worker);
    this.#counts.spawned += 1;
    this.#emit('spawned', { pid: worker.pid });
  }

  /** @param {Worker} worker */
  #onReady(worker) {
    for (const { resolve } of this.#readyWaiters.splice(0)) resolve();
    this.#emit('ready', { pid: worker.pid, version: worker.version });
    this.#retiring?.retire();
    this.#retiring = null;
    this.#dispatch();
  }

  /** @param {Worker} worker */
  #onAnswer(worker) {
    this.#dispatch();
    this.#tellRefusal(worker);
    if (this.#isClosed || this.#breaker.state !== 'closed' || !this.#isRecyclingDue(worker)) return;
    this.#retiring = worker;
    this.#counts.recycled += 1;
    this.#emit('recycled', { pid: worker.pid, served: worker.served });
    this.#startWorker();
  }

  /** Emit an event if a worker goes on with the version before, once for all workers. */
  #tellRefusal({ refused, version: serving }) {
    if (refused === null) return;
    const { version, code, message: detail } = refused;
    const refusal = `${version} ${code}`;
    if (refusal !== this.#refusedVersion) this.#emit('version_refused', { version, code, detail, serving });
    this.#refusedVersion = refusal;
  }

  #isRecyclingDue(worker) {
    const { random, memoryOf, recycle } = this.#options;
    worker.retireAt ??= recycle.requests * (1 + JITTER_SHARE * (2 * random() - 1));
    if (this.#retiring !== null || worker.state !== 'ready') return false;
    const isTooLarge = worker.served % CHECK_MEMORY_EVERY === 0 && memoryOf(worker.pid) > recycle.bytes;
    return isTooLarge || worker.served >= worker.retireAt;
  }

  #onDropped(kind) {
    this.#counts[kind] += 1;
    this.#emit(kind);
  }

  /**
   * A worker failed, or could not start.
   *
   * @param {PythonBridgeError} failure
   * @param {Job[]} jobs Its requests.
   */
  #onLost(failure, jobs) {
    const isDeath = !this.#isClosed && !failure.isLasting && !STOP_SIGNALS.has(failure.signal);
    this.#emit('down', { failure });
    this.#reassign(failure, jobs, isDeath);
    if (this.#isClosed) return;
    if (this.#retiring !== null) this.#retiring.retireAt = this.#retiring.served + POSTPONED_ANSWERS; // its replacement may be the lost one
    this.#retiring = null;
    if (this.#count('ready') === 0) this.#restartGrace();
    if (isDeath) this.#counts.deaths += 1;
    if (isDeath) this.#recentRequests = []; // one of them may have been the reason
    if (failure.isLasting) this.#stopStarting(failure);
    else if (isDeath && this.#breaker.fail()) this.#stopAll();
    else this.#startMissingLater();
  }

  #stopStarting(failure) {
    if (this.#refusal === null) this.#emit('refused', { failure }); // once, for all workers
    this.#refusal = { failure, fingerprint: this.#options.fingerprint(), checkedAt: this.#clock.now() };
    if (this.#count('ready') === 0) this.#failWaiting(failure);
  }

  /** Stop all workers once they have answered their requests: the breaker has opened. */
  #stopAll() {
    this.#emit('breaker_open');
    for (const worker of this.#workers) worker.retire();
    this.#failWaiting(failures.breakerOpen());
  }

  #startMissingLater() {
    if (this.#restartTimer !== null) return;
    this.#restarts.fail();
    this.#restartTimer = this.#clock.setTimeout(() => {
      this.#restartTimer = null;
      this.#startMissing();
    }, this.#restarts.waitMs);
  }

  /**
   * @param {Worker} worker
   * @param {End} end
   */
  #onGone(worker, { exitCode, signal, stderr }) {
    this.#workers.delete(worker);
    this.#emit('gone', { exitCode, signal, stderrTail: stderr.tail() });
    this.#startMissing();
  }

  #restartGrace() {
    this.#graceUntil = this.#clock.now() + STARTUP_GRACE_MS;
  }

  /** @param {WorkerStats['state'][]} states */
  #count(...states) {
    return [...this.#workers].filter((worker) => states.includes(worker.state)).length;
  }

  #emit(type, facts = {}) {
    try {
      this.#options.onEvent({ type, ...facts });
    } catch {
      // a defect of the listener must not affect requests
    }
  }
}
