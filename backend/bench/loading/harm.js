/** What is done to a server in a soak: kills, a database that is away, new versions, products that are sold out. */
import { setTimeout as sleep } from 'node:timers/promises';

import { pick } from './visitors.js';

const PAUSE_MS = 2000; // at most, between two deeds
const AWAY_MS = { least: 50, most: 1000 };
const SOLD_OUT = 3; // products at once, at most

// [weight, deed]
const WEIGHTS = Object.entries({ worker: 8, server: 2, database: 3, version: 3, sold_out: 4 });
const TOTAL = WEIGHTS.reduce((sum, [, weight]) => sum + weight, 0);

/** Does one thing after the other: each once, and then at random. */
export class Harm {
  /** How often each was done. */
  counts = Object.fromEntries(WEIGHTS.map(([name]) => [name, 0]));

  #means;
  #soldOut = [];

  /** @param {object} means What things are done with; see soak.js. */
  constructor(means) {
    this.#means = means;
  }

  get total() {
    return Object.values(this.counts).reduce((sum, count) => sum + count, 0);
  }

  /** Whether each was done at least once. */
  get isAllDone() {
    return Object.values(this.counts).every((count) => count > 0);
  }

  /** Go on until told otherwise, and leave everything in its place. */
  async until(signal) {
    const first = WEIGHTS.map(([name]) => name);
    while (!signal.aborted) {
      await sleep(this.#means.random() * PAUSE_MS, undefined, { signal }).catch(() => {});
      if (signal.aborted) break;
      const name = first.shift() ?? this.#any();
      if (await this.#do(name)) this.counts[name] += 1;
    }
    for (const product of this.#soldOut) await this.#means.sellAgain(product);
  }

  #any() {
    let left = this.#means.random() * TOTAL;
    return WEIGHTS.find(([, weight]) => (left -= weight) < 0)[0];
  }

  /** Whether there was something to do it to. */
  async #do(name) {
    const { random, way, workers, restart, activate, products } = this.#means;
    if (name === 'worker') return kill(random, workers());
    if (name === 'server') await restart();
    else if (name === 'version') await activate(this.counts.version);
    else if (name === 'sold_out') await this.#sellOut(pick(random, products));
    else {
      way.cut();
      await sleep(AWAY_MS.least + random() * (AWAY_MS.most - AWAY_MS.least));
      way.mend();
    }
    return true;
  }

  async #sellOut(product) {
    if (this.#soldOut.includes(product)) return;
    await this.#means.sellOut(product);
    this.#soldOut.push(product);
    if (this.#soldOut.length > SOLD_OUT) await this.#means.sellAgain(this.#soldOut.shift());
  }
}

function kill(random, pids) {
  if (pids.length === 0) return false;
  try {
    process.kill(Number(pick(random, pids)), 'SIGKILL');
    return true;
  } catch {
    return false; // it has just ended
  }
}
