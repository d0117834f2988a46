/** The workers of a pool: `Supervisor` starts them and replaces dead and old ones. */
import { PythonBridgeError } from './failures.js';
import { Backoff, LastingFailure, Recycling } from './health.js';
import { Worker } from './worker.js';

/**
 * @import { spawn as Spawn } from 'node:child_process'
 * @import { Clock } from '../../concurrency/time.js'
 * @import { WorkerStats } from '../pythonInvoker.js'
 * @import { Breaker } from './health.js'
 * @import { LaunchPlan } from './launch.js'
 * @import { End } from './process.js'
 * @import { Job } from './queue.js'
 */

/**
 * How long requests may wait while no worker is ready: the time of a start. After that the caller should use its
 * fallback at once.
 */
const STARTUP_GRACE_MS = 1500;

/** @type {Set<string | null>} */
const STOP_SIGNALS = new Set(['SIGTERM', 'SIGINT', 'SIGHUP']); // an operator stopped the worker; that is no death

/** Keeps `size` workers ready, unless the breaker is open or a lasting failure makes starts useless. */
export class Supervisor {
  counts = { spawned: 0, deaths: 0, recycled: 0, banner: 0, stray: 0, late: 0 };

  /** @type {Set<Worker>} */
  #workers = new Set();
  #options;
  #handlers;
  #seams;
  /** @type {Breaker} */
  #breaker;
  /** @type {Backoff} */
  #backoff;
  /** @type {Recycling} */
  #recycling;
  /** @type {LastingFailure} */
  #lastingFailure;
  #nStarting = 0;
  /** @type {NodeJS.Timeout | null} */
  #restartTimer = null;
  #graceUntil = 0;
  #isClosed = false;

  /**
   * @param {object} options
   * @param {number} options.size How many workers to keep.
   * @param {number} options.depth How many requests each may have.
   * @param {() => Promise<LaunchPlan>} options.plan How to start one; see `launchPlan`.
   * @param {() => string} options.fingerprint On what a start depends; see `launchFingerprint`.
   * @param {Breaker} options.breaker
   * @param {{requests?: number, bytes?: number}} [options.recycle] When a worker is old.
   * @param {object} handlers
   * @param {() => void} handlers.onRoom Called when a worker has room.
   * @param {(failure: PythonBridgeError, jobs: Job[], isDeath: boolean) => void} handlers.onWorkerLost
   *   Called with the requests of a lost worker.
   * @param {(newFailure: () => PythonBridgeError) => void} handlers.onUnavailable
   *   Called when no worker is ready and none will be started.
   * @param {(type: string, facts?: object) => void} handlers.onEvent
   * @param {object} seams
   * @param {Clock} seams.clock
   * @param {() => number} seams.random From 0 to 1.
   * @param {(pid: number) => number} seams.memoryOf Bytes.
   * @param {typeof Spawn} [seams.spawn]
   * @param {typeof process.kill} [seams.kill]
   */
  constructor(options, handlers, seams) {
    this.#options = options;
    this.#handlers = handlers;
    this.#seams = seams;
    this.#breaker = options.breaker;
    this.#backoff = new Backoff(seams.clock.now, seams.random);
    this.#recycling = new Recycling(options.recycle, seams);
    this.#lastingFailure = new LastingFailure(options.fingerprint, seams.clock.now);
  }

  /** The lasting failure that stopped all starts, or null. */
  get lastingFailure() {
    return this.#lastingFailure.failure;
  }

  /** @returns {WorkerStats[]} */
  get workers() {
    const facts = ({ pid, state, version, served, inFlight }) => ({ pid, state, version, served, inFlight });
    return [...this.#workers].map(facts);
  }

  /** Return the least busy worker with room, or undefined. */
  freeWorker() {
    const free = [...this.#workers].filter((worker) => worker.hasRoom);
    return free.sort((one, other) => one.inFlight - other.inFlight)[0];
  }

  /**
   * Check that a worker is ready or will be soon.
   *
   * @throws {PythonBridgeError} The lasting failure, `breaker_open` or `not_ready`.
   */
  assertAvailable() {
    if (this.#lastingFailure.isOutdated()) this.start();
    if (this.#count('ready') > 0) return;
    if (this.lastingFailure !== null) throw this.lastingFailure;
    if (this.#breaker.state === 'open') throw breakerOpen();
    if (this.#breaker.state === 'closed' && this.#seams.clock.now() > this.#graceUntil) {
      throw new PythonBridgeError('not_ready', 'A worker should be ready. Received: none so far.');
    }
  }

  /** Start the missing workers, even after a lasting failure. */
  start() {
    this.#lastingFailure.clear();
    this.#restartGrace();
    this.#startMissing();
  }

  /** Stop all workers once they have answered their requests. */
  async close() {
    this.#isClosed = true;
    this.#seams.clock.clearTimeout(this.#restartTimer);
    const stopping = [...this.#workers];
    for (const worker of stopping) worker.stop();
    await Promise.all(stopping.map((worker) => worker.gone));
  }

  #startMissing() {
    if (this.#isClosed || this.lastingFailure !== null || this.#restartTimer !== null) return;
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
    if (plan instanceof Error) this.#onWorkerLost(plan, []);
    else this.#addWorker(plan);
  }

  /** @param {LaunchPlan} plan */
  #addWorker(plan) {
    const worker = new Worker(
      plan,
      {
        onReady: () => this.#onReady(worker),
        onAnswer: () => this.#onAnswer(worker),
        onDown: (failure, jobs) => this.#onWorkerLost(failure, jobs),
        onGone: (end) => this.#onExit(worker, end),
        onDropped: (kind) => this.#onDropped(kind),
      },
      { depth: this.#options.depth, ...this.#seams },
    );
    this.#workers.add(worker);
    this.#recycling.add(worker);
    this.counts.spawned += 1;
    this.#handlers.onEvent('spawned', { pid: worker.pid });
  }

  #onReady(worker) {
    this.#handlers.onEvent('ready', { pid: worker.pid, version: worker.version });
    this.#recycling.finish();
    this.#handlers.onRoom();
  }

  #onAnswer(worker) {
    this.#handlers.onRoom();
    if (this.#isClosed || this.#breaker.state !== 'closed' || !this.#recycling.isDue(worker)) return;
    this.counts.recycled += 1;
    this.#handlers.onEvent('recycled', { pid: worker.pid, served: worker.served });
    this.#startWorker();
  }

  /**
   * @param {PythonBridgeError} failure
   * @param {Job[]} jobs
   */
  #onWorkerLost(failure, jobs) {
    const isDeath = !this.#isClosed && !failure.isLasting && !STOP_SIGNALS.has(failure.signal);
    this.#handlers.onWorkerLost(failure, jobs, isDeath);
    if (this.#isClosed) return;
    this.#recycling.postpone();
    if (this.#count('ready') === 0) this.#restartGrace();
    if (failure.isLasting) this.#stopStarting(failure);
    else if (isDeath && this.#recordDeath()) this.#openBreaker();
    else this.#startMissingLater();
  }

  /** Return whether this death opens the breaker. */
  #recordDeath() {
    this.counts.deaths += 1;
    return this.#breaker.die();
  }

  #startMissingLater() {
    this.#restartTimer ??= this.#seams.clock.setTimeout(() => {
      this.#restartTimer = null;
      this.#startMissing();
    }, this.#backoff.next());
  }

  #stopStarting(failure) {
    if (this.lastingFailure === null) this.#handlers.onEvent('refused', { failure }); // once, for all workers
    this.#lastingFailure.record(failure);
    if (this.#count('ready') === 0) this.#handlers.onUnavailable(() => /** @type {PythonBridgeError} */ (this.lastingFailure));
  }

  #openBreaker() {
    this.#handlers.onEvent('breaker_open');
    for (const worker of this.#workers) worker.retire();
    this.#handlers.onUnavailable(breakerOpen);
  }

  /**
   * @param {Worker} worker
   * @param {End} end
   */
  #onExit(worker, { exitCode, signal, stderr }) {
    this.#workers.delete(worker);
    this.#handlers.onEvent('gone', { exitCode, signal, stderrTail: stderr.tail() });
    this.#startMissing();
  }

  #onDropped(kind) {
    this.counts[kind] += 1;
    this.#handlers.onEvent(kind);
  }

  #restartGrace() {
    this.#graceUntil = this.#seams.clock.now() + STARTUP_GRACE_MS;
  }

  /** @param {WorkerStats['state'][]} states */
  #count(...states) {
    return [...this.#workers].filter((worker) => states.includes(worker.state)).length;
  }
}

function breakerOpen() {
  const received = 'Received: too many deaths; no process is started during the cool-down';
  return new PythonBridgeError('breaker_open', `Python should stay alive. ${received}.`);
}
