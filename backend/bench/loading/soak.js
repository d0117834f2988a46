/** A soak: the server under random traffic, while faults hit it, its workers, its database, its version and its shop. */
import { randomUUID } from 'node:crypto';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { createPool } from '../../src/services/pythonInvoker.js';
import { PYTHON, eventually, processesOf } from '../../test/harness.js';
import { FaultInjector, signal } from './faults.js';
import { interruptible } from './outages.js';
import { OwnershipCheck } from './ownershipCheck.js';
import { defectsIn, startServer } from './server.js';
import { SoakRecorder } from './soakRecorder.js';
import { interactionOf, nextKind, pick, requestOf } from './traffic.js';

const RATE = 25; // requests a second
const MOST_PENDING = 200; // requests at once; a slow machine gets no more
const RETRY_MS = 50;
const PURCHASES = 3; // of one user, because the shop is small
const IN_CART = 4; // at once
const LOOK_MS = 1000;
const RESTARTS = 0.5; // of the time; after that the server goes on, so that a leak shows
const DRAINED_MS = 60_000;
const GONE_MS = 5000;
const TIMEOUT_MS = 800; // Python's
const REQUEST_MS = 30_000; // the time limit of requests before the soak

/**
 * Run a soak over a copy of the tiny shop.
 *
 * @param {BenchShop} shop
 * @param {object} options
 * @param {TinyShop} options.tiny Where versions are activated.
 * @param {string[]} options.versions
 * @param {number} options.durationMs
 * @param {number} [options.leastChecks] How many ownership checks are needed before it ends, also on a slow machine.
 * @param {() => number} options.random From 0 to 1.
 * @param {(state: object) => void} [options.onLook] Called every second.
 * @returns {Promise<object>} The summary, as in the JSON file.
 */
export async function soak(shop, options) {
  const database = await interruptible(shop.variables.DATABASE_URL);
  try {
    return await new Soak(shop, database, options).run();
  } finally {
    await database.close();
  }
}

class Soak {
  #shop;
  #database;
  #options;
  #recorder;
  #home = path.join(tmpdir(), `home-${randomUUID()}`);
  #logFile;
  #world = { server: null, lives: 0 };
  #ownership = new OwnershipCheck();
  #pending = new Set();
  #sent = 0;
  #nPurchases = new Map();
  #carts = new Map(); // by user, the products that were put into the cart
  #began = performance.now();
  #end = new AbortController();

  constructor(shop, database, options) {
    this.#shop = shop;
    this.#database = database;
    this.#options = options;
    this.#logFile = path.join(shop.folder, 'server.log');
    this.#recorder = new SoakRecorder(shop.active);
  }

  async run() {
    const { durationMs, onLook = () => {} } = this.#options;
    await this.#recordScores();
    await this.#start();
    const injector = new FaultInjector(this.#controls());
    this.#began = performance.now();
    try {
      const tasks = [this.#traffic(), injector.until(this.#end.signal), this.#watch(injector, onLook)];
      await Promise.race([this.#isOver(durationMs, injector), ...tasks.map((task) => task.then(() => Promise.reject(new Error('a task ended early'))))]);
      this.#end.abort();
      await Promise.all(tasks);
      await Promise.all(this.#pending);
      const interactions = await this.#count();
      await this.#stop();
      const seconds = Math.round((performance.now() - this.#began) / 1000);
      this.#recorder.checkGrowth();
      for (const defect of defectsIn(this.#logFile)) this.#recorder.recordViolation('defect', defect);
      return { seconds, ...this.#recorder.summary(), interactions, harm: injector.counts, server_starts: this.#world.lives };
    } finally {
      this.#end.abort();
      this.#world.server?.child.kill('SIGKILL');
    }
  }

  /** Whether the server is no longer killed. */
  get #isCalm() {
    return performance.now() - this.#began > RESTARTS * this.#options.durationMs;
  }

  /** Wait for the end: the time is over, each fault was injected, and enough lists were checked. */
  async #isOver(durationMs, injector) {
    const { leastChecks = 1 } = this.#options;
    await sleep(durationMs);
    while (!injector.isComplete || this.#recorder.nOwnershipChecks < leastChecks) await sleep(LOOK_MS);
  }

  /** Record each user's scores, by each version, in the contexts of now and of the end of the soak. */
  async #recordScores() {
    const { tiny, versions, durationMs } = this.#options;
    const moments = [Date.now(), Date.now() + durationMs];
    for (const version of versions) {
      await tiny.publisher('activate', version);
      const pool = createPool({ size: 1, python: PYTHON, env: { ...process.env, ...this.#shop.variables } });
      const send = (request) => pool.runPythonInference(request, { timeoutMs: REQUEST_MS });
      await this.#ownership.record(send, { users: this.#readers, moments }).finally(() => pool.close());
    }
    if (this.#ownership.nAmbiguous > 0) throw new Error(`Users' scores should differ. Received: ${this.#ownership.nAmbiguous} that several have.`);
  }

  get #readers() {
    return this.#shop.users.filter((user) => user % 4 !== 0);
  }

  get #writers() {
    return this.#shop.users.filter((user) => user % 4 === 0);
  }

  async #start() {
    const variables = { ...this.#shop.variables, DATABASE_URL: this.#database.url, HOME: this.#home, PYTHON_TIMEOUT_MS: String(TIMEOUT_MS) };
    const server = await startServer(variables, { logFile: this.#logFile });
    this.#world.server = server;
    this.#world.lives += 1;
    server.ended.then(([code, signal]) => {
      if (this.#world.server === server) this.#recorder.recordViolation('died', `the server ended by itself: ${code ?? signal}`);
    });
  }

  #controls() {
    const { tiny, versions, random } = this.#options;
    return {
      random,
      database: this.#database,
      workers: () => processesOf(this.#home).filter((pid) => Number(pid) !== this.#world.server?.pid),
      restart: () => this.#restart(),
      activate: (n) => tiny.publisher('activate', versions[n % versions.length]),
      sellOut: (product) => this.#setStatus(product, 'S2'),
      sellAgain: (product) => this.#setStatus(product, 'S1'),
      products: [...this.#shop.active],
    };
  }

  async #setStatus(product, statusId) {
    await this.#shop.setStatus(product, statusId);
    this.#recorder.setAvailable(product, statusId === 'S1');
  }

  /**
   * Kill the server and start another one, in the first part of the soak. The Python processes of the first must end by themselves.
   *
   * @returns {Promise<boolean>} Whether it was killed.
   */
  async #restart() {
    if (this.#world.lives > 1 && this.#isCalm) return false;
    const { server } = this.#world;
    const orphans = processesOf(this.#home);
    this.#world.server = null;
    server.child.kill('SIGKILL');
    await server.ended;
    for (const pid of orphans) signal(Number(pid), 'SIGCONT'); // a stopped process cannot end by itself
    await this.#gone(() => processesOf(this.#home).filter((pid) => orphans.includes(pid)));
    await this.#start();
    return true;
  }

  async #gone(find) {
    const none = () => {
      if (find().length > 0) throw new Error('There should be no process. Received: some.');
    };
    await eventually(none, GONE_MS).catch(() => find().forEach((pid) => this.#recorder.recordViolation('orphan', `process ${pid}`)));
  }

  /** Send requests at a steady rate, without waiting for earlier ones. */
  async #traffic() {
    while (!this.#end.signal.aborted) {
      if (this.#pending.size < MOST_PENDING) this.#keepTrack(this.#sendNext());
      await sleep(1000 / RATE, undefined, { signal: this.#end.signal }).catch(() => {});
    }
  }

  #keepTrack(sending) {
    const task = sending.finally(() => this.#pending.delete(task));
    this.#pending.add(task);
  }

  async #sendNext() {
    const { random } = this.#options;
    const kind = nextKind(random);
    if (kind === 'interaction') {
      await this.#interact(pick(random, this.#writers));
      return;
    }
    const subject = { user: pick(random, this.#shop.users), product: pick(random, [...this.#shop.active]) };
    await this.#send(requestOf(kind, random, subject));
  }

  /** Send an event with one `eventId` until it is acknowledged, as a page does. */
  async #interact(user) {
    this.#sent += 1;
    const event = { eventId: `${this.#home.slice(-12)}-${this.#sent}`, ...this.#act(user) };
    if (['uncart', 'purchase'].includes(event.actionCode)) this.#recorder.takeOut(user, event.productId);
    const since = performance.now();
    while (!(await this.#isAcknowledged(user, event))) {
      if (performance.now() - since > DRAINED_MS) {
        this.#recorder.recordViolation('unacknowledged', event.eventId);
        return;
      }
      await sleep(RETRY_MS);
    }
  }

  /** Return what a user does next. Few products are hidden from a user at once, so that every list can be full. */
  #act(user) {
    const { random } = this.#options;
    const productId = pick(random, [...this.#shop.active]);
    const nPurchases = this.#nPurchases.get(user) ?? 0;
    const cart = this.#carts.get(user) ?? this.#carts.set(user, new Set()).get(user);
    const isFull = cart.size >= IN_CART;
    const actionCode = pick(random, ['view', isFull ? 'uncart' : 'cart', ...(nPurchases < PURCHASES ? ['purchase'] : [])]);
    if (actionCode === 'purchase') this.#nPurchases.set(user, nPurchases + 1);
    if (actionCode === 'cart') cart.add(productId);
    if (actionCode !== 'uncart') return { productId, actionCode };
    const taken = pick(random, [...cart]);
    cart.delete(taken);
    return { productId: taken, actionCode };
  }

  async #isAcknowledged(user, event) {
    const answer = await this.#send(interactionOf(user, event));
    if (![200, 201, 202].includes(answer?.status)) return false;
    this.#recorder.addAcknowledged(user, event, answer.status);
    return true;
  }

  /** Send a request and record its answer. A request without an answer is no violation if its server was killed meanwhile. */
  async #send(request) {
    const { server, lives } = this.#world;
    if (server === null) return null;
    const sent = performance.now();
    try {
      const answer = await server.ask(request.method, request.path, request);
      this.#recorder.add(request, answer, { sent, ownership: this.#ownership });
      return answer;
    } catch (error) {
      if (this.#world.lives === lives && this.#world.server !== null) this.#recorder.recordViolation('lost', `${request.method} ${request.path}: ${error.cause ?? error}`);
      else this.#recorder.addCutOff();
      return null;
    }
  }

  async #watch(injector, onLook) {
    while (!this.#end.signal.aborted) {
      await sleep(LOOK_MS, undefined, { signal: this.#end.signal }).catch(() => {});
      if (this.#isCalm && this.#world.server?.child.exitCode === null) this.#recorder.addSample(this.#world.server.resources);
      onLook({ elapsedMs: performance.now() - this.#began, strikes: injector.total, swaps: injector.counts.version, ...this.#recorder.state });
    }
  }

  /** Compare acknowledged with stored interactions, once the spool is empty. */
  async #count() {
    await eventually(async () => {
      const pending = await this.#world.server.metric('spool_pending');
      if (pending !== 0) throw new Error(`Nothing should wait in the spool. Received: ${pending}.`);
    }, DRAINED_MS).catch((error) => this.#recorder.recordViolation('spool', error.message));
    return this.#recorder.compare(await this.#shop.events());
  }

  async #stop() {
    const { server } = this.#world;
    this.#world.server = null;
    const status = await server.stop();
    if (status !== 0) this.#recorder.recordViolation('died', `the server ended with ${status} at the end`);
    await this.#gone(() => processesOf(this.#home));
  }
}
