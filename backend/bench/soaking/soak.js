/** A pool under visitors, harm and new versions for as long as you like, and everything that has to hold meanwhile. */
import { randomUUID } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

import { residentBytes } from '../../src/services/python/health.js';
import { createPool } from '../../src/services/pythonInvoker.js';
import { eventually, processesOf } from '../../test/harness.js';
import { Ledger, spread } from './ledger.js';
import { Mischief } from './mischief.js';
import { Lists, poison, reasonOf, visit } from './requests.js';
import { Stalls } from './stalls.js';

const SIZE = 2;
const RATE = 50; // questions a second
const TIMEOUT_MS = 800;
const LATE_MS = 150; // after the deadline
const RECOVERY_MS = 1000; // after a death, on a machine where a worker boots in BOOT_MS
const BOOT_MS = 600;
const STRIKE_MS = 2000; // at most, between two things that are done to workers
const POISON_SHARE = 0.2; // of these, the ones that a request does
const SWAP_MS = 8000; // at most, between two versions
const LOOK_MS = 1000; // between two looks at memory, descriptors and processes
const STALL_LOOKS = 3; // a question lives for a second or so
const ORPHAN_LOOKS = 5; // a process that the pool knows nothing of for so many looks is one
const MOST_GROWTH = 32 * 2 ** 20; // bytes of heap from the first quarter of the time to its end
const GONE_MS = 5000;

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc');

/**
 * Run a soak.
 *
 * @param {TinyShop} shop It is changed: versions are activated.
 * @param {object} options
 * @param {number} options.durationMs
 * @param {() => number} options.random From 0 to 1.
 * @param {(state: object) => void} [options.onLook] Called every second.
 * @returns {Promise<object>} The summary, as the JSON file holds it.
 */
export async function soak(shop, { durationMs, random, onLook = () => {} }) {
  const run = new Soak(shop, random);
  return run.over(durationMs, onLook);
}

class Soak {
  #shop;
  #random;
  #ledger = new Ledger();
  #lists = new Lists();
  #mischief;
  #env = { ...process.env, HOME: path.join(tmpdir(), `home-${randomUUID()}`) };
  #pool;
  #spawned = new Map(); // when, by process
  #boots = [];
  #good = { asked: 0, answered: 0 };
  #poison = 0;
  #pending = new Set();
  #looks = [];
  #unknown = new Map(); // processes that the pool does not know, and at how many looks
  #stalls = new Stalls();
  #held = []; // milliseconds by which the machine kept this process waiting, look by look
  #late = []; // milliseconds past the deadline, of what was settled since the last look
  #swaps = 0;
  #end = new AbortController();

  constructor(shop, random) {
    this.#shop = shop;
    this.#random = random;
    this.#mischief = new Mischief(random);
  }

  async over(durationMs, onLook) {
    const note = (error) => this.#ledger.violate('uncaught', String(error?.stack ?? error));
    process.on('uncaughtExceptionMonitor', note).on('unhandledRejection', note);
    const second = (await this.#shop.publisher('publish')).version;
    const before = descriptors();
    try {
      await this.#open();
      const start = performance.now();
      const tasks = [this.#visitors(), this.#harm(), this.#versions([second, this.#shop.current]), this.#looking(start, durationMs, onLook)];
      await Promise.race([sleep(durationMs), ...tasks.map((task) => task.then(() => Promise.reject(new Error('a task ended early'))))]);
      this.#end.abort();
      await Promise.all(tasks);
      await Promise.all(this.#pending);
      return await this.#close(performance.now() - start, before);
    } finally {
      this.#end.abort();
      await this.#pool?.close();
      this.#stalls.stop();
      process.off('uncaughtExceptionMonitor', note).off('unhandledRejection', note);
    }
  }

  async #open() {
    this.#pool = createPool({
      size: SIZE,
      random: () => 0, // no pause before a restart, and
      breaker: { deaths: Infinity }, // no end to them: whoever dies every second would rightly be left alone otherwise
      recycle: { requests: 500 },
      spawn: this.#mischief.spawn,
      onEvent: (event) => this.#note(event),
      ...this.#shop.launch(this.#env),
    });
    await this.#pool.ready();
  }

  #note({ type, pid }) {
    const now = performance.now();
    if (type === 'down') this.#ledger.die(now);
    if (type === 'spawned') this.#spawned.set(pid, now);
    if (type === 'ready') this.#boots.push(now - this.#spawned.get(pid));
  }

  get #isOver() {
    return this.#end.signal.aborted;
  }

  /** Wait, but not beyond the end. */
  async #pause(ms) {
    await sleep(ms, undefined, { signal: this.#end.signal }).catch(() => {});
  }

  /** Questions at a steady rate, whatever becomes of those before. */
  async #visitors() {
    for (let number = 0; !this.#isOver; number += 1) {
      this.#ask(visit(this.#random, number));
      await this.#pause(1000 / RATE);
    }
  }

  #ask(question) {
    const task = this.#answerTo(question).finally(() => this.#pending.delete(task));
    this.#pending.add(task);
  }

  async #answerTo({ request, outcomes, isGood, ...asker }) {
    const ledger = this.#ledger;
    const asked = performance.now();
    ledger.asked += 1;
    this.#good.asked += Number(isGood);
    let outcome = 'answered';
    try {
      const answer = await this.#pool.runPythonInference(request, { timeoutMs: TIMEOUT_MS });
      const fault = this.#lists.fault(asker, answer);
      if (fault !== null) ledger.violate(fault, `${JSON.stringify(request)} got ${JSON.stringify(answer).slice(0, 300)}`);
      this.#good.answered += Number(isGood);
    } catch (error) {
      outcome = reasonOf(error);
    }
    if (!outcomes.has(outcome)) ledger.violate('wrong_outcome', `${JSON.stringify(request).slice(0, 200)}: ${outcome}`);
    const now = performance.now();
    this.#late.push(now - asked - TIMEOUT_MS);
    ledger.settle({ outcome, asked, now, timeoutMs: TIMEOUT_MS });
  }

  /** Something happens to a worker every second or so. */
  async #harm() {
    while (!this.#isOver) {
      await this.#pause(this.#random() * STRIKE_MS);
      if (this.#random() < POISON_SHARE) this.#ask(poison(this.#random, (this.#poison += 1)));
      else this.#mischief.strike(this.#victims);
    }
  }

  async #versions(names) {
    while (!this.#isOver) {
      await this.#shop.publisher('activate', names[this.#swaps % names.length]);
      this.#swaps += 1;
      await this.#pause(this.#random() * SWAP_MS);
    }
  }

  async #looking(start, durationMs, onLook) {
    while (!this.#isOver) {
      await this.#pause(LOOK_MS);
      this.#look((performance.now() - start) / durationMs);
      const { asked, outcomes, violations } = this.#ledger;
      const [elapsedMs, answered] = [performance.now() - start, outcomes.answered ?? 0];
      onLook({ elapsedMs, asked, answered, violations, strikes: this.#strikes, swaps: this.#swaps });
    }
  }

  get #victims() {
    return this.#pool.stats().workers.filter(({ state }) => state === 'ready' || state === 'booting');
  }

  get #strikes() {
    return Object.values(this.#mischief.counts).reduce((sum, count) => sum + count, this.#poison);
  }

  #look(share) {
    collect();
    this.#judgeLate();
    const workers = this.#pool.stats().workers.map(({ pid }) => pid);
    this.#looks.push({
      share,
      heap: process.memoryUsage().heapUsed,
      rss: process.memoryUsage().rss,
      descriptors: descriptors(),
      workers: Math.max(0, ...workers.filter((pid) => pid !== null).map(residentBytes)),
    });
    this.#lookForOrphans(new Set(workers.map(String)));
  }

  /** A stall is known of only after what it has held up: by itself, and by what else was due when it was over. */
  #judgeLate() {
    this.#held.push(this.#stalls.take());
    const allowedMs = LATE_MS + 2 * Math.max(...this.#held.slice(-STALL_LOOKS));
    for (const ms of this.#late.splice(0)) {
      if (ms > allowedMs) this.#ledger.violate('late', `${Math.round(ms)} ms past the deadline, of ${Math.round(allowedMs)}`);
    }
  }

  #lookForOrphans(known) {
    const strangers = processesOf(this.#env.HOME).filter((pid) => !known.has(pid));
    this.#unknown = new Map(strangers.map((pid) => [pid, (this.#unknown.get(pid) ?? 0) + 1]));
    for (const [pid, looks] of this.#unknown) if (looks === ORPHAN_LOOKS) this.#ledger.violate('orphan', `process ${pid}`);
  }

  async #close(elapsedMs, before) {
    const stats = this.#pool.stats();
    await this.#pool.close();
    this.#judgeLate();
    const left = await eventually(() => none(processesOf(this.#env.HOME)), GONE_MS).catch(() => processesOf(this.#env.HOME));
    for (const pid of left) this.#ledger.violate('orphan', `process ${pid} after the end`);
    const after = await eventually(() => atMost(descriptors(), before), GONE_MS).catch(descriptors);
    if (after > before) this.#ledger.violate('descriptors', `${before} before, ${after} after`);
    if (this.#ledger.settled !== this.#ledger.asked) this.#ledger.violate('unsettled', `${this.#ledger.asked - this.#ledger.settled} requests`);
    return this.#summary(elapsedMs, stats, { before, after });
  }

  #summary(elapsedMs, stats, { before, after }) {
    const ledger = this.#ledger;
    const heap = this.#heap();
    if (heap.growth_bytes > MOST_GROWTH) ledger.violate('memory', `the heap grew by ${heap.growth_bytes} bytes`);
    const [recovery, boot] = [spread(ledger.recoveries), spread(this.#boots)];
    const allowedMs = RECOVERY_MS + 3 * Math.max(0, boot.p95 - BOOT_MS);
    if (recovery.max > allowedMs) ledger.violate('recovery', `${Math.round(recovery.max)} ms of ${Math.round(allowedMs)}`);
    const most = (name) => Math.max(0, ...this.#looks.map((look) => look[name]));
    return {
      seconds: Math.round(elapsedMs / 1000),
      requests: ledger.asked,
      outcomes: Object.fromEntries(Object.entries(ledger.outcomes).sort(([, one], [, other]) => other - one)),
      answered_share_of_good: this.#good.answered / Math.max(1, this.#good.asked),
      latency_ms: spread(ledger.latencies),
      past_deadline_ms: spread(ledger.overruns),
      most_held_up_ms: Math.round(Math.max(...this.#held)),
      harm: { ...this.#mischief.counts, poison: this.#poison },
      boot_ms: boot,
      recovery_ms: recovery,
      versions: { activated: this.#swaps, answered: this.#lists.versions },
      workers: { started: stats.spawned, deaths: stats.deaths, recycled: stats.recycled, most_rss_bytes: most('workers') },
      dropped_lines: { banner: stats.banner, stray: stats.stray, late: stats.late },
      memory: { ...heap, most_rss_bytes: most('rss') },
      descriptors: { before, most: most('descriptors'), after },
      violations: ledger.violations,
      words: ledger.words,
    };
  }

  /** The heap after collection at a quarter of the time, when every path has been taken, and at the end. */
  #heap() {
    const early = this.#looks.find(({ share }) => share >= 0.25) ?? this.#looks[0];
    const last = this.#looks.at(-1);
    return { early_heap_bytes: early.heap, last_heap_bytes: last.heap, growth_bytes: last.heap - early.heap };
  }
}

function descriptors() {
  return readdirSync('/proc/self/fd').length;
}

function none(list) {
  if (list.length > 0) throw new Error('some are left');
  return list;
}

function atMost(number, limit) {
  if (number > limit) throw new Error('too many');
  return number;
}
