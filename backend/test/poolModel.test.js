/** The pool under random actions in random order, and what must always hold. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { createPool, PythonBridgeError } from '../src/services/pythonInvoker.js';
import { FakeClock, fakeProcesses, seeded, settled } from './fakes.js';

const SEEDS = 60;
const STEPS = 80;
const SIZE = 2;

/** Every action of a worker by name. */
const ACTIONS = {
  ready: (worker) => worker.ready(),
  answer: (worker) => worker.requests.length > 0 && worker.answer(),
  answerAll: (worker) => {
    while (worker.requests.length > 0) worker.answer();
  },
  refuse: (worker) => {
    const request = worker.requests.shift();
    if (request) worker.say({ ok: false, id: request.id, error: { code: 'overloaded', message: 'Busy.', retryable: true } });
  },
  confuse: (worker) => worker.requests.length > 0 && worker.answer({ user_id: 'another user' }),
  reverse: (worker) => worker.requests.reverse(),
  stray: (worker) => worker.say({ ok: true, id: 'unknown', user_id: 1 }),
  babble: (worker) => worker.say('not a word of JSON\n'),
  half: (worker) => worker.say('{"ok":'),
  die: (worker) => worker.exit(1),
  killed: (worker) => worker.exit(null, 'SIGKILL'),
  leave: (worker) => worker.exit(0),
  stopped: (worker) => worker.exit(null, 'SIGTERM'),
  misconfigured: (worker) => worker.exit(78),
  deaf: (worker) => {
    worker.isDeaf = true;
  },
  closeStdout: (worker) => worker.stdout.end(),
};
const LIKELY = ['ready', 'ready', 'ready', 'answer', 'answer', 'answerAll', 'answerAll']; // besides each action once

test(`in ${SEEDS} random runs every request is settled once and in time`, async () => {
  const seen = new Set();
  for (let seed = 1; seed <= SEEDS; seed += 1) {
    for (const outcome of await runOnce(seed)) seen.add(outcome);
  }

  for (const reason of [
    'answered',
    'deadline',
    'crashed',
    'overloaded',
    'bad_answer',
    'crossed_answer',
    'breaker_open',
    'settings',
    'closed',
  ]) {
    assert.ok(seen.has(reason), `no run had the outcome ${reason}`);
  }
});

async function runOnce(seed) {
  const random = seeded(seed);
  const pick = (list) => list[Math.floor(random() * list.length)];
  const clock = new FakeClock();
  const { made, ...processes } = fakeProcesses();
  const files = { state: 0 };
  const plan = async () => ({ command: 'python', args: [], cwd: '/', env: {} });
  const seams = { clock, random, memoryOf: () => 0, plan, fingerprint: () => String(files.state), ...processes };
  const pool = createPool({ size: SIZE, depth: 1 + (seed % 3), queue: { jobs: 5 }, recycle: { requests: 20 }, ...seams });
  const outcomes = [];

  const ask = () => {
    const user = Math.floor(random() * 1000);
    const deadline = clock.now() + 50 + random() * 1000;
    const note = (outcome) => {
      assert.ok(clock.now() <= deadline + 0.001, `seed ${seed}: settled after its deadline`);
      outcomes.push(outcome);
    };
    const pending = pool.runPythonInference({ user_id: user }, { timeoutMs: deadline - clock.now() });
    return pending.then(
      (answer) => note(answer.user_id === user ? 'answered' : assert.fail(`seed ${seed}: an answer for another user`)),
      (failure) => note(failure instanceof PythonBridgeError ? failure.reason : assert.fail(failure.stack)),
    );
  };
  const step = async () => {
    const worker = pick(made.filter(({ hasEnded }) => !hasEnded));
    const chance = random();
    if (chance < 0.35) requests.push(ask());
    else if (chance < 0.5) await clock.advance(random() * 400);
    else if (chance < 0.52) await clock.advance(40_000);
    else if (chance < 0.54) files.state += 1;
    else if (worker !== undefined) ACTIONS[random() < 0.7 ? pick(LIKELY) : pick(Object.keys(ACTIONS))](worker);
    if (random() < 0.7) await settled();
  };

  const requests = [];
  for (let number = 0; number < STEPS; number += 1) {
    await step();
    const { workers, queued } = pool.stats();
    assert.ok(workers.filter(({ state }) => state === 'booting' || state === 'ready').length <= SIZE + 1, `seed ${seed}: too many workers`);
    assert.ok(queued <= 5 + 3 * SIZE, `seed ${seed}: too many wait`);
  }
  const closed = pool.close();
  requests.push(ask());
  await clock.advance(5000);
  await Promise.all([closed, ...requests]);

  assert.equal(outcomes.length, requests.length);
  assert.equal(clock.timers, 0, `seed ${seed}: a timer is left`);
  assert.ok(
    made.every(({ hasEnded }) => hasEnded),
    `seed ${seed}: a process is left`,
  );
  return outcomes;
}
