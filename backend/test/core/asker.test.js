/** What Python's failures mean for those who have not asked yet: one request's answer is about that request, a start is about all. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Asker } from '../../src/services/lists/asker.js';
import { createPool, PythonBridgeError, runPythonInference } from '../../src/services/pythonInvoker.js';
import { CUE, double, faultTest } from '../harness.js';
import { FakeClock, fakeProcesses, settled } from '../fakes.js';

const LASTING = ['usage', 'model_refused', 'no_model', 'model_mismatch', 'settings'];
const PASSING = ['database_unavailable', 'overloaded']; // what no single request should bring about either
const ANSWERED = { items: [{ productId: 1, score: 0.5 }] };
const STATUSES = [2, 64, 69, 70, 75, 77, 78, 126, 127];
const metrics = { compute: () => {} };

/** Return an asker of a pool with one fake worker, and what lets that answer. */
function stage() {
  const clock = new FakeClock();
  const processes = fakeProcesses();
  const plan = async () => ({ command: 'python', args: [], cwd: '/', env: {} });
  const seams = { clock, random: () => 0.5, memoryOf: () => 0, fingerprint: () => '', plan };
  const pool = createPool({ size: 1, ...seams, ...processes });
  const asker = new Asker({ python: pool, timeoutMs: 800, metrics });
  /** Ask for a customer, let the worker answer, and return how it ended. */
  const ask = async (user, answer) => {
    const asked = asker.ask({ user_id: user, limit: 30 }).then(() => 'ok', ({ reason }) => reason);
    await settled();
    answer(processes.made.at(-1));
    return asked;
  };
  const end = async () => {
    for (const worker of processes.made) worker.on('input-ended', () => worker.exit(0));
    const closed = pool.close();
    await clock.advance(5000);
    await closed;
  };
  return { asker, pool, clock, ask, end, made: processes.made };
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

// Who asks one after another, and whether each is answered ('ok') or fails; then whether the others are kept from asking.
const ROWS = [
  ['one customer', [[1, false]], false],
  ['one customer, again and again', Array.from({ length: 10 }, () => [1, false]), false],
  ['two customers in turn', Array.from({ length: 10 }, (_, n) => [n % 2, false]), false],
  ['many customers, others being answered in between', Array.from({ length: 30 }, (_, n) => [n, n % 3 === 2]), false],
  ['three customers in a row', [[1, false], [2, false], [3, false]], true],
  ['three customers in a row after others were answered', [[7, true], [8, true], [1, false], [2, false], [3, false]], true],
  ['three customers, one of them twice', [[1, false], [2, false], [1, false], [3, false]], true],
];

for (const code of [...LASTING, ...PASSING]) {
  for (const [who, questions, isPaused] of ROWS) {
    test(`${code} in the answer to ${who} ${isPaused ? 'is everybody’s' : 'is nobody else’s'}`, async () => {
      const staged = await ready();
      for (const [user, isFine] of questions) {
        assert.equal(staged.asker.isPaused, false);
        assert.equal(await staged.ask(user, isFine ? fine : fails(code)), isFine ? 'ok' : code);
      }

      assert.equal(staged.asker.isPaused, isPaused);
      assert.deepEqual([staged.made.length, staged.pool.stats().refused, staged.pool.stats().deaths], [1, null, 0]);
      await staged.end();
    });
  }
}

for (const code of LASTING) {
  test(`${code} at the start is everybody’s at once`, async () => {
    const staged = stage();
    await settled();
    const refuse = (worker) => {
      worker.say({ ok: false, error: { code, message: 'As the test wants it.', retryable: false } });
      worker.exit(78);
    };

    assert.equal(await staged.ask(1, refuse), code);
    assert.deepEqual([staged.asker.isPaused, staged.pool.stats().refused], [true, code]);
    await staged.end();
  });
}

test('reasons that differ make no row', async () => {
  const staged = await ready();
  for (const [user, code] of [[1, 'settings'], [2, 'settings'], [3, 'no_model'], [4, 'settings'], [5, 'settings']]) {
    await staged.ask(user, fails(code));
  }

  assert.equal(staged.asker.isPaused, false);
  await staged.end();
});

test('the same product asked about again and again is one question', async () => {
  const staged = await ready();
  for (const item of [5, 5, 5, 5]) {
    const asked = staged.asker.ask({ op: 'similar', item_id: item, limit: 30 }).catch(({ reason }) => reason);
    await settled();
    fails('settings')(staged.made[0]);
    assert.equal(await asked, 'settings');
  }

  assert.equal(staged.asker.isPaused, false);
  await staged.end();
});

for (const status of STATUSES) {
  test(`a worker that has been ready and leaves with ${status} over a request is replaced as after any death`, async () => {
    const staged = await ready();
    const reason = await staged.ask(1, (worker) => worker.exit(status));
    await staged.clock.advance(100);

    assert.notEqual(reason, 'ok');
    assert.deepEqual([staged.asker.isPaused, staged.pool.stats().refused, staged.pool.stats().deaths], [false, null, 1]);
    assert.equal(staged.made.length, 2);
    staged.made[1].ready();
    await settled();
    assert.equal(await staged.ask(2, fine), 'ok');
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
  test(`what Node sees by itself, ${who}, is ${isPaused ? 'everybody’s' : 'nobody else’s'}`, async () => {
    const asker = new Asker({ python: { runPythonInference: async () => { throw failure; } }, timeoutMs: 800, metrics });

    await assert.rejects(asker.ask({ user_id: 1 }), failure);
    assert.equal(asker.isPaused, isPaused);
  });
}

for (const [what, fault, isAbout] of [
  ['told of the request', 'fail:settings', true],
  ['told before the request was read', 'fail-unread:settings', false],
  ['told by the exit status alone', 'leave:78', false],
]) {
  faultTest(`one process for one request: a lasting code ${what} ${isAbout ? 'is about it' : 'is about the start'}`, async ({ env }) => {
    const failure = await runPythonInference({ user_id: CUE }, { ...double(fault, { env }), timeoutMs: 30_000 }).catch((error) => error);

    assert.deepEqual([failure.reason, failure.aboutRequest, failure.isLasting], ['settings', isAbout, !isAbout]);
  });
}
