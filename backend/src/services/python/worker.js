import { badAnswer, failureIn, MAX_ANSWER_BYTES, readObject } from './answer.js';
import { Child, DRAIN_MS } from './child.js';
import { PythonBridgeError, endFailure } from './failures.js';
import { LineSplitter } from './frames.js';
import { Job } from './job.js';
import { budgetFor, EncodedRequest } from './request.js';
import { Turns } from './turns.js';

export const PROTOCOL = 1;
export const BOOT_MS = 20_000; // loading a large version on a busy machine; longer is a hang
export const IDLE_MS = 10_000; // then a ping shows whether it is still there
export const PONG_MS = 2000;
export const KILL_GRACE_MS = 500; // after a missed deadline: Python's watchdog, 200 ms late itself, ends it and shows where it hung
export const STEP_MS = 2000; // of the way out: end of input, SIGTERM, SIGKILL
const MOST_STRAYS = 100; // lines that nobody asked for

/**
 * One `recommend_api.py --worker`: booting → ready → leaving → gone; or down, once it must not be used any more, and then gone.
 *
 * It answers in the order of the requests, so the first one sent is the one being computed, and the only one to blame for what happens.
 */
export class Worker {
  state = 'booting';
  version = null;
  served = 0;

  #child;
  #clock;
  #handlers;
  #depth;
  #turns = new Turns();
  #strays = 0;
  #hasGreeted = false;
  #patience = null; // the timer of what is waited for: `ready`, the first answer, or the next ping
  #end = null; // the timer of the next step of the way out, from which nothing turns back

  /**
   * @param {object} plan What `launchPlan` returned.
   * @param {object} handlers
   * @param {() => void} handlers.onReady
   * @param {() => void} handlers.onAnswer It has room for another request.
   * @param {(failure: PythonBridgeError, jobs: Job[]) => void} handlers.onDown It takes nothing more; its requests come back.
   * @param {(end: object) => void} handlers.onGone The process has ended.
   * @param {(kind: 'banner' | 'stray' | 'late') => void} handlers.onDropped A line that was not used.
   * @param {{depth: number, clock: object, spawn?: Function, kill?: Function}} options
   */
  constructor(plan, handlers, { depth, clock, spawn, kill }) {
    this.#handlers = handlers;
    this.#depth = depth;
    this.#clock = clock;
    const splitter = new LineSplitter(MAX_ANSWER_BYTES, (line) => this.#take(line));
    const streams = {
      onOutput: (chunk) => splitter.push(chunk) || this.#condemn(badAnswer(`more than ${MAX_ANSWER_BYTES} bytes`)),
      onOutputEnd: () => this.#expectEnd('stdout'),
      onInputBroken: () => this.#expectEnd('stdin'),
    };
    this.#child = new Child(plan, streams, { spawn, kill, clock });
    this.#wait(BOOT_MS, () => this.#condemn(new PythonBridgeError('not_ready', `A worker should be ready within ${BOOT_MS} ms.`)));
    /** @type {Promise<void>} */
    this.gone = this.#child.ended.then((end) => this.#over(end));
  }

  get pid() {
    return this.#child.pid;
  }

  get inFlight() {
    return this.#turns.length;
  }

  get hasRoom() {
    return this.state === 'ready' && this.#turns.length < this.#depth;
  }

  /** Send a request. */
  take(job) {
    const budgetMs = budgetFor(job.left);
    this.#turns.add(job, budgetMs);
    this.#child.write(job.encoded.line(job.id, budgetMs));
    if (this.#turns.length === 1) this.#watchFirst();
  }

  /** Let it answer what it has in its own time, and then leave. */
  retire() {
    if (this.state === 'ready' && this.#turns.length > 0) this.state = 'leaving';
    else this.stop();
  }

  /** Make it leave: end of input, after which it answers what it has; SIGTERM; SIGKILL. */
  stop() {
    if (this.state === 'down' || this.state === 'gone' || this.#end !== null) return;
    if (this.#turns.isForNobody) return void this.#miss();
    this.state = 'leaving';
    this.#clock.clearTimeout(this.#patience);
    this.#child.endInput();
    this.#leave('SIGTERM', STEP_MS, () => this.#leave('SIGKILL', STEP_MS));
  }

  #take(line) {
    if (this.state === 'down') return;
    try {
      const document = readObject(line);
      if (this.#hasGreeted) this.#answer(document);
      else this.#greet(document);
    } catch (failure) {
      if (this.#hasGreeted) this.#condemn(failure);
      else this.#ignoreBanner();
    }
  }

  #greet(document) {
    this.#hasGreeted = true;
    const refusal = failureIn(document);
    if (refusal !== null) return this.#condemn(refusal, DRAIN_MS);
    if (document.ready !== true || document.protocol !== PROTOCOL) return this.#condemn(handshake(document));
    this.version = document.version ?? null;
    if (this.state !== 'booting') return undefined; // it was told to leave meanwhile
    this.state = 'ready';
    this.#watchFirst();
    return this.#handlers.onReady();
  }

  #ignoreBanner() {
    this.#drop('banner');
    if (this.#strays > 1) this.#condemn(handshake({}));
  }

  #answer(document) {
    const outcome = this.#turns.settle(document, () => this.#child.stderr.tail());
    if (outcome !== 'answered') this.#drop(outcome);
    if (outcome === 'stray') return;
    this.served += 1;
    this.version = document.model_version ?? document.version ?? this.version;
    this.#watchFirst();
    this.#handlers.onAnswer();
  }

  #drop(kind) {
    this.#handlers.onDropped(kind);
    if (kind === 'late') return;
    this.#strays += 1;
    if (this.#strays > MOST_STRAYS) throw badAnswer('line after line that nobody asked for');
  }

  /** Wait for the first answer as long as its request may take; without one, for the next ping, or leave. */
  #watchFirst() {
    if (this.#end !== null) return;
    if (this.#turns.length > 0) this.#wait(this.#turns.patienceMs, () => this.#miss());
    else if (this.state === 'leaving') this.stop();
    else this.#wait(IDLE_MS, () => this.#ping());
  }

  #ping() {
    const ping = new Job(new EncodedRequest({ op: 'ping' }), this.#clock.now() + PONG_MS, this.#clock);
    ping.outcome.catch(() => {}); // `#miss` sees to it
    this.take(ping);
  }

  #miss() {
    this.#condemn(new PythonBridgeError('deadline', 'A worker should answer in time. Received: no answer.'), KILL_GRACE_MS);
  }

  #expectEnd(stream) {
    if (this.state !== 'booting' && this.state !== 'ready') return;
    this.#wait(DRAIN_MS, () => this.#condemn(new PythonBridgeError('crashed', `A worker should keep its ${stream}. Received: its end.`)));
  }

  /** Use it no more, and end it. */
  #condemn(failure, graceMs = 0) {
    if (this.state === 'down' || this.state === 'gone') return;
    if (graceMs === 0) this.#child.kill('SIGKILL');
    else this.#leave('SIGKILL', graceMs);
    this.#down(failure, { stderrTail: this.#child.stderr.tail() });
  }

  #leave(signal, ms, next = () => {}) {
    this.#clock.clearTimeout(this.#end);
    this.#end = this.#clock.setTimeout(() => {
      this.#child.kill(signal);
      next();
    }, ms);
  }

  #over(end) {
    const isExpected = this.state === 'down' || (this.state === 'leaving' && this.#turns.length === 0);
    if (!isExpected) this.#down(endFailure(end, this.#hasGreeted));
    this.#clock.clearTimeout(this.#patience);
    this.#clock.clearTimeout(this.#end);
    this.state = 'gone';
    this.#handlers.onGone(end);
  }

  #down(failure, facts = {}) {
    this.state = 'down';
    this.#clock.clearTimeout(this.#patience);
    this.#handlers.onDown(Object.assign(failure, facts), this.#turns.takeAll());
  }

  #wait(ms, callback) {
    this.#clock.clearTimeout(this.#patience);
    this.#patience = this.#clock.setTimeout(callback, ms);
  }
}

function handshake({ ready, protocol }) {
  const received = ready === true ? `protocol ${JSON.stringify(protocol)}`.slice(0, 60) : 'something else';
  return new PythonBridgeError('handshake', `A worker should be ready for protocol ${PROTOCOL}. Received: ${received}.`);
}
