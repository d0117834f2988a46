/** One Python worker: `Worker` sends it requests, checks what it writes, and ends it if it misbehaves. */
import { PythonBridgeError, exitFailure } from './failures.js';
import { Child, DRAIN_MS } from './process.js';
import {
  badAnswer,
  budgetFor,
  EncodedRequest,
  failureIn,
  LineSplitter,
  MAX_ANSWER_BYTES,
  readObject,
} from './protocol.js';
import { InFlightRequests, Job } from './queue.js';

/**
 * @import { spawn as Spawn } from 'node:child_process'
 * @import { Clock } from '../../concurrency/time.js'
 * @import { WorkerStats } from '../pythonInvoker.js'
 * @import { LaunchPlan } from './launch.js'
 * @import { End } from './process.js'
 * @import { Document } from './protocol.js'
 */

const PROTOCOL = 1;
const BOOT_MS = 20_000; // to load a large version on a busy machine; longer counts as a hang
const IDLE_MS = 10_000; // without a request; then a ping shows whether the worker still answers
const PONG_MS = 2000;
const KILL_GRACE_MS = 500; // after a missed deadline; Python's watchdog needs 200 ms to show where it hung
const STOP_STEP_MS = 2000; // from end of input to SIGTERM, and from there to SIGKILL
const MAX_STRAY_LINES = 100; // that belong to no request

/**
 * One `recommend_api.py --worker`. Its states are booting → ready → leaving → gone, or down → gone after a failure.
 *
 * It answers requests in the order in which they were sent. The first one is therefore the one being computed, and the
 * only one that may have caused a death.
 */
export class Worker {
  /** @type {WorkerStats['state']} */
  state = 'booting';
  /** @type {string | null} */
  version = null;
  served = 0;

  /** @type {Child} */
  #child;
  /** @type {Clock} */
  #clock;
  #handlers;
  #depth;
  #requests = new InFlightRequests();
  #nStrayLines = 0;
  #hasHandshake = false;
  /** @type {NodeJS.Timeout | null} */
  #waitTimer = null; // until `ready`, the first answer or the next ping
  /** @type {NodeJS.Timeout | null} */
  #stopTimer = null; // until the next step of stopping; once set, the worker will end

  /**
   * @param {LaunchPlan} plan
   * @param {object} handlers
   * @param {() => void} handlers.onReady Called once.
   * @param {() => void} handlers.onAnswer Called when it has room for another request.
   * @param {(failure: PythonBridgeError, jobs: Job[]) => void} handlers.onDown Called with its requests once it failed.
   * @param {(end: End) => void} handlers.onGone Called when the process has ended.
   * @param {(kind: 'banner' | 'stray' | 'late') => void} handlers.onDropped Called for a line that is not used.
   * @param {{depth: number, clock: Clock, spawn?: typeof Spawn, kill?: typeof process.kill}} options
   */
  constructor(plan, handlers, { depth, clock, spawn, kill }) {
    this.#handlers = handlers;
    this.#depth = depth;
    this.#clock = clock;
    const splitter = new LineSplitter(MAX_ANSWER_BYTES, (line) => this.#onLine(line));
    const streams = {
      onOutput: (chunk) => splitter.push(chunk) || this.#terminate(badAnswer(`more than ${MAX_ANSWER_BYTES} bytes`)),
      onOutputEnd: () => this.#onStreamEnd('stdout'),
      onInputBroken: () => this.#onStreamEnd('stdin'),
    };
    this.#child = new Child(plan, streams, { spawn, kill, clock });
    this.#wait(BOOT_MS, () => this.#terminate(notReady()));
    /** @type {Promise<void>} */
    this.gone = this.#child.ended.then((end) => this.#onExit(end));
  }

  get pid() {
    return this.#child.pid;
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
    const budgetMs = budgetFor(job.leftMs);
    this.#requests.add(job, budgetMs);
    this.#child.write(job.encoded.line(job.id, budgetMs));
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
    if (this.#requests.isAbandoned) return void this.#onTimeout();
    this.state = 'leaving';
    this.#clock.clearTimeout(this.#waitTimer);
    this.#child.endInput();
    this.#killAfter(STOP_STEP_MS, 'SIGTERM', () => this.#killAfter(STOP_STEP_MS, 'SIGKILL'));
  }

  #onLine(line) {
    if (this.state === 'down') return;
    try {
      const document = readObject(line);
      if (this.#hasHandshake) this.#onAnswer(document);
      else this.#onHandshake(document);
    } catch (failure) {
      if (this.#hasHandshake) this.#terminate(failure);
      else this.#onBanner();
    }
  }

  /** @param {Document} document */
  #onHandshake(document) {
    this.#hasHandshake = true;
    const failure = failureIn(document);
    if (failure !== null) return this.#terminate(failure, DRAIN_MS);
    if (document.ready !== true || document.protocol !== PROTOCOL) return this.#terminate(badHandshake(document));
    this.version = document.version ?? null;
    if (this.state !== 'booting') return undefined; // it is being stopped
    this.state = 'ready';
    this.#waitForNext();
    return this.#handlers.onReady();
  }

  /** Ignore one line before the handshake, such as a library's banner. */
  #onBanner() {
    this.#drop('banner');
    if (this.#nStrayLines > 1) this.#terminate(badHandshake({}));
  }

  /** @param {Document} document */
  #onAnswer(document) {
    const outcome = this.#requests.answerFirst(document, () => this.#child.stderr.tail());
    if (outcome !== 'answered') this.#drop(outcome);
    if (outcome === 'stray') return;
    this.served += 1;
    this.version = document.model_version ?? document.version ?? this.version;
    this.#waitForNext();
    this.#handlers.onAnswer();
  }

  #drop(kind) {
    this.#handlers.onDropped(kind);
    if (kind === 'late') return;
    this.#nStrayLines += 1;
    if (this.#nStrayLines > MAX_STRAY_LINES) throw badAnswer('too many lines that answer no request');
  }

  /** Wait for the first answer as long as its request may take. Without requests, stop or wait for the next ping. */
  #waitForNext() {
    if (this.#stopTimer !== null) return;
    if (this.#requests.length > 0) this.#wait(this.#requests.answerTimeoutMs, () => this.#onTimeout());
    else if (this.state === 'leaving') this.stop();
    else this.#wait(IDLE_MS, () => this.#ping());
  }

  #ping() {
    const ping = new Job(new EncodedRequest({ op: 'ping' }), this.#clock.now() + PONG_MS, this.#clock);
    ping.outcome.catch(() => {}); // a failure ends in `#onTimeout` or `#terminate`
    this.send(ping);
  }

  #onTimeout() {
    const failure = new PythonBridgeError('deadline', 'A worker should answer in time. Received: no answer.');
    this.#terminate(failure, KILL_GRACE_MS);
  }

  #onStreamEnd(stream) {
    if (this.state !== 'booting' && this.state !== 'ready') return;
    const failure = new PythonBridgeError('crashed', `A worker should keep its ${stream}. Received: its end.`);
    this.#wait(DRAIN_MS, () => this.#terminate(failure));
  }

  /** Send it no more requests, and kill it after a grace period. */
  #terminate(failure, graceMs = 0) {
    if (this.state === 'down' || this.state === 'gone') return;
    if (graceMs === 0) this.#child.kill('SIGKILL');
    else this.#killAfter(graceMs, 'SIGKILL');
    this.#setDown(failure, { stderrTail: this.#child.stderr.tail() });
  }

  #killAfter(ms, signal, next = () => {}) {
    this.#clock.clearTimeout(this.#stopTimer);
    this.#stopTimer = this.#clock.setTimeout(() => {
      this.#child.kill(signal);
      next();
    }, ms);
  }

  #onExit(end) {
    const isExpected = this.state === 'down' || (this.state === 'leaving' && this.#requests.length === 0);
    if (!isExpected) this.#setDown(exitFailure(end, this.#hasHandshake));
    this.#clock.clearTimeout(this.#waitTimer);
    this.#clock.clearTimeout(this.#stopTimer);
    this.state = 'gone';
    this.#handlers.onGone(end);
  }

  #setDown(failure, facts = {}) {
    this.state = 'down';
    this.#clock.clearTimeout(this.#waitTimer);
    this.#handlers.onDown(Object.assign(failure, facts), this.#requests.takeAll());
  }

  #wait(ms, callback) {
    this.#clock.clearTimeout(this.#waitTimer);
    this.#waitTimer = this.#clock.setTimeout(callback, ms);
  }
}

function notReady() {
  return new PythonBridgeError('not_ready', `A worker should be ready within ${BOOT_MS} ms.`);
}

/** @param {Document} document */
function badHandshake({ ready, protocol }) {
  const received = ready === true ? `protocol ${JSON.stringify(protocol)}`.slice(0, 60) : 'something else';
  const expected = `A worker should be ready for protocol ${PROTOCOL}.`;
  return new PythonBridgeError('handshake', `${expected} Received: ${received}.`);
}
