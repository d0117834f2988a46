/** Injects faults into a server in a soak: signals, an unavailable database, new versions, products that are sold out. */
import { setTimeout as sleep } from 'node:timers/promises';

import { pick } from './traffic.js';

const PAUSE_MS = 2000; // at most, between two faults
const OUTAGE_MS = { least: 50, most: 1000 };
const MOST_PAUSE_MS = 400; // of a worker: shorter than a request's timeout, so that the answer is slow but in time
const SOLD_OUT = 3; // products at once, at most

// how often each fault is injected; the first ones hit a worker
const WORKER = { SIGKILL: 2, SIGSEGV: 2, SIGTERM: 2, SIGSTOP: 1, slow: 1 };
const WEIGHTS = Object.entries({ ...WORKER, server: 2, database: 3, version: 3, sold_out: 4 });
const TOTAL = WEIGHTS.reduce((sum, [, weight]) => sum + weight, 0);

/** Injects one fault after the other: first each once, then at random. */
export class FaultInjector {
  /** How often each fault was injected. */
  counts = Object.fromEntries(WEIGHTS.map(([name]) => [name, 0]));

  #controls;
  #soldOut = [];

  /** @param {object} controls What the faults act on; see soak.js. */
  constructor(controls) {
    this.#controls = controls;
  }

  get total() {
    return Object.values(this.counts).reduce((sum, count) => sum + count, 0);
  }

  /** Whether each fault was injected at least once. */
  get isComplete() {
    return Object.values(this.counts).every((count) => count > 0);
  }

  /** Inject faults until the signal, then make the products available again. */
  async until(signal) {
    const first = WEIGHTS.map(([name]) => name);
    while (!signal.aborted) {
      await sleep(this.#controls.random() * PAUSE_MS, undefined, { signal }).catch(() => {});
      if (signal.aborted) break;
      const name = first.shift() ?? this.#randomName();
      if (await this.#inject(name)) this.counts[name] += 1;
    }
    for (const product of this.#soldOut) await this.#controls.sellAgain(product);
  }

  #randomName() {
    let rest = this.#controls.random() * TOTAL;
    return WEIGHTS.find(([, weight]) => (rest -= weight) < 0)[0];
  }

  /** Inject a fault. Returns whether that was possible. */
  async #inject(name) {
    const { random, database, workers, restart, activate, products } = this.#controls;
    if (name in WORKER) return hit(random, workers(), name);
    if (name === 'server') return restart();
    if (name === 'version') await activate(this.counts.version);
    else if (name === 'sold_out') await this.#sellOut(pick(random, products));
    else {
      database.cut();
      await sleep(OUTAGE_MS.least + random() * (OUTAGE_MS.most - OUTAGE_MS.least));
      database.restore();
    }
    return true;
  }

  async #sellOut(product) {
    if (this.#soldOut.includes(product)) return;
    await this.#controls.sellOut(product);
    this.#soldOut.push(product);
    if (this.#soldOut.length > SOLD_OUT) await this.#controls.sellAgain(this.#soldOut.shift());
  }
}

/** Send a signal to one of the processes. Returns whether there was one. */
function hit(random, pids, name) {
  if (pids.length === 0) return false;
  const pid = Number(pick(random, pids));
  if (name !== 'slow') return signal(pid, name);
  setTimeout(() => signal(pid, 'SIGCONT'), random() * MOST_PAUSE_MS);
  return signal(pid, 'SIGSTOP');
}

/** Send a signal. Returns whether there was such a process. */
export function signal(pid, name) {
  try {
    process.kill(pid, name);
    return true;
  } catch {
    return false; // the process has just ended
  }
}
