/** The server under visitors for as long as you like, while it, its workers, its database, its version and its shop are done harm to. */
import { randomUUID } from 'node:crypto';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { createPool } from '../../src/services/pythonInvoker.js';
import { PYTHON, eventually, processesOf } from '../../test/harness.js';
import { Books } from './soakBooks.js';
import { Harm } from './harm.js';
import { openWay } from './outages.js';
import { Owners } from './owners.js';
import { defectsIn, startServer } from './server.js';
import { interactionOf, nextKind, pick, visitOf } from './visitors.js';

const RATE = 25; // visitors a second
const MOST_PENDING = 200; // visitors who wait; further ones stay away, where a machine cannot keep up
const RETRY_MS = 50;
const PURCHASES = 3; // of one customer: the shop is small
const LOOK_MS = 1000;
const DRAINED_MS = 60_000;
const GONE_MS = 5000;
const TIMEOUT_MS = 800; // Python's
const ASKING_MS = 30_000; // before the soak, when there is no hurry

/**
 * Run a soak over a copy of the tiny shop.
 *
 * @param {BenchShop} shop
 * @param {object} options
 * @param {TinyShop} options.tiny Where versions are activated.
 * @param {string[]} options.versions
 * @param {number} options.durationMs
 * @param {number} [options.leastOwners] How many lists have to be recognised before it ends, however slow the machine is.
 * @param {() => number} options.random From 0 to 1.
 * @param {(state: object) => void} [options.onLook] Called every second.
 * @returns {Promise<object>} The summary, as the JSON file holds it.
 */
export async function httpSoak(shop, options) {
  const way = await openWay(shop.variables.DATABASE_URL);
  try {
    return await new Soak(shop, way, options).run();
  } finally {
    await way.end();
  }
}

class Soak {
  #shop;
  #way;
  #options;
  #books;
  #home = path.join(tmpdir(), `home-${randomUUID()}`);
  #logFile;
  #world = { server: null, lives: 0 };
  #owners = new Owners();
  #pending = new Set();
  #sent = 0;
  #bought = new Map();
  #end = new AbortController();

  constructor(shop, way, options) {
    this.#shop = shop;
    this.#way = way;
    this.#options = options;
    this.#logFile = path.join(shop.folder, 'server.log');
    this.#books = new Books(shop.sold);
  }

  async run() {
    const { durationMs, onLook = () => {} } = this.#options;
    await this.#learn();
    await this.#start();
    const harm = new Harm(this.#means());
    const began = performance.now();
    try {
      const tasks = [this.#visitors(), harm.until(this.#end.signal), this.#looking(began, harm, onLook)];
      await Promise.race([this.#enough(durationMs, harm), ...tasks.map((task) => task.then(() => Promise.reject(new Error('a task ended early'))))]);
      this.#end.abort();
      await Promise.all(tasks);
      await Promise.all(this.#pending);
      const interactions = await this.#count();
      await this.#stop();
      const seconds = Math.round((performance.now() - began) / 1000);
      for (const defect of defectsIn(this.#logFile)) this.#books.violate('defect', defect);
      return { seconds, ...this.#books.summary(), interactions, harm: harm.counts, server_starts: this.#world.lives };
    } finally {
      this.#end.abort();
      this.#world.server?.child.kill('SIGKILL');
    }
  }

  /** The time is over, and everything has happened that has to be seen. */
  async #enough(durationMs, harm) {
    const { leastOwners = 1 } = this.#options;
    await sleep(durationMs);
    while (!harm.isAllDone || this.#books.ownersChecked < leastOwners) await sleep(LOOK_MS);
  }

  /** Ask Python whose scores are whose, by each version, now and when the soak will be over. */
  async #learn() {
    const { tiny, versions, durationMs } = this.#options;
    const moments = [Date.now(), Date.now() + durationMs];
    for (const version of versions) {
      await tiny.publisher('activate', version);
      const pool = createPool({ size: 1, python: PYTHON, env: { ...process.env, ...this.#shop.variables } });
      const ask = (request) => pool.runPythonInference(request, { timeoutMs: ASKING_MS });
      await this.#owners.learn(ask, { customers: this.#readers, moments }).finally(() => pool.close());
    }
    if (this.#owners.lookalikes > 0) throw new Error(`Customers' scores should differ. Received: ${this.#owners.lookalikes} that several have.`);
  }

  get #readers() {
    return this.#shop.customers.filter((customer) => customer % 4 !== 0);
  }

  get #writers() {
    return this.#shop.customers.filter((customer) => customer % 4 === 0);
  }

  async #start() {
    const variables = { ...this.#shop.variables, DATABASE_URL: this.#way.url, HOME: this.#home, PYTHON_TIMEOUT_MS: String(TIMEOUT_MS) };
    const server = await startServer(variables, { logFile: this.#logFile });
    this.#world.server = server;
    this.#world.lives += 1;
    server.ended.then(([code, signal]) => {
      if (this.#world.server === server) this.#books.violate('died', `the server ended by itself: ${code ?? signal}`);
    });
  }

  #means() {
    const { tiny, versions, random } = this.#options;
    return {
      random,
      way: this.#way,
      workers: () => processesOf(this.#home).filter((pid) => Number(pid) !== this.#world.server?.pid),
      restart: () => this.#restart(),
      activate: (n) => tiny.publisher('activate', versions[n % versions.length]),
      sellOut: (product) => this.#sell(product, 'S2'),
      sellAgain: (product) => this.#sell(product, 'S1'),
      products: [...this.#shop.sold],
    };
  }

  async #sell(product, statusId) {
    await this.#shop.setStatus(product, statusId);
    this.#books.sell(product, statusId === 'S1');
  }

  /** Kill the server; its Python processes have to end by themselves. */
  async #restart() {
    const { server } = this.#world;
    const left = processesOf(this.#home);
    this.#world.server = null;
    server.child.kill('SIGKILL');
    await server.ended;
    await this.#gone(() => processesOf(this.#home).filter((pid) => left.includes(pid)));
    await this.#start();
  }

  async #gone(find) {
    const none = () => {
      if (find().length > 0) throw new Error('some are left');
    };
    await eventually(none, GONE_MS).catch(() => find().forEach((pid) => this.#books.violate('orphan', `process ${pid}`)));
  }

  /** Visitors at a steady rate, whatever becomes of those before. */
  async #visitors() {
    while (!this.#end.signal.aborted) {
      if (this.#pending.size < MOST_PENDING) this.#keepTrack(this.#visit());
      await sleep(1000 / RATE, undefined, { signal: this.#end.signal }).catch(() => {});
    }
  }

  #keepTrack(visit) {
    const task = visit.finally(() => this.#pending.delete(task));
    this.#pending.add(task);
  }

  async #visit() {
    const { random } = this.#options;
    const kind = nextKind(random);
    if (kind === 'interaction') {
      await this.#interact(pick(random, this.#writers));
      return;
    }
    const who = { customer: pick(random, this.#shop.customers), product: pick(random, [...this.#shop.sold]) };
    await this.#send(visitOf(kind, random, who));
  }

  /** Send an event until it is acknowledged, as a page does that keeps its `eventId`. */
  async #interact(customer) {
    const { random } = this.#options;
    this.#sent += 1;
    const productId = pick(random, [...this.#shop.sold]);
    const bought = this.#bought.get(customer) ?? 0;
    const actionCode = bought < PURCHASES ? pick(random, ['view', 'cart', 'purchase']) : pick(random, ['view', 'cart']);
    if (actionCode === 'purchase') this.#bought.set(customer, bought + 1);
    const event = { eventId: `${this.#home.slice(-12)}-${this.#sent}`, productId, actionCode };
    const since = performance.now();
    while (!(await this.#isAcknowledged(customer, event))) {
      if (performance.now() - since > DRAINED_MS) {
        this.#books.violate('unacknowledged', event.eventId);
        return;
      }
      await sleep(RETRY_MS);
    }
  }

  async #isAcknowledged(customer, event) {
    const answer = await this.#send(interactionOf(customer, event));
    if (![200, 201, 202].includes(answer?.status)) return false;
    this.#books.acknowledge(customer, event, answer.status);
    return true;
  }

  /** Send a request and enter what becomes of it. Nobody is blamed for a request whose server was killed meanwhile. */
  async #send(visit) {
    const { server, lives } = this.#world;
    if (server === null) return null;
    const sent = performance.now();
    try {
      const answer = await server.ask(visit.method, visit.path, visit);
      this.#books.take(visit, answer, { sent, owners: this.#owners });
      return answer;
    } catch (error) {
      if (this.#world.lives === lives && this.#world.server !== null) this.#books.violate('lost', `${visit.method} ${visit.path}: ${error.cause ?? error}`);
      else this.#books.cutOff();
      return null;
    }
  }

  async #looking(began, harm, onLook) {
    while (!this.#end.signal.aborted) {
      await sleep(LOOK_MS, undefined, { signal: this.#end.signal }).catch(() => {});
      onLook({ elapsedMs: performance.now() - began, strikes: harm.total, swaps: harm.counts.version, ...this.#books.state });
    }
  }

  /** Count in = count out, once nothing waits in the spool any more. */
  async #count() {
    await eventually(async () => {
      const pending = await this.#world.server.metric('spool_pending');
      if (pending !== 0) throw new Error(`Nothing should wait in the spool. Received: ${pending}.`);
    }, DRAINED_MS).catch((error) => this.#books.violate('spool', error.message));
    return this.#books.compare(await this.#shop.events());
  }

  async #stop() {
    const { server } = this.#world;
    this.#world.server = null;
    const status = await server.stop();
    if (status !== 0) this.#books.violate('died', `the server ended with ${status} at the end`);
    await this.#gone(() => processesOf(this.#home));
  }
}
