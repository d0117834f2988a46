/** A pool under requests, faults and new versions, and checks of everything that must hold meanwhile. */
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
import { FaultInjector } from './faultInjector.js';
import { percentiles, Recorder } from './recorder.js';
import { Stalls } from './stalls.js';
import { clientRequest, OwnershipCheck, poisonRequest, reasonOf } from './traffic.js';

const SIZE = 2;
const RATE = 50; // requests a second
const TIMEOUT_MS = 800;
const LATE_MS = 150; // after the deadline
const RECOVERY_MS = 1000; // after a death, on a machine where a worker starts in BOOT_MS
const BOOT_MS = 600;
const MAX_FAULT_PAUSE_MS = 2000; // between two faults
const POISON_SHARE = 0.2; // of the faults: caused by a request
const MAX_SWAP_PAUSE_MS = 8000; // between two versions
const SAMPLE_MS = 1000; // between two looks at memory, descriptors and processes
const STALL_SAMPLES = 3; // a request takes a second at most
const ORPHAN_SAMPLES = 5; // a process that the pool does not know at so many samples is an orphan
const MAX_GROWTH = 32 * 2 ** 20; // bytes of heap from the first quarter of the time to its end
const GONE_MS = 5000;

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc');

/**
 * Run a soak.
 *
 * @param {TinyShop} shop Its active version changes.
 * @param {object} options
 * @param {number} options.durationMs
 * @param {() => number} options.random From 0 to 1.
 * @param {(state: object) => void} [options.onLook] Called every second.
 * @returns {Promise<object>} The summary, as in docs/soak.json.
 */
export async function soak(shop, { durationMs, random, onLook = () => {} }) {
  const run = new Soak(shop, random);
  return run.run(durationMs, onLook);
}

class Soak {
  #shop;
  #random;
  #recorder = new Recorder();
  #ownershipCheck = new OwnershipCheck();
  #faultInjector;
  #env = { ...process.env, HOME: path.join(tmpdir(), `home-${randomUUID()}`) };
  #pool;
  #spawnedAt = new Map(); // by pid
  #bootTimes = []; // milliseconds
  #good = { sent: 0, answered: 0 };
  #nPoison = 0;
  #pending = new Set();
  #samples = [];
  #unknownProcesses = new Map(); // pid to the number of samples, for processes that the pool does not know
  #stalls = new Stalls();
  #stallTimes = []; // milliseconds, one per sample
  #lateness = []; // milliseconds after the deadline, of requests that were settled since the last sample
  #swaps = 0;
  #end = new AbortController();

  constructor(shop, random) {
    this.#shop = shop;
    this.#random = random;
    this.#faultInjector = new FaultInjector(random);
  }

  async run(durationMs, onLook) {
    const onError = (error) => this.#recorder.recordViolation('uncaught', String(error?.stack ?? error));
    process.on('uncaughtExceptionMonitor', onError).on('unhandledRejection', onError);
    const secondVersion = (await this.#shop.publisher('publish')).version;
    const before = countDescriptors();
    try {
      await this.#open();
      const start = performance.now();
      const tasks = [
        this.#sendRequests(),
        this.#injectFaults(),
        this.#swapVersions([secondVersion, this.#shop.current]),
        this.#takeSamples(start, durationMs, onLook),
      ];
      const endedEarly = (task) => task.then(() => Promise.reject(new Error('a task ended early')));
      await Promise.race([sleep(durationMs), ...tasks.map(endedEarly)]);
      this.#end.abort();
      await Promise.all(tasks);
      await Promise.all(this.#pending);
      return await this.#close(performance.now() - start, before);
    } finally {
      this.#end.abort();
      await this.#pool?.close();
      this.#stalls.stop();
      process.off('uncaughtExceptionMonitor', onError).off('unhandledRejection', onError);
    }
  }

  async #open() {
    this.#pool = createPool({
      size: SIZE,
      random: () => 0, // no wait before a restart
      breaker: { deaths: Infinity }, // at one death a second the breaker would be open all the time
      recycle: { requests: 500 },
      spawn: this.#faultInjector.spawn,
      onEvent: (event) => this.#onEvent(event),
      ...this.#shop.launch(this.#env),
    });
    await this.#pool.ready();
  }

  #onEvent({ type, pid }) {
    const now = performance.now();
    if (type === 'down') this.#recorder.recordDeath(now);
    if (type === 'spawned') this.#spawnedAt.set(pid, now);
    if (type === 'ready') this.#bootTimes.push(now - this.#spawnedAt.get(pid));
  }

  get #isOver() {
    return this.#end.signal.aborted;
  }

  /** Wait, but no longer than the soak lasts. */
  async #pause(ms) {
    await sleep(ms, undefined, { signal: this.#end.signal }).catch(() => {});
  }

  /** Send requests at a steady rate, without waiting for earlier ones. */
  async #sendRequests() {
    for (let number = 0; !this.#isOver; number += 1) {
      this.#send(clientRequest(this.#random, number));
      await this.#pause(1000 / RATE);
    }
  }

  #send(sent) {
    const task = this.#checkAnswer(sent).finally(() => this.#pending.delete(task));
    this.#pending.add(task);
  }

  async #checkAnswer({ request, outcomes, isGood, ...owner }) {
    const recorder = this.#recorder;
    const sent = performance.now();
    recorder.nRequests += 1;
    this.#good.sent += Number(isGood);
    let outcome = 'answered';
    try {
      const answer = await this.#pool.runPythonInference(request, { timeoutMs: TIMEOUT_MS });
      const violation = this.#ownershipCheck.violationOf(owner, answer);
      if (violation !== null) {
        const received = JSON.stringify(answer).slice(0, 300);
        recorder.recordViolation(violation, `${JSON.stringify(request)} got ${received}`);
      }
      this.#good.answered += Number(isGood);
    } catch (error) {
      outcome = reasonOf(error);
    }
    if (!outcomes.has(outcome)) {
      recorder.recordViolation('wrong_outcome', `${JSON.stringify(request).slice(0, 200)}: ${outcome}`);
    }
    const now = performance.now();
    this.#lateness.push(now - sent - TIMEOUT_MS);
    recorder.recordOutcome({ outcome, sent, now, timeoutMs: TIMEOUT_MS });
  }

  /** Inject one fault after another, a second apart on average. */
  async #injectFaults() {
    while (!this.#isOver) {
      await this.#pause(this.#random() * MAX_FAULT_PAUSE_MS);
      if (this.#random() < POISON_SHARE) this.#send(poisonRequest(this.#random, (this.#nPoison += 1)));
      else this.#faultInjector.inject(this.#targets);
    }
  }

  async #swapVersions(names) {
    while (!this.#isOver) {
      await this.#shop.publisher('activate', names[this.#swaps % names.length]);
      this.#swaps += 1;
      await this.#pause(this.#random() * MAX_SWAP_PAUSE_MS);
    }
  }

  async #takeSamples(start, durationMs, onLook) {
    while (!this.#isOver) {
      await this.#pause(SAMPLE_MS);
      this.#takeSample((performance.now() - start) / durationMs);
      const { nRequests, outcomes, violations } = this.#recorder;
      const [elapsedMs, answered] = [performance.now() - start, outcomes.answered ?? 0];
      onLook({ elapsedMs, asked: nRequests, answered, violations, strikes: this.#nFaults, swaps: this.#swaps });
    }
  }

  get #targets() {
    return this.#pool.stats().workers.filter(({ state }) => state === 'ready' || state === 'booting');
  }

  get #nFaults() {
    return Object.values(this.#faultInjector.counts).reduce((sum, count) => sum + count, this.#nPoison);
  }

  /** @param {number} share How much of the time has passed, from 0 to 1. */
  #takeSample(share) {
    collectGarbage();
    this.#checkLateness();
    const pids = this.#pool.stats().workers.map(({ pid }) => pid);
    this.#samples.push({
      share,
      heap: process.memoryUsage().heapUsed,
      rss: process.memoryUsage().rss,
      descriptors: countDescriptors(),
      workers: Math.max(0, ...pids.filter((pid) => pid !== null).map(residentBytes)),
    });
    this.#checkOrphans(new Set(pids.map(String)));
  }

  /** Check that requests were settled in time. The machine may stop this process, which delays it and what follows. */
  #checkLateness() {
    this.#stallTimes.push(this.#stalls.take());
    const allowedMs = LATE_MS + 2 * Math.max(...this.#stallTimes.slice(-STALL_SAMPLES));
    for (const ms of this.#lateness.splice(0)) {
      if (ms <= allowedMs) continue;
      this.#recorder.recordViolation('late', `${Math.round(ms)} ms past the deadline, of ${Math.round(allowedMs)}`);
    }
  }

  #checkOrphans(known) {
    const unknown = processesOf(this.#env.HOME).filter((pid) => !known.has(pid));
    this.#unknownProcesses = new Map(unknown.map((pid) => [pid, (this.#unknownProcesses.get(pid) ?? 0) + 1]));
    for (const [pid, count] of this.#unknownProcesses) {
      if (count === ORPHAN_SAMPLES) this.#recorder.recordViolation('orphan', `process ${pid}`);
    }
  }

  async #close(elapsedMs, before) {
    const recorder = this.#recorder;
    const stats = this.#pool.stats();
    await this.#pool.close();
    this.#checkLateness();
    const processes = () => processesOf(this.#env.HOME);
    const remaining = await eventually(() => assertEmpty(processes()), GONE_MS).catch(processes);
    for (const pid of remaining) recorder.recordViolation('orphan', `process ${pid} after the end`);
    const after = await eventually(() => atMost(countDescriptors(), before), GONE_MS).catch(countDescriptors);
    if (after > before) recorder.recordViolation('descriptors', `${before} before, ${after} after`);
    const nUnsettled = recorder.nRequests - recorder.nSettled;
    if (nUnsettled !== 0) recorder.recordViolation('unsettled', `${nUnsettled} requests`);
    return this.#summary(elapsedMs, stats, { before, after });
  }

  #summary(elapsedMs, stats, { before, after }) {
    const recorder = this.#recorder;
    const heap = this.#heap();
    if (heap.growth_bytes > MAX_GROWTH) {
      recorder.recordViolation('memory', `the heap grew by ${heap.growth_bytes} bytes`);
    }
    const [recovery, boot] = [percentiles(recorder.recoveries), percentiles(this.#bootTimes)];
    const allowedMs = RECOVERY_MS + 3 * Math.max(0, boot.p95 - BOOT_MS);
    if (recovery.max > allowedMs) {
      recorder.recordViolation('recovery', `${Math.round(recovery.max)} ms of ${Math.round(allowedMs)}`);
    }
    const most = (name) => Math.max(0, ...this.#samples.map((sample) => sample[name]));
    const byCount = ([, one], [, other]) => other - one;
    return {
      seconds: Math.round(elapsedMs / 1000),
      requests: recorder.nRequests,
      outcomes: Object.fromEntries(Object.entries(recorder.outcomes).sort(byCount)),
      answered_share_of_good: this.#good.answered / Math.max(1, this.#good.sent),
      latency_ms: percentiles(recorder.latencies),
      past_deadline_ms: percentiles(recorder.overruns),
      most_held_up_ms: Math.round(Math.max(...this.#stallTimes)),
      'harm': { ...this.#faultInjector.counts, poison: this.#nPoison }, // the names in docs/soak.json stay
      boot_ms: boot,
      recovery_ms: recovery,
      versions: { activated: this.#swaps, answered: this.#ownershipCheck.versions },
      workers: {
        started: stats.spawned,
        deaths: stats.deaths,
        recycled: stats.recycled,
        most_rss_bytes: most('workers'),
      },
      dropped_lines: { banner: stats.banner, stray: stats.stray, late: stats.late },
      memory: { ...heap, most_rss_bytes: most('rss') },
      descriptors: { before, most: most('descriptors'), after },
      violations: recorder.violations,
      'words': recorder.messages,
    };
  }

  /** Return the heap after a quarter of the time, when every path has been taken, and at the end. */
  #heap() {
    const early = this.#samples.find(({ share }) => share >= 0.25) ?? this.#samples[0];
    const last = this.#samples.at(-1);
    return { early_heap_bytes: early.heap, last_heap_bytes: last.heap, growth_bytes: last.heap - early.heap };
  }
}

function countDescriptors() {
  return readdirSync('/proc/self/fd').length;
}

function assertEmpty(list) {
  if (list.length > 0) throw new Error('the list is not empty');
  return list;
}

function atMost(value, limit) {
  if (value > limit) throw new Error('the value is too large');
  return value;
}
