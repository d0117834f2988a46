/** Code that the declarations accept or refuse. contract.test.js compiles it; nothing runs it. */
import { createPool, PythonBridgeError, runPythonInference } from '../src/services/pythonInvoker.js';
import type { FailureReason, Id, Item, Recommendation } from '../src/services/pythonInvoker.js';

const pool = createPool({ size: 2, depth: 2, scoringThreads: 1, onEvent: ({ type, failure }) => [type, failure?.reason] });

export async function answered(): Promise<Id[]> {
  const { items, runs, source, model_version: version } = await pool.runPythonInference({ user_id: 7, limit: 3 }, { timeoutMs: 800 });
  const best: Item | undefined = items[0];
  const share: number | undefined = runs[0]?.metrics?.map10;
  const known: 'model' | 'fold_in' | 'item_cf' | 'popularity' | 'together' | 'trending' | 'again' = source;
  const pong = await pool.runPythonInference({ op: 'ping' });
  const { rss_bytes: bytes, refused } = await pool.runPythonInference({ op: 'stats', id: { any: 'id' } });
  const facts: [number, string, number | null, string | undefined] = [pong.protocol, version, bytes, refused?.message];
  return [best?.productId ?? 0, share ?? 0, known, ...facts.map(String)];
}

export const pending: Promise<Recommendation>[] = [
  runPythonInference({ user_id: 2n ** 60n, exclude: [1, '2', 3n], model: 'ENCM', context: { device_type: 'mobile', season: null } }),
  runPythonInference({ interactions: [{ item_id: 1n, event: 'view' }], filters: { price_max: 3, in_stock: true }, candidates: null }),
  runPythonInference({ op: 'similar', item_id: 112, user_id: null }, { timeoutMs: 800, python: 'python3' }),
  runPythonInference({ op: 'together', item_ids: [112, 3n, 'A'] }),
  runPythonInference({ op: 'trending', limit: 5 }),
  runPythonInference({ op: 'again', user_id: 7, repeat: 'allow' }),
];

export function reasonOf(error: unknown): FailureReason | null {
  return error instanceof PythonBridgeError ? (error.error?.field === 'limit' ? 'invalid_request' : error.reason) : null;
}

export const made = new PythonBridgeError('crashed', 'ended by SIGKILL', { signal: 'SIGKILL', aboutRequest: true });

export const refused = [
  // @ts-expect-error a misspelt field
  () => pool.runPythonInference({ user_id: 7, limt: 3 }),
  // @ts-expect-error a limit is no text
  () => pool.runPythonInference({ user_id: 7, limit: '3' }),
  // @ts-expect-error an unknown model
  () => pool.runPythonInference({ user_id: 7, model: 'SVD' }),
  // @ts-expect-error the budget follows from timeoutMs
  () => pool.runPythonInference({ user_id: 7, budget_ms: 800 }),
  // @ts-expect-error `similar` starts from an item
  () => pool.runPythonInference({ op: 'similar', user_id: 7 }),
  // @ts-expect-error `together` starts from items
  () => pool.runPythonInference({ op: 'together', item_id: 7 }),
  // @ts-expect-error no model is chosen for `trending`
  () => pool.runPythonInference({ op: 'trending', model: 'BMF' }),
  // @ts-expect-error no model is chosen for `again`
  () => pool.runPythonInference({ op: 'again', model: 'BMF' }),
  // @ts-expect-error an event has a name
  () => pool.runPythonInference({ interactions: [{ item_id: 1 }] }),
  // @ts-expect-error one process for one request has no ping
  () => runPythonInference({ op: 'ping' }),
  // @ts-expect-error an answer has no such field
  async () => (await runPythonInference({ user_id: 7 })).itms,
  // @ts-expect-error the reasons are a closed set
  (): FailureReason => 'tired',
  // @ts-expect-error so they are for a failure that is made
  () => new PythonBridgeError('tired', 'asleep'),
];
