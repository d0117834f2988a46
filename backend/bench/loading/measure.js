/** Measures a server over one copy of a shop: cold starts, new lists, cached lists, and users who arrive at a rate. */
import path from 'node:path';

import { seeded } from '../../test/fakes.js';
import { arrivals } from './arrivals.js';
import { Recorder, faultOf } from './recorder.js';
import { closedLoop } from './closedLoop.js';
import { defectsIn, startServer } from './server.js';

export const LIMIT = 10;
export const THINKING = Object.freeze({ customers: 50, thinkS: 1 });
const LONGER = 3; // how much longer the open-loop load runs than the others
export const DEADLINE_MS = 800; // PYTHON_TIMEOUT_MS
const WORKERS = 2;
const LIST = `/api/recommendations/list?limit=${LIMIT}`;
const WARM_UP = 20; // lists before the measurement: the first ones open connections and compile code
const MOST_ROUNDS = 20; // until every user has a list of Python
const SEED = 1;
const UNKNOWN = 'unknown_user'; // the version does not know the user, who only gets fallback lists

/** The numbers of connections, the seconds of each load, and the number of cold starts. */
export const FULL = Object.freeze({ levels: [1, 50, 200], seconds: 10, starts: 5 });
export const QUICK = Object.freeze({ levels: [1, 8], seconds: 0.5, starts: 1 });

/**
 * Measure a server over a copy of a shop.
 *
 * @param {BenchShop} shop
 * @param {{levels: number[], seconds: number, starts: number}} plan
 * @param {(message: string) => void} say
 * @returns {Promise<object>} The figures, as in the JSON file.
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
  return { customers: shop.users.length, products: shop.active.size, deadline_ms: DEADLINE_MS, cold_start: coldStart, ...loads, defects: defectsIn(logFile) };
}

/** Request a list as soon as a server listens, while its Python processes start and the cache is empty. */
async function coldStarts(shop, { starts }, variables, logFile) {
  const tries = [];
  for (let n = 0; n < starts; n += 1) {
    await shop.emptyCache();
    const server = await startServer(variables, { logFile });
    try {
      const sent = performance.now();
      const answer = await server.ask('GET', LIST, { as: shop.users[n % shop.users.length] });
      const ms = Math.round(performance.now() - sent);
      const { source, fallbackReason } = answer.body;
      tries.push({ ms, source, fallback_reason: fallbackReason, fault: faultOf(answer, { limit: LIMIT, active: shop.active }) });
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
  #users;
  #nRequests = 0;

  constructor(shop, plan, server, say) {
    this.#shop = shop;
    this.#plan = plan;
    this.#server = server;
    this.#say = say;
    this.#users = shop.users;
  }

  async all() {
    for (let n = 0; n < WARM_UP; n += 1) await this.#server.ask('POST', '/api/recommendations/init', { as: this.#nextUser() });
    const cold = await this.#atEachLevel('cold', (connections, recorder) => this.#cold(connections, recorder));
    await this.#fillCache();
    const warm = await this.#atEachLevel('warm', (connections, recorder) => this.#warm(connections, recorder));
    const thinking = await this.#counted('warm, thinking', (recorder) => this.#thinking(recorder));
    const lists = await this.#shop.lists();
    const nDifferent = new Set([...lists.values()].map((list) => list.slice(0, LIMIT).join())).size;
    return { known_customers: this.#users.length, different_lists: nDifferent, cold, warm, thinking: { ...THINKING, ...thinking } };
  }

  async #atEachLevel(name, load) {
    const figures = {};
    for (const connections of this.#plan.levels) {
      figures[connections] = await this.#counted(`${name}, ${connections} at once`, (recorder) => load(connections, recorder));
    }
    return figures;
  }

  /** Return the figures of a load, with the processor time of the server's own process for each answer. */
  async #counted(name, load) {
    const recorder = new Recorder({ limit: LIMIT, active: this.#shop.active });
    const before = this.#server.processorMs;
    const seconds = await load(recorder);
    const computed = this.#server.processorMs - before;
    const figures = { ...recorder.summary(seconds), processor_ms: before === null ? null : computed / Math.max(1, recorder.answers) };
    this.#say(`${name}: ${figures.answers} answers, p50 ${figures.latency_ms.p50} ms, p99 ${figures.latency_ms.p99} ms`);
    return figures;
  }

  /** Request a new list for every user with an empty cache, repeatedly until the time is over. */
  async #cold(connections, recorder) {
    const amount = Math.max(connections, this.#users.length);
    let seconds = 0;
    do {
      await this.#shop.emptyCache();
      seconds += await closedLoop({ ...this.#load(recorder), connections, until: { amount } });
      recorder.checkOwnership(await this.#shop.lists());
    } while (seconds < this.#plan.seconds);
    return seconds;
  }

  async #warm(connections, recorder) {
    return this.#withOwnershipCheck(recorder, () => closedLoop({ ...this.#load(recorder), connections, until: { seconds: this.#plan.seconds } }));
  }

  async #thinking(recorder) {
    const seconds = LONGER * this.#plan.seconds; // percentiles need many answers, and only fifty come each second
    const load = { ...this.#load(recorder), ...THINKING, seconds, random: seeded(SEED) };
    return this.#withOwnershipCheck(recorder, () => arrivals(load));
  }

  /** Run a load on cached lists, which do not change during it, and compare its answers with them. */
  async #withOwnershipCheck(recorder, work) {
    const lists = await this.#shop.lists();
    const seconds = await work();
    recorder.checkOwnership(lists);
    return seconds;
  }

  /** Give every user a cached list of Python. Users whom the version does not know are left out of later loads. */
  async #fillCache() {
    let remaining = this.#users;
    const unknown = new Set();
    for (let round = 0; remaining.length > 0; round += 1) {
      if (round === MOST_ROUNDS) throw new Error(`Python should have a list for every user it knows. Received: none for ${remaining.slice(0, 10)}.`);
      const missing = [];
      for (const as of remaining) {
        const { fallbackReason } = (await this.#server.ask('GET', LIST, { as })).body;
        if (fallbackReason === UNKNOWN) unknown.add(as);
        else if (fallbackReason !== null) missing.push(as);
      }
      remaining = missing;
    }
    this.#users = this.#users.filter((user) => !unknown.has(user));
  }

  #load(recorder) {
    return { url: `${this.#server.at}${LIST}`, recorder, nextUser: () => this.#nextUser() };
  }

  #nextUser() {
    this.#nRequests += 1;
    return this.#users[this.#nRequests % this.#users.length];
  }
}
