/** Everything that is measured of one copy of a shop, in its order. */
import path from 'node:path';

import { seeded } from '../../test/fakes.js';
import { arrivals } from './arrivals.js';
import { Books, faultOf } from './answers.js';
import { closedLoop } from './closedLoop.js';
import { defectsIn, startServer } from './server.js';

export const LIMIT = 10;
export const THINKING = Object.freeze({ customers: 50, thinkS: 1 });
const LONGER = 3; // than the others, those who think are watched
export const DEADLINE_MS = 800; // PYTHON_TIMEOUT_MS
const WORKERS = 2;
const LIST = `/api/recommendations/list?limit=${LIMIT}`;
const WARM_UP = 20; // lists before misses are counted: the first ones open connections and compile code
const MOST_ROUNDS = 20; // until everybody has a list of Python's
const SEED = 1;
const UNKNOWN = 'unknown_user'; // somebody of whom the version knows nothing: the ladder's customer for good

/** How much is measured. */
export const FULL = Object.freeze({ levels: [1, 50, 200], seconds: 10, starts: 5 });
export const QUICK = Object.freeze({ levels: [1, 8], seconds: 0.5, starts: 1 });

/**
 * Put a copy under load.
 *
 * @param {BenchShop} shop
 * @param {{levels: number[], seconds: number, starts: number}} plan
 * @param {(words: string) => void} say
 * @returns {Promise<object>} As the JSON file holds it.
 */
export async function measured(shop, plan, say) {
  const logFile = path.join(shop.folder, 'server.log');
  const variables = { ...shop.variables, PYTHON_POOL_SIZE: String(WORKERS), PYTHON_TIMEOUT_MS: String(DEADLINE_MS) };
  const coldStart = await coldStarts(shop, plan, variables, logFile);
  say(`${plan.starts} cold starts`);
  const server = await startServer(variables, { logFile });
  let loads;
  try {
    await server.ready(WORKERS);
    loads = await new Loads(shop, plan, server, say).all();
  } finally {
    await server.stop();
  }
  return { customers: shop.customers.length, products: shop.sold.size, deadline_ms: DEADLINE_MS, cold_start: coldStart, ...loads, defects: defectsIn(logFile) };
}

/** Ask for a list at the moment when a server listens whose Python processes have just been started, with nothing in the cache. */
async function coldStarts(shop, { starts }, variables, logFile) {
  const tries = [];
  for (let n = 0; n < starts; n += 1) {
    await shop.emptyCache();
    const server = await startServer(variables, { logFile });
    try {
      const asked = performance.now();
      const answer = await server.ask('GET', LIST, { as: shop.customers[n % shop.customers.length] });
      const ms = Math.round(performance.now() - asked);
      const { source, fallbackReason } = answer.body;
      tries.push({ ms, source, fallback_reason: fallbackReason, fault: faultOf(answer, { limit: LIMIT, sold: shop.sold }) });
    } finally {
      await server.stop();
    }
  }
  return { most_ms: Math.max(...tries.map(({ ms }) => ms)), tries };
}

class Loads {
  #shop;
  #plan;
  #server;
  #say;
  #customers;
  #asked = 0;

  constructor(shop, plan, server, say) {
    this.#shop = shop;
    this.#plan = plan;
    this.#server = server;
    this.#say = say;
    this.#customers = shop.customers;
  }

  async all() {
    for (let n = 0; n < WARM_UP; n += 1) await this.#server.ask('POST', '/api/recommendations/init', { as: this.#nextCustomer() });
    const cold = await this.#atEachLevel('cold', (connections, books) => this.#cold(connections, books));
    await this.#fillCache();
    const warm = await this.#atEachLevel('warm', (connections, books) => this.#warm(connections, books));
    const thinking = await this.#counted('warm, thinking', (books) => this.#thinking(books));
    const lists = await this.#shop.lists();
    const toldApart = new Set([...lists.values()].map((list) => list.slice(0, LIMIT).join())).size;
    return { known_customers: this.#customers.length, different_lists: toldApart, cold, warm, thinking: { ...THINKING, ...thinking } };
  }

  async #atEachLevel(name, load) {
    const figures = {};
    for (const connections of this.#plan.levels) {
      figures[connections] = await this.#counted(`${name}, ${connections} at once`, (books) => load(connections, books));
    }
    return figures;
  }

  /** Return a load's figures, with the time that the server's own process computed for each answer. */
  async #counted(name, load) {
    const books = new Books({ limit: LIMIT, sold: this.#shop.sold });
    const before = this.#server.processorMs;
    const seconds = await load(books);
    const computed = this.#server.processorMs - before;
    const figures = { ...books.summary(seconds), processor_ms: before === null ? null : computed / Math.max(1, books.answers) };
    this.#say(`${name}: ${figures.answers} answers, p50 ${figures.latency_ms.p50} ms, p99 ${figures.latency_ms.p99} ms`);
    return figures;
  }

  /** Everybody asks once for a list that nobody has made, again and again from the beginning. */
  async #cold(connections, books) {
    const amount = Math.max(connections, this.#customers.length);
    let seconds = 0;
    do {
      await this.#shop.emptyCache();
      seconds += await closedLoop({ ...this.#load(books), connections, until: { amount } });
      books.checkOwners(await this.#shop.lists());
    } while (seconds < this.#plan.seconds);
    return seconds;
  }

  async #warm(connections, books) {
    return this.#withOwners(books, () => closedLoop({ ...this.#load(books), connections, until: { seconds: this.#plan.seconds } }));
  }

  async #thinking(books) {
    const seconds = LONGER * this.#plan.seconds; // they come fifty times a second: a percentile needs many answers
    const load = { ...this.#load(books), ...THINKING, seconds, random: seeded(SEED) };
    return this.#withOwners(books, () => arrivals(load));
  }

  /** A cached list does not change in so short a time. */
  async #withOwners(books, work) {
    const lists = await this.#shop.lists();
    const seconds = await work();
    books.checkOwners(lists);
    return seconds;
  }

  /** Let everybody have a list, made by Python; from then on only those are asked for whom it has one. */
  async #fillCache() {
    let without = this.#customers;
    const strangers = new Set();
    for (let round = 0; without.length > 0; round += 1) {
      if (round === MOST_ROUNDS) throw new Error(`Python should have a list for everybody it knows. Received: none for ${without.slice(0, 10)}.`);
      const missing = [];
      for (const as of without) {
        const { fallbackReason } = (await this.#server.ask('GET', LIST, { as })).body;
        if (fallbackReason === UNKNOWN) strangers.add(as);
        else if (fallbackReason !== null) missing.push(as);
      }
      without = missing;
    }
    this.#customers = this.#customers.filter((customer) => !strangers.has(customer));
  }

  #load(books) {
    return { url: `${this.#server.at}${LIST}`, books, nextCustomer: () => this.#nextCustomer() };
  }

  #nextCustomer() {
    this.#asked += 1;
    return this.#customers[this.#asked % this.#customers.length];
  }
}
