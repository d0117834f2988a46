import { Breaker } from './breaker.js';
import { systemClock } from '../../concurrency/clock.js';
import { deadlineIn } from './deadline.js';
import { PythonBridgeError } from './failures.js';
import { Job } from './job.js';
import { JobQueue } from './jobQueue.js';
import { launchPlan, watched } from './launch.js';
import { residentBytes } from './memory.js';
import { Quarantine } from './quarantine.js';
import { EncodedRequest } from './request.js';
import { Supervisor } from './supervisor.js';

const DEFAULT_SIZE = 2;
const DEFAULT_DEPTH = 2; // the next request is in the pipe while this process reads the last answer
const DEFAULT_TIMEOUT_MS = 800; // a page that has a second can still fall back

/**
 * Start a pool of workers.
 *
 * @param {object} [options] See pythonInvoker.d.ts.
 * @returns {Pool}
 */
export function createPool(options) {
  return new Pool(options);
}

/** Requests in, proven answers out: decides who may wait, hands requests to workers, and settles each exactly once. */
class Pool {
  #clock;
  #queue;
  #breaker;
  #quarantine;
  #supervisor;
  #onEvent;
  #counts = { answered: 0, failed: {} };
  #readiness = [];
  #closing = null;

  constructor({ size = DEFAULT_SIZE, depth = DEFAULT_DEPTH, queue, breaker, recycle, onEvent = () => {}, ...launch } = {}) {
    const { clock = systemClock, random = Math.random, memoryOf = residentBytes, spawn, kill, ...where } = launch;
    const { plan = () => launchPlan(where, ['--worker']), fingerprint = () => watched(where) } = where;
    this.#clock = clock;
    this.#queue = new JobQueue(queue);
    this.#breaker = new Breaker(clock.now, breaker);
    this.#quarantine = new Quarantine(clock.now);
    this.#onEvent = onEvent;
    this.#supervisor = new Supervisor(
      { size, depth, recycle, breaker: this.#breaker, plan, fingerprint },
      {
        onRoom: () => this.#dispatch(),
        onLoss: (failure, jobs, isDeath) => this.#takeBack(failure, jobs, isDeath),
        onHopeless: (failure) => this.#giveUp(failure),
        onEvent: (type, facts) => this.#tell(type, facts),
      },
      { clock, random, memoryOf, spawn, kill },
    );
    this.#supervisor.start();
  }

  /**
   * Ask a worker.
   *
   * @param {object} request A request of docs/PROTOCOL.md.
   * @param {{timeoutMs?: number}} [options]
   * @returns {Promise<object>} A proven answer.
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
      if (failure instanceof PythonBridgeError) this.#counts.failed[failure.reason] = (this.#counts.failed[failure.reason] ?? 0) + 1;
      throw failure;
    }
  }

  /** Resolve once a worker is ready. Rejects as soon as it is clear that none will be. */
  async ready() {
    if (this.#closing !== null) throw closed();
    const { refusal, workers } = this.#supervisor;
    if (workers.some(({ state }) => state === 'ready')) return;
    if (refusal !== null) throw refusal;
    await new Promise((resolve, reject) => this.#readiness.push({ resolve, reject }));
  }

  /** Return what an operator wants to know. */
  stats() {
    const { counts, workers, refusal } = this.#supervisor;
    return {
      workers,
      queued: this.#queue.length,
      queuedBytes: this.#queue.bytes,
      breaker: this.#breaker.state,
      recentDeaths: this.#breaker.recentDeaths,
      refused: refusal?.reason ?? null,
      suspects: this.#quarantine.size,
      answered: this.#counts.answered,
      failed: { ...this.#counts.failed },
      ...counts,
    };
  }

  /** Try again to start, after a lasting failure that no watched file shows to be put right. */
  reset() {
    if (this.#closing === null) this.#supervisor.start();
  }

  /** Take no more requests, let workers answer what they have, and end them. */
  close() {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close() {
    this.#giveUp(closed);
    await this.#supervisor.close();
  }

  /** Return the request as a job in the queue, if there is any point in it. */
  #admit(request, deadline) {
    if (this.#closing !== null) throw closed();
    const encoded = new EncodedRequest(request);
    if (this.#quarantine.size > 0 && this.#quarantine.holds(encoded.digest)) throw quarantined();
    this.#supervisor.checkHope();
    this.#queue.checkRoom(encoded.bytes);
    const passage = this.#breaker.admit();
    if (passage === 'refuse') throw new PythonBridgeError('breaker_open', 'Another request is finding out whether Python is well again.');
    const job = new Job(encoded, deadline, this.#clock);
    this.#queue.add(job);
    if (passage === 'probe') this.#probe(job);
    return job;
  }

  #probe(job) {
    const succeed = () => {
      this.#breaker.succeed();
      this.#tell('breaker_closed');
      this.#supervisor.start();
    };
    job.outcome.then(succeed, (failure) => (failure.error === null ? this.#breaker.release() : succeed()));
    this.#supervisor.start();
  }

  #dispatch() {
    for (let worker = this.#supervisor.free(); worker !== undefined; worker = this.#supervisor.free()) {
      const job = this.#queue.next();
      if (job === undefined) return;
      worker.take(job);
    }
  }

  /** The first of a lost worker's requests was being computed: it is to blame. The others are moved, once. */
  #takeBack(failure, [first, ...others], isDeath) {
    this.#tell('down', { failure });
    first?.fail(failure);
    if (isDeath && first !== undefined && first.encoded.op !== 'ping') this.#charge(first.encoded.digest);
    const movable = others.filter((job) => !job.wasMoved && this.#closing === null);
    for (const job of others) if (!movable.includes(job)) job.fail(failure);
    for (const job of movable) job.wasMoved = true;
    this.#queue.putBack(movable);
    this.#dispatch();
  }

  #charge(digest) {
    if (this.#quarantine.charge(digest)) this.#tell('quarantined', { digest });
  }

  /** Nobody will come. */
  #giveUp(failure) {
    this.#queue.failAll(failure);
    for (const { reject } of this.#readiness.splice(0)) reject(failure());
  }

  #tell(type, facts = {}) {
    if (type === 'ready') for (const { resolve } of this.#readiness.splice(0)) resolve();
    try {
      this.#onEvent({ type, ...facts });
    } catch {
      // a defect of the listener must not become one of the bridge
    }
  }
}

function closed() {
  return new PythonBridgeError('closed', 'The pool should be open. Received: a request during or after its closing.');
}

function quarantined() {
  return new PythonBridgeError('quarantined', 'A request should not end workers. Received: one that was being computed at two deaths.');
}
