/** Which failures pause the client: those that every request would meet, not those of a single request. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { RecommenderClient } from '../../src/services/recommendations/client.js';
import { createPool, PythonBridgeError, runPythonInference } from '../../src/services/pythonInvoker.js';
import { CUE, double, faultTest } from '../harness.js';
import { FakeClock, fakeProcesses, settled } from '../fakes.js';

const LASTING = ['usage', 'model_refused', 'no_model', 'model_mismatch', 'settings'];
const PASSING = ['database_unavailable', 'overloaded']; // which a single request must not cause either
const ANSWERED = { items: [{ productId: 1, score: 0.5 }] };
const STATUSES = [2, 64, 69, 70, 75, 77, 78, 126, 127];
const metrics = { compute: () => {} };

/** Return a client of a pool with one fake worker, and functions that let the worker answer. */
function stage() {
  const clock = new FakeClock();
  const processes = fakeProcesses();
  const plan = async () => ({ command: 'python', args: [], cwd: '/', env: {} });
  const seams = { clock, random: () => 0.5, memoryOf: () => 0, fingerprint: () => '', plan };
  const pool = createPool({ size: 1, ...seams, ...processes });
  const client = new RecommenderClient({ python: pool, timeoutMs: 800, metrics });
  /** Send a user's request, let the worker answer, and return the outcome. */
  const request = async (user, answer) => {
    const outcome = client.request({ user_id: user, limit: 30 }).then(() => 'ok', ({ reason }) => reason);
    await settled();
    answer(processes.made.at(-1));
    return outcome;
  };
  const end = async () => {
    for (const worker of processes.made) worker.on('input-ended', () => worker.exit(0));
    const closed = pool.close();
    await clock.advance(5000);
    await closed;
  };
  return { client, pool, clock, request, end, made: processes.made };
}

async function ready() {
  const staged = stage();
  await settled();
  staged.made[0].ready();
  await staged.pool.ready();
  return staged;
}

const fine = (worker) => worker.answer(ANSWERED);
const fails = (code) => (worker) =>
  worker.say({ ok: false, id: worker.requests.shift().id, error: { code, message: 'As the test wants it.', retryable: false } });

// Requests in a row: their users, and whether each is answered; then whether the client pauses.
const ROWS = [
  ['one user', [[1, false]], false],
  ['one user, again and again', Array.from({ length: 10 }, () => [1, false]), false],
  ['two users in turn', Array.from({ length: 10 }, (_, n) => [n % 2, false]), false],
  ['many users, with answers in between', Array.from({ length: 30 }, (_, n) => [n, n % 3 === 2]), false],
  ['three users in a row', [[1, false], [2, false], [3, false]], true],
  ['three users in a row after others were answered', [[7, true], [8, true], [1, false], [2, false], [3, false]], true],
  ['three users, one of them twice', [[1, false], [2, false], [1, false], [3, false]], true],
];

for (const code of [...LASTING, ...PASSING]) {
  for (const [who, requests, isPaused] of ROWS) {
    test(`${code} in the answer to ${who} ${isPaused ? 'pauses' : 'does not pause'} the client`, async () => {
      const staged = await ready();
      for (const [user, isFine] of requests) {
        assert.equal(staged.client.isPaused, false);
        assert.equal(await staged.request(user, isFine ? fine : fails(code)), isFine ? 'ok' : code);
      }

      assert.equal(staged.client.isPaused, isPaused);
      assert.deepEqual([staged.made.length, staged.pool.stats().refused, staged.pool.stats().deaths], [1, null, 0]);
      await staged.end();
    });
  }
}

for (const code of LASTING) {
  test(`${code} at the start pauses the client at once`, async () => {
    const staged = stage();
    await settled();
    const refuse = (worker) => {
      worker.say({ ok: false, error: { code, message: 'As the test wants it.', retryable: false } });
      worker.exit(78);
    };

    assert.equal(await staged.request(1, refuse), code);
    assert.deepEqual([staged.client.isPaused, staged.pool.stats().refused], [true, code]);
    await staged.end();
  });
}

test('different reasons are no streak', async () => {
  const staged = await ready();
  for (const [user, code] of [[1, 'settings'], [2, 'settings'], [3, 'no_model'], [4, 'settings'], [5, 'settings']]) {
    await staged.request(user, fails(code));
  }

  assert.equal(staged.client.isPaused, false);
  await staged.end();
});

test('repeated requests for the same product count once', async () => {
  const staged = await ready();
  for (const item of [5, 5, 5, 5]) {
    const outcome = staged.client.request({ op: 'similar', item_id: item, limit: 30 }).catch(({ reason }) => reason);
    await settled();
    fails('settings')(staged.made[0]);
    assert.equal(await outcome, 'settings');
  }

  assert.equal(staged.client.isPaused, false);
  await staged.end();
});

for (const status of STATUSES) {
  test(`a ready worker that exits with ${status} during a request is replaced`, async () => {
    const staged = await ready();
    const reason = await staged.request(1, (worker) => worker.exit(status));
    await staged.clock.advance(100);

    assert.notEqual(reason, 'ok');
    assert.deepEqual([staged.client.isPaused, staged.pool.stats().refused, staged.pool.stats().deaths], [false, null, 1]);
    assert.equal(staged.made.length, 2);
    staged.made[1].ready();
    await settled();
    assert.equal(await staged.request(2, fine), 'ok');
    await staged.end();
  });
}

for (const [who, failure, isPaused] of [
  ['a pool without workers', new PythonBridgeError('breaker_open', 'Death after death.'), true],
  ['no interpreter', new PythonBridgeError('no_python', 'There is none.'), true],
  ['a full queue', new PythonBridgeError('overloaded', '64 requests wait.'), true],
  ['one request’s death', new PythonBridgeError('crashed', 'ended by SIGSEGV'), false],
  ['one request’s time', new PythonBridgeError('deadline', 'Received: no answer.'), false],
]) {
  test(`a failure on the Node side, ${who}, ${isPaused ? 'pauses' : 'does not pause'} the client`, async () => {
    const client = new RecommenderClient({ python: { runPythonInference: async () => { throw failure; } }, timeoutMs: 800, metrics });

    await assert.rejects(client.request({ user_id: 1 }), failure);
    assert.equal(client.isPaused, isPaused);
  });
}

for (const [what, fault, isAbout] of [
  ['in the answer', 'fail:settings', true],
  ['before the request was read', 'fail-unread:settings', false],
  ['by the exit status alone', 'leave:78', false],
]) {
  faultTest(`one-shot process: a lasting code ${what} concerns ${isAbout ? 'the request' : 'the start'}`, async ({ env }) => {
    const failure = await runPythonInference({ user_id: CUE }, { ...double(fault, { env }), timeoutMs: 30_000 }).catch((error) => error);

    assert.deepEqual([failure.reason, failure.aboutRequest, failure.isLasting], ['settings', isAbout, !isAbout]);
  });
}
