/** Helpers of the bridge's tests: options for fault_worker.py, and the invariants that hold after every fault. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { createInterface } from 'node:readline/promises';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { PythonBridgeError } from '../src/services/pythonInvoker.js';
import { findPython } from '../src/services/python/launch.js';

export const REPOSITORY = fileURLToPath(new URL('../../', import.meta.url));
export const PYTHON = await findPython({ root: REPOSITORY, environ: process.env });
export const CUE = 'cue';

const PARENT = fileURLToPath(new URL('parent.js', import.meta.url));
const DOUBLE = fileURLToPath(new URL('fault_worker.py', import.meta.url));
const TEST_TIMEOUT_MS = 240_000; // twenty times the longest test on an idle machine
const TRACES_GONE_MS = 2000; // the system reports the end of a group late
const LATE_MS = 150; // I1: after the deadline
const ORPHANS_GONE_MS = 1000;
const BUSY_TICKS = 10;
const BUSY_WITHIN_MS = 30_000;

let lagOfTest = () => 0; // milliseconds that this process had to wait for a processor, in the running fault test

/** Return options that launch fault_worker.py with a fault. */
export function double(fault, { whileFile, env = process.env } = {}) {
  const until = whileFile === undefined ? [] : ['--while', whileFile];
  return { python: PYTHON, script: DOUBLE, scriptArgs: fault ? ['--fault', fault, ...until] : [], env };
}

/**
 * Run a test and check the invariants: nothing is thrown outside a promise (I4), no process is left (I3), and
 * descriptors, listeners and timers are as before (I7).
 *
 * @param {string} name
 * @param {(environment: {env: object, lag: () => number}) => Promise<void>} scenario
 *   Starts processes with `env`, by which they are found.
 */
export function faultTest(name, scenario) {
  test(name, { timeout: TEST_TIMEOUT_MS }, async () => {
    const thrown = [];
    const note = (error) => thrown.push(error);
    process.on('uncaughtExceptionMonitor', note).on('unhandledRejection', note);
    const env = { ...process.env, HOME: path.join(tmpdir(), `home-${randomUUID()}`) };
    const before = footprint();
    const delay = monitorEventLoopDelay({ resolution: 5 });
    delay.enable();
    lagOfTest = () => delay.max / 1e6;
    try {
      await scenario({ env, lag: lagOfTest });
      delay.disable();
      await eventually(() => assert.deepEqual(processesOf(env.HOME), []), TRACES_GONE_MS);
      await eventually(() => assert.deepEqual(footprint(), before), TRACES_GONE_MS);
      assert.deepEqual(thrown, []);
    } finally {
      lagOfTest = () => 0;
      delay.disable();
      process.off('uncaughtExceptionMonitor', note).off('unhandledRejection', note);
    }
  });
}

/**
 * Return the failure with which a promise rejects, and check that it does so by its deadline (I1). In a fault test the
 * time that this process had to wait for a processor does not count.
 */
export async function failureOf(promise, { by = Infinity, lag = lagOfTest } = {}) {
  const start = performance.now();
  const failure = await promise.then(
    (answer) => assert.fail(`should have failed, answered ${JSON.stringify(answer).slice(0, 200)}`),
    (error) => error,
  );
  const took = performance.now() - start;
  assert.ok(failure instanceof PythonBridgeError, failure.stack);
  assert.ok(took <= by + LATE_MS + lag(), `settled after ${took} ms`);
  return failure;
}

/** Return the milliseconds that this process had to wait for a processor in the running fault test. */
export function lagNow() {
  return lagOfTest();
}

/** Check that an answer of fault_worker.py is for this user (I6). */
export function assertFor(user, answer) {
  assert.deepEqual([answer.ok, answer.user_id, answer.items[0].productId], [true, user, 10 * user]);
}

/** Repeat a check until it does not throw. */
export async function eventually(check, withinMs = 5000) {
  const end = performance.now() + withinMs;
  for (;;) {
    try {
      return await check();
    } catch (error) {
      if (performance.now() > end) throw error;
    }
    await sleep(5);
  }
}

/** Return the running processes whose environment has this HOME, and zombies of this process. */
export function processesOf(home) {
  return readdirSync('/proc').filter((pid) => /^\d+$/.test(pid) && (isZombieOfOurs(pid) || environmentOf(pid).includes(`HOME=${home}\0`)));
}

/** Wait until a process has used a tenth of a second of CPU time. */
export async function untilBusy(pid) {
  const before = ticksOf(pid);
  await eventually(() => assert.ok(ticksOf(pid) - before >= BUSY_TICKS, `process ${pid} should compute`), BUSY_WITHIN_MS);
}

/** Return the CPU time of a process in hundredths of a second. */
function ticksOf(pid) {
  const [user, system] = statusOf(pid).slice(11, 13);
  return Number(user) + Number(system);
}

/** Whether a process is running, and no zombie. */
export function isAlive(pid) {
  return !['', 'Z'].includes(statusOf(pid)[0] ?? '');
}

/** Return the running processes that a process has started. */
export function childrenOf(pid) {
  const children = readdirSync(`/proc/${pid}/task`).flatMap((thread) => read(`/proc/${pid}/task/${thread}/children`).split(' '));
  return children.filter(Boolean).map(Number).filter(isAlive);
}

function isZombieOfOurs(pid) {
  const [state, parent] = statusOf(pid);
  return state === 'Z' && Number(parent) === process.pid;
}

function statusOf(pid) {
  return read(`/proc/${pid}/stat`)
    .replace(/^.*\) /s, '')
    .split(' ');
}

function environmentOf(pid) {
  return read(`/proc/${pid}/environ`);
}

function read(file) {
  try {
    return readFileSync(file, 'latin1');
  } catch {
    return ''; // it has just ended
  }
}

function footprint() {
  return {
    descriptors: readdirSync('/proc/self/fd').length,
    listeners: process.eventNames().map((name) => [name, process.listenerCount(name)]),
    timers: process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length,
  };
}

/** Start parent.js, and return the process, a function that reads its next line, and its first line. */
export async function startParent(args, env, command = [process.execPath]) {
  const parent = spawn(command[0], [...command.slice(1), PARENT, ...args], { env, stdio: ['ignore', 'pipe', 'inherit'] });
  const lines = createInterface({ input: parent.stdout })[Symbol.asyncIterator]();
  const next = async () => JSON.parse((await lines.next()).value);
  return { parent, next, first: await next() };
}

/** Check that processes whose backend has just ended end within a second. */
export async function assertGone(pids) {
  await eventually(() => assert.deepEqual(pids.filter(isAlive), []), ORPHANS_GONE_MS);
}
