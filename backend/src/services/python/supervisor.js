import { Backoff } from './backoff.js';
import { PythonBridgeError } from './failures.js';
import { Recycling } from './recycling.js';
import { Refusal } from './refusal.js';
import { Worker } from './worker.js';

/** How long requests may wait where no worker is ready: time to start one. After that they are better off with their fallback at once. */
export const HOPE_MS = 1500;

const ASKED_TO_STOP = new Set(['SIGTERM', 'SIGINT', 'SIGHUP']);

/** Keeps `size` workers ready: starts them, replaces the dead and the old, and knows when to leave it. */
export class Supervisor {
  counts = { spawned: 0, deaths: 0, recycled: 0, banner: 0, stray: 0, late: 0 };

  #workers = new Set();
  #options;
  #handlers;
  #seams;
  #breaker;
  #backoff;
  #recycling;
  #refusal;
  #starting = 0;
  #restart = null;
  #hopeUntil = 0;
  #isClosed = false;

  /**
   * @param {object} options
   * @param {number} options.size Workers to keep.
   * @param {number} options.depth Requests on the wire of each.
   * @param {() => Promise<object>} options.plan How to start one; see `launchPlan`.
   * @param {() => string} options.fingerprint What a start depends on; see watch.js.
   * @param {Breaker} options.breaker
   * @param {{requests?: number, bytes?: number}} [options.recycle] When a worker is old.
   * @param {object} handlers
   * @param {() => void} handlers.onRoom Some worker has room.
   * @param {(failure: PythonBridgeError, jobs: Job[], isDeath: boolean) => void} handlers.onLoss A worker went down with these requests.
   * @param {(failure: () => PythonBridgeError) => void} handlers.onHopeless No worker is left, and none will be started.
   * @param {(type: string, facts?: object) => void} handlers.onEvent
   * @param {{clock: object, random: () => number, memoryOf: (pid: number) => number, spawn?: Function, kill?: Function}} seams
   */
  constructor(options, handlers, seams) {
    this.#options = options;
    this.#handlers = handlers;
    this.#seams = seams;
    this.#breaker = options.breaker;
    this.#backoff = new Backoff(seams.clock.now, seams.random);
    this.#recycling = new Recycling(options.recycle, seams);
    this.#refusal = new Refusal(options.fingerprint, seams.clock.now);
  }

  /** The lasting failure that ended all starting, or null. */
  get refusal() {
    return this.#refusal.failure;
  }

  get workers() {
    return [...this.#workers].map(({ pid, state, version, served, inFlight }) => ({ pid, state, version, served, inFlight }));
  }

  /** Return the least busy worker with room, or undefined. */
  free() {
    return [...this.#workers].filter((worker) => worker.hasRoom).sort((one, other) => one.inFlight - other.inFlight)[0];
  }

  /**
   * Make sure that a request has somebody to wait for.
   *
   * @throws {PythonBridgeError} The lasting failure, `breaker_open` or `not_ready`.
   */
  checkHope() {
    if (this.#refusal.isOutdated()) this.start();
    if (this.#count('ready') > 0) return;
    if (this.#refusal.failure !== null) throw this.#refusal.failure;
    if (this.#breaker.state === 'open') throw breakerOpen();
    if (this.#breaker.state === 'closed' && this.#seams.clock.now() > this.#hopeUntil) {
      throw new PythonBridgeError('not_ready', 'A worker should be ready. Received: none so far.');
    }
  }

  /** Start workers, whatever may have ended that before. */
  start() {
    this.#refusal.forget();
    this.#hope();
    this.#fill();
  }

  /** End all workers, once they have answered what they have. */
  async close() {
    this.#isClosed = true;
    this.#seams.clock.clearTimeout(this.#restart);
    const ending = [...this.#workers];
    for (const worker of ending) worker.stop();
    await Promise.all(ending.map((worker) => worker.gone));
  }

  #fill() {
    if (this.#isClosed || this.#refusal.failure !== null || this.#restart !== null) return;
    const wanted = { closed: this.#options.size, 'half-open': this.#breaker.isProbing ? 1 : 0, open: 0 }[this.#breaker.state];
    const missing = wanted - this.#starting - this.#count('booting', 'ready');
    for (let started = 0; started < missing; started += 1) this.#launch();
  }

  async #launch() {
    this.#starting += 1;
    const plan = await this.#options.plan().catch((failure) => failure);
    this.#starting -= 1;
    if (this.#isClosed) return;
    if (plan instanceof Error) this.#lose(plan, []);
    else this.#add(plan);
  }

  #add(plan) {
    const worker = new Worker(
      plan,
      {
        onReady: () => this.#welcome(worker),
        onAnswer: () => this.#afterAnswer(worker),
        onDown: (failure, jobs) => this.#lose(failure, jobs),
        onGone: (end) => this.#bury(worker, end),
        onDropped: (kind) => this.#note(kind),
      },
      { depth: this.#options.depth, ...this.#seams },
    );
    this.#workers.add(worker);
    this.#recycling.add(worker);
    this.counts.spawned += 1;
    this.#handlers.onEvent('spawned', { pid: worker.pid });
  }

  #welcome(worker) {
    this.#handlers.onEvent('ready', { pid: worker.pid, version: worker.version });
    this.#recycling.finish();
    this.#handlers.onRoom();
  }

  #afterAnswer(worker) {
    this.#handlers.onRoom();
    if (this.#isClosed || this.#breaker.state !== 'closed' || !this.#recycling.isDue(worker)) return;
    this.counts.recycled += 1;
    this.#handlers.onEvent('recycled', { pid: worker.pid, served: worker.served });
    this.#launch();
  }

  #lose(failure, jobs) {
    const isDeath = !this.#isClosed && !failure.isLasting && !ASKED_TO_STOP.has(failure.signal);
    this.#handlers.onLoss(failure, jobs, isDeath);
    if (this.#isClosed) return;
    this.#recycling.postpone();
    if (this.#count('ready') === 0) this.#hope();
    if (failure.isLasting) this.#refuse(failure);
    else if (isDeath && this.#diesTooOften()) this.#leaveAlone();
    else this.#fillLater();
  }

  #diesTooOften() {
    this.counts.deaths += 1;
    return this.#breaker.die();
  }

  #fillLater() {
    this.#restart ??= this.#seams.clock.setTimeout(() => {
      this.#restart = null;
      this.#fill();
    }, this.#backoff.next());
  }

  #refuse(failure) {
    if (this.#refusal.failure === null) this.#handlers.onEvent('refused', { failure }); // one alarm is enough
    this.#refusal.remember(failure);
    if (this.#count('ready') === 0) this.#handlers.onHopeless(() => this.#refusal.failure);
  }

  #leaveAlone() {
    this.#handlers.onEvent('breaker_open');
    for (const worker of this.#workers) worker.retire();
    this.#handlers.onHopeless(breakerOpen);
  }

  #bury(worker, { exitCode, signal, stderr }) {
    this.#workers.delete(worker);
    this.#handlers.onEvent('gone', { exitCode, signal, stderrTail: stderr.tail() });
    this.#fill();
  }

  #note(kind) {
    this.counts[kind] += 1;
    this.#handlers.onEvent(kind);
  }

  #hope() {
    this.#hopeUntil = this.#seams.clock.now() + HOPE_MS;
  }

  #count(...states) {
    return [...this.#workers].filter((worker) => states.includes(worker.state)).length;
  }
}

function breakerOpen() {
  return new PythonBridgeError('breaker_open', 'Python should stay alive. Received: death after death; it is left alone for a while.');
}
