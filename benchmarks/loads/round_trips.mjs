/**
 * Sends requests to workers through pythonInvoker and times the answers.
 *
 * Each line of stdin is a command, and each gets one line on stdout, in order; pools are closed at the end of input. The commands: `open` a
 * named pool, `load` it with a number of requests in flight, `ping` and `stats`.
 */
import { performance } from 'node:perf_hooks';
import { createInterface } from 'node:readline';

import { createPool } from '../../backend/src/services/pythonInvoker.js';

const TIMEOUT_MS = 30_000; // of a request that waits behind 63 others; its time is measured, so it must not fail
const NEVER = { requests: Number.MAX_SAFE_INTEGER, bytes: Number.MAX_SAFE_INTEGER };
const SAME = 0.5; // share of items in two lists of one user; lists of two users have few items in common

const pools = new Map();
const lists = new Map(); // the first list of each user

const commands = {
  async open({ pool, ...options }) {
    pools.set(pool, createPool({ recycle: NEVER, ...options }));
    await pools.get(pool).ready();
    return {};
  },

  /** Keep `inFlight` requests in flight until `count` requests were sent or `seconds` are over. */
  async load({ pool, requests, inFlight, count = Infinity, seconds = Infinity }) {
    const results = { ms: [], failed: {}, crossed: 0 };
    const started = performance.now();
    let next = 0;
    const sendAll = async () => {
      while (next < count && performance.now() - started < 1000 * seconds) {
        const id = next++;
        await once(pools.get(pool), { ...requests[id % requests.length], id }, results);
      }
    };
    await Promise.all(Array.from({ length: inFlight }, sendAll));
    return { ...results, seconds: (performance.now() - started) / 1000, asked: next };
  },

  async ping({ pool, count }) {
    const ms = [];
    for (let n = 0; n < count; n += 1) {
      const since = performance.now();
      await pools.get(pool).runPythonInference({ op: 'ping' }, { timeoutMs: TIMEOUT_MS });
      ms.push(performance.now() - since);
    }
    return { ms };
  },

  async stats({ pool }) {
    const worker = await pools.get(pool).runPythonInference({ op: 'stats' }, { timeoutMs: TIMEOUT_MS });
    return { worker, pool: pools.get(pool).stats() };
  },
};

async function once(pool, request, results) {
  const since = performance.now();
  try {
    const answer = await pool.runPythonInference(request, { timeoutMs: TIMEOUT_MS });
    results.ms.push(performance.now() - since);
    if (!belongs(answer, request)) results.crossed += 1;
  } catch (error) {
    if (error.name !== 'PythonBridgeError') throw error;
    results.failed[error.reason] = (results.failed[error.reason] ?? 0) + 1;
  }
}

/** Whether an answer belongs to its request: by id, user, length, and the first list of this user. */
function belongs(answer, request) {
  const items = answer.items.map(({ productId }) => productId);
  const before = lists.get(request.user_id) ?? items;
  lists.set(request.user_id, before);
  const common = items.filter((item) => before.includes(item)).length;
  const isAll = answer.id === request.id && answer.user_id === request.user_id && items.length === request.limit;
  return isAll && common >= SAME * items.length;
}

for await (const line of createInterface({ input: process.stdin })) {
  const { command, ...rest } = JSON.parse(line);
  try {
    process.stdout.write(`${JSON.stringify(await commands[command](rest))}\n`);
  } catch (error) {
    process.stdout.write(`${JSON.stringify({ error: `${error.reason ?? error.name}: ${error.message} ${error.stderrTail ?? ''}`.trim() })}\n`);
  }
}
await Promise.all([...pools.values()].map((pool) => pool.close()));
