/**
 * Loads a pool of workers at half of what it sustains while versions change, and watches who serves what.
 *
 * The first line of stdin holds the options. Then the script says `{"loading": …}`; each further line `{"version", "at"}` names a version that
 * was activated at a moment, in milliseconds since 1970, and is answered by how long its uptake took. At the end of input it prints the result.
 */
import { performance } from 'node:perf_hooks';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

import { createPool } from '../../backend/src/services/pythonInvoker.js';

const CLIENTS_A_WORKER = 8; // enough to keep each worker busy
const TICK_MS = 5;
const LOOK_MS = 20; // between two looks at the workers' versions
const PLENTY_MS = 30_000;

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const next = async () => JSON.parse((await lines.next()).value ?? 'null');
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

const { size, python, env, requests, seconds } = await next();
const pool = createPool({ size, python, env });
await pool.ready();
while (pool.stats().workers.some(({ state }) => state !== 'ready')) await sleep(LOOK_MS);

const lists = new Map(); // of each version and request: its one list
const result = { asked: 0, failed: {}, mixed: 0, versions: [] };

/** Ask one request; a second list of the same version and request is a mixed answer. */
async function ask(number, timeoutMs) {
  const request = requests[number % requests.length];
  result.asked += 1;
  try {
    const answer = await pool.runPythonInference(request, timeoutMs ? { timeoutMs } : {});
    const key = `${answer.model_version} ${number % requests.length}`;
    const list = JSON.stringify(answer.items.map(({ productId }) => productId));
    if ((lists.get(key) ?? list) !== list) result.mixed += 1;
    lists.set(key, list);
    if (!result.versions.includes(answer.model_version)) result.versions.push(answer.model_version);
  } catch (error) {
    if (error.name !== 'PythonBridgeError') throw error;
    result.failed[error.reason] = (result.failed[error.reason] ?? 0) + 1;
  }
}

/** The requests that the pool answers in a millisecond with as many clients as keep it busy. */
async function measured() {
  let number = 0;
  const start = performance.now();
  const client = async () => {
    while (performance.now() - start < 1000 * seconds) await ask(number++, PLENTY_MS);
  };
  await Promise.all(Array.from({ length: size * CLIENTS_A_WORKER }, client));
  return number / (performance.now() - start);
}

await measured(); // a warm-up
const sustained = await measured();
Object.assign(result, { asked: 0, failed: {}, mixed: 0, sustained: 1000 * sustained });

let isOver = false;
const pending = [];
const loading = (async () => {
  const start = performance.now();
  while (!isOver) {
    const due = Math.floor(((performance.now() - start) * sustained) / 2); // whether or not earlier ones are answered
    while (pending.length < due) pending.push(ask(pending.length));
    await sleep(TICK_MS);
  }
})();
say({ loading: 500 * sustained });
for (;;) {
  const waiting = Date.now();
  const line = await next();
  if (!line) break;
  if (line.at < waiting) throw new Error('A version should be activated while this script waits for it: its uptake would count earlier time.');
  while (!pool.stats().workers.every(({ version }) => version === line.version)) {
    await Promise.allSettled(pool.stats().workers.map(() => pool.runPythonInference({ op: 'ping' }, { timeoutMs: PLENTY_MS })));
    await sleep(LOOK_MS);
  }
  const ms = Date.now() - line.at;
  await sleep(1000 * seconds); // before the reply, so that the next version is not activated meanwhile
  say({ ms });
}
isOver = true;
await loading;
await Promise.all(pending);
say({ ...result, deaths: pool.stats().deaths });
await pool.close();
