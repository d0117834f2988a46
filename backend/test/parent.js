/**
 * A backend process for tests of its end: `parent.js idle | busy | load | descriptors [OTHER]`.
 *
 * OTHER is JSON: `launch`, how to launch another script than fault_worker.py, and `user`, who keeps it busy.
 */
import { closeSync, openSync } from 'node:fs';

import { createPool, runPythonInference } from '../src/services/pythonInvoker.js';
import { CUE, double } from './harness.js';

const other = process.argv[3] === undefined ? null : JSON.parse(process.argv[3]);
const MANY = 100;
const PLENTY_MS = 20_000; // where the time does not matter
const say = (document) => process.stdout.write(`${JSON.stringify(document)}\n`);
const outcomeOf = (pending) =>
  pending.then(
    ({ user_id: user }) => user,
    ({ reason }) => reason,
  );

const MODES = {
  /** Two idle workers. */
  async idle() {
    await started('', 2);
  },

  /** A worker that computes; at SIGUSR2 the backend exits at once. */
  async busy() {
    process.on('SIGUSR2', () => process.exit(0));
    const pool = await started('hang', 1);
    await pool.runPythonInference({ user_id: other?.user ?? CUE }, { timeoutMs: 60_000 });
  },

  /** Eight clients; a line says when many requests were answered. SIGTERM closes the pool. */
  async load() {
    const pool = await started('', 2);
    const outcomes = {};
    let isOver = false;
    const client = async () => {
      while (!isOver) {
        const outcome = await outcomeOf(pool.runPythonInference({ user_id: 7 }, { timeoutMs: PLENTY_MS }));
        outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
        if (outcome === 7 && outcomes[7] === MANY) say(MANY);
        isOver ||= outcome === 'closed';
      }
    };
    process.on('SIGTERM', () => pool.close());
    await Promise.all(Array.from({ length: 8 }, client));
    await pool.close();
    say(outcomes);
  },

  /** All descriptors are used, and later closed. */
  async descriptors() {
    const pool = createPool({ size: 1, random: () => 0.5, ...double('') });
    await pool.ready();
    const taken = [];
    try {
      for (;;) taken.push(openSync('/dev/null'));
    } catch {
      // the limit
    }
    const oneShot = await outcomeOf(runPythonInference({ user_id: 1 }, double('')));
    process.kill(pool.stats().workers[0].pid, 'SIGKILL');
    const meanwhile = await outcomeOf(pool.runPythonInference({ user_id: 2 }, { timeoutMs: 300 }));
    for (const descriptor of taken) closeSync(descriptor);
    const after = await outcomeOf(pool.runPythonInference({ user_id: 3 }, { timeoutMs: 20_000 }));
    await pool.close();
    say({ oneShot, meanwhile, after, again: await outcomeOf(runPythonInference({ user_id: 4 }, { ...double(''), timeoutMs: 20_000 })) });
  },
};

async function started(fault, size) {
  const pool = createPool({ size, ...(other?.launch ?? double(fault)) });
  await pool.ready();
  const isComplete = () => pool.stats().workers.every(({ state }) => state === 'ready');
  while (!isComplete()) await new Promise((resolve) => setTimeout(resolve, 5));
  say(pool.stats().workers.map(({ pid }) => pid));
  return pool;
}

await MODES[process.argv[2]]();
