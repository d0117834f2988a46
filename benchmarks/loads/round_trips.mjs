/**
 * Asks workers through pythonInvoker and says how long each answer took.
 *
 * A command a line on stdin, an answer a line on stdout, one after another; pools are closed at the end of input. The commands:
 * `open` a pool of a name; `load` it with requests, so many in flight; `ping` and `stats` it.
 */
import { performance } from 'node:perf_hooks';
import { createInterface } from 'node:readline';

import { createPool } from '../../backend/src/services/pythonInvoker.js';

const TIMEOUT_MS = 30_000; // of a request that waits behind 63 others: what is measured is how long it takes, not whether it is in time
const NEVER = { requests: Number.MAX_SAFE_INTEGER, bytes: Number.MAX_SAFE_INTEGER };
const SAME = 0.5; // of two lists of one customer; two customers have a few items in common at most

const pools = new Map();
const lists = new Map(); // what each customer was answered when she first asked

const commands = {
  async open({ pool, ...options }) {
    pools.set(pool, createPool({ recycle: NEVER, ...options }));
    await pools.get(pool).ready();
    return {};
  },

  /** Let `inFlight` askers ask, each as soon as it is answered, until there were `count` requests or `seconds` are over. */
  async load({ pool, requests, inFlight, count = Infinity, seconds = Infinity }) {
    const told = { ms: [], failed: {}, crossed: 0 };
    const started = performance.now();
    let next = 0;
    const ask = async () => {
      while (next < count && performance.now() - started < 1000 * seconds) {
        const id = next++;
        await once(pools.get(pool), { ...requests[id % requests.length], id }, told);
      }
    };
    await Promise.all(Array.from({ length: inFlight }, ask));
    return { ...told, seconds: (performance.now() - started) / 1000, asked: next };
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

async function once(pool, request, told) {
  const since = performance.now();
  try {
    const answer = await pool.runPythonInference(request, { timeoutMs: TIMEOUT_MS });
    told.ms.push(performance.now() - since);
    if (!isHers(answer, request)) told.crossed += 1;
  } catch (error) {
    if (error.name !== 'PythonBridgeError') throw error;
    told.failed[error.reason] = (told.failed[error.reason] ?? 0) + 1;
  }
}

/** Whether an answer belongs to its request: by its mark, its user, its length, and what she was answered before. */
function isHers(answer, request) {
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
