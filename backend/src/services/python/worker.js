/** One Python worker: `Worker` sends it requests, checks what it writes, and ends it if it misbehaves. */
import { PythonBridgeError, exitFailure } from './failures.js';
import { Child, DRAIN_MS } from './process.js';
import { badAnswer, failureIn, isAbout, readObject } from './protocol.js';
import { Job } from './job.js';

/**
 * @import { spawn as Spawn } from 'node:child_process'
 * @import { Clock } from '../../concurrency/time.js'
 * @import { Refusal, WorkerStats } from '../pythonInvoker.js'
 * @import { LaunchPlan } from './launch.js'
 * @import { End } from './process.js'
 * @import { Document } from './protocol.js'
 */

const PROTOCOL = 1;
const BOOT_MS = 20_000; // to load a large version on a busy machine; longer counts as a hang
const IDLE_MS = 10_000; // without a request; then a ping shows whether the worker still answers
const NEWS_MS = 10_000; // between two pings of a busy worker, which tell whether it has refused a version
const PONG_MS = 2000;
const KILL_GRACE_MS = 500; // after a missed deadline; Python's watchdog needs 200 ms to show where it hung
/**
 * The least time a worker has for an answer. A request that began with a few milliseconds left is late on a busy
 * machine, which is no sign of a hang. Python's own watchdog ends the worker 200 ms after a deadline.
 */
const MIN_ANSWER_MS = 300;
const WARM_UP_MS = 2000; // for the answer to a recent request, while a new worker reads its files for the first time
const STOP_STEP_MS = 2000; // from end of input to SIGTERM, and from there to SIGKILL
const MAX_STRAY_LINES = 100; // that belong to no request

/**
 * One `recommend_api.py --worker`. Its states are booting → ready → leaving → gone, or down → gone after a failure. While booting, it loads its
 * files, and then answers recent requests, whose answers are not used.
 *
 * It answers requests in the order in which they were sent. The first one is therefore the one being computed, and the
 * only one that may have caused a death.
 */
export class Worker extends Child {
  /** @type {WorkerStats['state']} */
  state = 'booting';
  /** @type {string | null} */
  version = null;
  /**
   * The version that was activated last but that this worker refused, as of the latest ping.
   *
   * @type {Refusal | null}
   */
  refused = null;
  served = 0;
  /** After how many answers to replace it, once the pool has decided.
   *
   * @type {number | undefined}
   */
  retireAt;

  #handlers;
  #depth;
  #recentRequests;
  /** @type {Job[]} */
  #requests = []; // sent and not answered
  #nStrayLines = 0;
  #hasHandshake = false;
  #askedAt = 0; // when the latest ping was sent
  /** @type {NodeJS.Timeout | null} */
  #waitTimer = null; // until `ready`, the first answer or the next ping
  /** @type {NodeJS.Timeout | null} */
  #stopTimer = null; // until the next step of stopping; once set, the worker will end

  /**
   * @param {LaunchPlan} plan
   * @param {object} handlers
   * @param {(worker: Worker) => void} handlers.onReady Called once.
   * @param {(worker: Worker) => void} handlers.onAnswer Called when it has room for another request.
   * @param {(failure: PythonBridgeError, jobs: Job[]) => void} handlers.onDown Called with its requests once it failed.
   * @param {(worker: Worker, end: End) => void} handlers.onGone Called when the process has ended.
   * @param {(kind: 'banner' | 'stray' | 'late') => void} handlers.onDropped Called for a line that is not used.
   * @param {{depth: number, recentRequests?: () => object[], clock: Clock, spawn?: typeof Spawn, kill?: typeof process.kill}} options
   */
  constructor(plan, handlers, { depth, recentRequests = () => [], ...seams }) {
    super(plan, seams);
    this.#handlers = handlers;
    this.#depth = depth;
    this.#recentRequests = recentRequests;
    const notReady = `A worker should be ready within ${BOOT_MS} ms.`;
    this.#wait(BOOT_MS, () => this.terminate(new PythonBridgeError('not_ready', notReady)));
    /** @type {Promise<void>} */
    this.gone = this.ended.then((end) => this.#onExit(end));
  }

  get inFlight() {
    return this.#requests.length;
  }

  get hasRoom() {
    return this.state === 'ready' && this.#requests.length < this.#depth;
  }

  /**
   * Send a request.
   *
   * @param {Job} job
   */
  send(job) {
    this.#requests.push(job);
    this.write(job.line());
    if (this.#requests.length === 1) this.#waitForNext();
  }

  /** Stop it once it has answered its requests. */
  retire() {
    if (this.state === 'ready' && this.#requests.length > 0) this.state = 'leaving';
    else this.stop();
  }

  /** Stop it: end its input, after which it answers its requests and exits; then SIGTERM; then SIGKILL. */
  stop() {
    if (this.state === 'down' || this.state === 'gone' || this.#stopTimer !== null) return;
    const isAbandoned = this.#requests.length > 0 && this.#requests.every((job) => job.isSettled);
    if (isAbandoned) return void this.#onTimeout();
    this.state = 'leaving';
    this.clock.clearTimeout(this.#waitTimer);
    this.endInput();
    this.#killAfter(STOP_STEP_MS, 'SIGTERM', () => this.#killAfter(STOP_STEP_MS, 'SIGKILL'));
  }

  onLine(line) {
    if (this.state === 'down') return;
    try {
      const document = readObject(line);
      if (this.#hasHandshake) this.#onAnswer(document);
      else this.#onHandshake(document);
    } catch (failure) {
      if (this.#hasHandshake) return this.terminate(failure);
      this.#drop('banner'); // such as a library's; one line is allowed before the handshake
      if (this.#nStrayLines > 1) this.terminate(badHandshake({}));
    }
  }

  /** @param {Document} document */
  #onHandshake(document) {
    this.#hasHandshake = true;
    const failure = failureIn(document);
    if (failure !== null) return this.terminate(failure, DRAIN_MS);
    if (document.ready !== true || document.protocol !== PROTOCOL) return this.terminate(badHandshake(document));
    this.version = document.version ?? null;
    if (this.state !== 'booting') return undefined; // it is being stopped
    for (const request of this.#recentRequests()) {
      const job = new Job(request, WARM_UP_MS, this.clock);
      job.outcome.catch(() => {}); // a request that cannot be answered now says nothing about the worker
      this.send(job);
    }
    return this.#readyOnceWarm();
  }

  #readyOnceWarm() {
    if (this.#requests.length > 0) return this.#waitForNext();
    this.state = 'ready';
    this.served = 0;
    this.#askedAt = this.clock.now();
    this.#waitForNext();
    return this.#handlers.onReady(this);
  }

  /**
   * Settle the first request: answers come in the order of the requests. An answer is late if its caller waits no more.
   *
   * @param {Document} document
   * @throws {PythonBridgeError} `bad_answer` or `crossed_answer`: the worker must not be used. The request stays.
   */
  #onAnswer(document) {
    const [first] = this.#requests;
    if (first === undefined || !isAbout(document, first.id)) {
      if (this.#requests.some(({ id }) => id === document.id)) throw badAnswer('an answer out of turn');
      return this.#drop('stray');
    }
    if (first.isSettled) this.#handlers.onDropped('late');
    else first.answer(document, () => this.stderr.tail());
    this.#requests.shift();
    this.served += 1;
    this.version = document.model_version ?? document.version ?? this.version;
    if (this.state === 'booting') return this.#readyOnceWarm();
    if (document.protocol === PROTOCOL) this.refused = document.refused ?? null; // an answer to a ping
    if (this.state === 'ready' && this.clock.now() - this.#askedAt >= NEWS_MS) this.#ping();
    this.#waitForNext();
    return this.#handlers.onAnswer(this);
  }

  /** Ignore a line that belongs to no request. */
  #drop(kind) {
    this.#handlers.onDropped(kind);
    this.#nStrayLines += 1;
    if (this.#nStrayLines > MAX_STRAY_LINES) throw badAnswer('too many lines that answer no request');
  }

  /** Wait for the first answer as long as its request may take. Without requests, stop or wait for the next ping. */
  #waitForNext() {
    if (this.#stopTimer !== null) return;
    const [first] = this.#requests;
    // A request that waited in the pipe begins only now, with its whole budget. Its caller gets `deadline` before that.
    if (first !== undefined) this.#wait(Math.max(first.leftMs, first.budgetMs, MIN_ANSWER_MS), () => this.#onTimeout());
    else if (this.state === 'leaving') this.stop();
    else this.#wait(IDLE_MS, () => this.#ping());
  }

  #ping() {
    const ping = new Job({ op: 'ping' }, PONG_MS, this.clock);
    this.#askedAt = this.clock.now();
    ping.outcome.catch(() => {}); // a failure ends in `#onTimeout` or `terminate`
    this.send(ping);
  }

  #onTimeout() {
    const failure = new PythonBridgeError('deadline', 'A worker should answer in time. Received: no answer.');
    this.terminate(failure, KILL_GRACE_MS);
  }

  onOutputEnd() {
    this.#onStreamEnd('stdout');
  }

  onInputBroken() {
    this.#onStreamEnd('stdin');
  }

  #onStreamEnd(stream) {
    if (this.state !== 'booting' && this.state !== 'ready') return;
    const failure = new PythonBridgeError('crashed', `A worker should keep its ${stream}. Received: its end.`);
    this.#wait(DRAIN_MS, () => this.terminate(failure));
  }

  /** Send it no more requests, and kill it after a grace period. */
  terminate(failure, graceMs = 0) {
    if (this.state === 'down' || this.state === 'gone') return;
    if (graceMs === 0) this.kill('SIGKILL');
    else this.#killAfter(graceMs, 'SIGKILL');
    this.#setDown(failure);
  }

  #killAfter(ms, signal, next = () => {}) {
    this.clock.clearTimeout(this.#stopTimer);
    this.#stopTimer = this.clock.setTimeout(() => {
      this.kill(signal);
      next();
    }, ms);
  }

  #onExit(end) {
    const isExpected = this.state === 'down' || (this.state === 'leaving' && this.#requests.length === 0);
    if (!isExpected) this.#setDown(exitFailure(end, this.#hasHandshake));
    this.clock.clearTimeout(this.#waitTimer);
    this.clock.clearTimeout(this.#stopTimer);
    this.state = 'gone';
    this.#handlers.onGone(this, end);
  }

  #setDown(failure) {
    const isWarmingUp = this.state === 'booting';
    this.state = 'down';
    this.clock.clearTimeout(this.#waitTimer);
    const jobs = this.#requests.splice(0);
    if (isWarmingUp) for (const job of jobs.splice(0)) job.fail(failure); // nobody waits for them
    this.#handlers.onDown(Object.assign(failure, { stderrTail: this.stderr.tail() }), jobs);
  }

  #wait(ms, callback) {
    this.clock.clearTimeout(this.#waitTimer);
    this.#waitTimer = this.clock.setTimeout(callback, ms);
  }
}

/** @param {Document} document */
function badHandshake({ ready, protocol }) {
  const received = ready === true ? `protocol ${JSON.stringify(protocol)}`.slice(0, 60) : 'something else';
  const expected = `A worker should be ready for protocol ${PROTOCOL}.`;
  return new PythonBridgeError('handshake', `${expected} Received: ${received}.`);
}
