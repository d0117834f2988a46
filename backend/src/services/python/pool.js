/** A pool of Python workers: `createPool` answers requests in milliseconds. */
import { systemClock } from '../../concurrency/time.js';
import { PythonBridgeError } from './failures.js';
import { Breaker, Quarantine, residentBytes } from './health.js';
import { launchFingerprint, launchPlan } from './launch.js';
import { EncodedRequest } from './protocol.js';
import { deadlineIn, Job, JobQueue } from './queue.js';
import { Supervisor } from './supervisor.js';

/**
 * @import { spawn as Spawn } from 'node:child_process'
 * @import { Clock } from '../../concurrency/time.js'
 * @import { CallOptions, PoolOptions, PoolStats } from '../pythonInvoker.js'
 * @import { LaunchPlan } from './launch.js'
 * @import { Document } from './protocol.js'
 */

/**
 * @typedef {object} Seams What tests replace.
 * @property {Clock} [clock]
 * @property {() => number} [random] From 0 to 1.
 * @property {(pid: number) => number} [memoryOf] Bytes.
 * @property {typeof Spawn} [spawn]
 * @property {typeof process.kill} [kill]
 * @property {() => Promise<LaunchPlan>} [plan]
 * @property {() => string} [fingerprint]
 */

const DEFAULT_SIZE = 2;
const DEFAULT_DEPTH = 2; // the next request is in the pipe while Node reads the last answer
const DEFAULT_TIMEOUT_MS = 800; // a page that has a second can still use its fallback

/**
 * Start a pool of workers.
 *
 * @param {PoolOptions & Seams} [options]
 * @returns {Pool}
 */
export function createPool(options) {
  return new Pool(options);
}

/** Admits or refuses requests, hands them to workers, and settles each exactly once. */
class Pool {
  /** @type {Clock} */
  #clock;
  /** @type {JobQueue} */
  #queue;
  /** @type {Breaker} */
  #breaker;
  /** @type {Quarantine} */
  #quarantine;
  /** @type {Supervisor} */
  #supervisor;
  #onEvent;
  #counts = { answered: 0, failed: {} };
  #readyWaiters = [];
  /** @type {Promise<void> | null} */
  #closing = null;

  /** @param {PoolOptions & Seams} [options] */
  constructor(options = {}) {
    const { size = DEFAULT_SIZE, depth = DEFAULT_DEPTH, queue, breaker, recycle, onEvent = () => {} } = options;
    const { clock = systemClock, random = Math.random, memoryOf = residentBytes, spawn, kill, ...launch } = options;
    const { plan = () => launchPlan(launch, ['--worker']), fingerprint = () => launchFingerprint(launch) } = launch;
    this.#clock = clock;
    this.#queue = new JobQueue(queue);
    this.#breaker = new Breaker(clock.now, breaker);
    this.#quarantine = new Quarantine(clock.now);
    this.#onEvent = onEvent;
    this.#supervisor = new Supervisor(
      { size, depth, recycle, breaker: this.#breaker, plan, fingerprint },
      {
        onRoom: () => this.#dispatch(),
        onWorkerLost: (failure, jobs, isDeath) => this.#onWorkerLost(failure, jobs, isDeath),
        onUnavailable: (newFailure) => this.#failWaiting(newFailure),
        onEvent: (type, facts) => this.#emit(type, facts),
      },
      { clock, random, memoryOf, spawn, kill },
    );
    this.#supervisor.start();
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
      const job = this.#admit(request, deadlineIn(timeoutMs, this.#clock));
      this.#dispatch();
      const answer = await job.outcome;
      this.#counts.answered += 1;
      return answer;
    } catch (failure) {
      if (failure instanceof PythonBridgeError) this.#countFailure(failure.reason);
      throw failure;
    }
  }

  /** Resolve once a worker is ready. Reject as soon as no worker will be. */
  async ready() {
    if (this.#closing !== null) throw closed();
    const { lastingFailure, workers } = this.#supervisor;
    if (workers.some(({ state }) => state === 'ready')) return;
    if (lastingFailure !== null) throw lastingFailure;
    await new Promise((resolve, reject) => this.#readyWaiters.push({ resolve, reject }));
  }

  /**
   * Return counts and states for operators.
   *
   * @returns {PoolStats}
   */
  stats() {
    const { counts, workers, lastingFailure } = this.#supervisor;
    return {
      workers,
      queued: this.#queue.length,
      queuedBytes: this.#queue.bytes,
      breaker: this.#breaker.state,
      recentDeaths: this.#breaker.recentDeaths,
      refused: lastingFailure?.reason ?? null,
      suspects: this.#quarantine.size,
      answered: this.#counts.answered,
      failed: { ...this.#counts.failed },
      ...counts,
    };
  }

  /** Start workers again after a lasting failure whose repair changes no watched file. */
  reset() {
    if (this.#closing === null) this.#supervisor.start();
  }

  /** Refuse new and waiting requests, let workers answer theirs, and stop them. */
  close() {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close() {
    this.#failWaiting(closed);
    await this.#supervisor.close();
  }

  /**
   * Add a request to the queue, and return it as a job.
   *
   * @throws {PythonBridgeError} If it cannot be answered in time, or must not be computed.
   */
  #admit(request, deadline) {
    if (this.#closing !== null) throw closed();
    const encoded = new EncodedRequest(request);
    if (this.#quarantine.size > 0 && this.#quarantine.holds(encoded.digest)) throw quarantined();
    this.#supervisor.assertAvailable();
    this.#queue.checkRoom(encoded.bytes);
    const admission = this.#breaker.admit();
    if (admission === 'refuse') throw probeUnderWay();
    const job = new Job(encoded, deadline, this.#clock);
    this.#queue.add(job);
    if (admission === 'probe') this.#probe(job);
    return job;
  }

  /** Start one worker for the probe, and close or release the breaker by its outcome. */
  #probe(job) {
    const succeed = () => {
      this.#breaker.succeed();
      this.#emit('breaker_closed');
      this.#supervisor.start();
    };
    // A failure that Python reports shows that Python works.
    job.outcome.then(succeed, (failure) => (failure.error === null ? this.#breaker.release() : succeed()));
    this.#supervisor.start();
  }

  #dispatch() {
    for (let worker = this.#supervisor.freeWorker(); worker !== undefined; worker = this.#supervisor.freeWorker()) {
      const job = this.#queue.next();
      if (job === undefined) return;
      worker.send(job);
    }
  }

  /**
   * Fail the first request of a lost worker, which was being computed. The others move to other workers, once.
   *
   * @param {PythonBridgeError} failure
   * @param {Job[]} jobs
   * @param {boolean} isDeath
   */
  #onWorkerLost(failure, [first, ...others], isDeath) {
    this.#emit('down', { failure });
    first?.fail(failure);
    if (isDeath && first !== undefined && first.encoded.op !== 'ping') this.#charge(first.encoded.digest);
    const movable = others.filter((job) => !job.wasMoved && this.#closing === null);
    for (const job of others) if (!movable.includes(job)) job.fail(failure);
    for (const job of movable) job.wasMoved = true;
    this.#queue.putBack(movable);
    this.#dispatch();
  }

  #charge(digest) {
    if (this.#quarantine.charge(digest)) this.#emit('quarantined', { digest });
  }

  /** Fail all requests and `ready()` calls that wait for a worker. */
  #failWaiting(newFailure) {
    this.#queue.failAll(newFailure);
    for (const { reject } of this.#readyWaiters.splice(0)) reject(newFailure());
  }

  #countFailure(reason) {
    this.#counts.failed[reason] = (this.#counts.failed[reason] ?? 0) + 1;
  }

  #emit(type, facts = {}) {
    if (type === 'ready') for (const { resolve } of this.#readyWaiters.splice(0)) resolve();
    try {
      this.#onEvent({ type, ...facts });
    } catch {
      // a defect of the listener must not affect requests
    }
  }
}

function closed() {
  const received = 'Received: a request during or after its closing';
  return new PythonBridgeError('closed', `The pool should be open. ${received}.`);
}

function probeUnderWay() {
  return new PythonBridgeError('breaker_open', 'Another request is testing whether Python has recovered.');
}

function quarantined() {
  const received = 'Received: one that was being computed at two deaths';
  return new PythonBridgeError('quarantined', `A request should not end workers. ${received}.`);
}
