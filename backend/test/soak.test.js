/** Everything at random, briefly: `node bench/soak.js` does the same for half an hour. First, that it would notice. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Ledger, spread } from '../bench/soaking/ledger.js';
import { Lists, reasonOf, visit } from '../bench/soaking/requests.js';
import { soak } from '../bench/soaking/soak.js';
import { PythonBridgeError } from '../src/services/pythonInvoker.js';
import { seeded } from './fakes.js';
import { faultTest } from './harness.js';
import { TinyShop } from './tinyShop.js';

const TRAINING_MS = 300_000; // ten seconds of computing, on a machine that has other things to do
const DURATION_MS = 20_000;

let shop;

before(
  async () => {
    shop = await TinyShop.make();
  },
  { timeout: TRAINING_MS },
);
after(() => shop?.remove());

const answer = (user, version, ...products) => ({
  user_id: user,
  model_version: version,
  items: products.map((productId) => ({ productId, score: 0.5 })),
});

test('an answer for somebody else is noticed, and a list that is not the version’s own', () => {
  const lists = new Lists();
  const asked = { user: 7, isTelling: true };

  assert.equal(lists.fault(asked, answer(8, 'v1', 1)), 'wrong_user');
  assert.equal(lists.fault(asked, answer(7, 'v1', 1, 2)), null);
  assert.equal(lists.fault(asked, answer(7, 'v2', 2, 1)), null);
  assert.equal(lists.fault(asked, answer(7, 'v1', 2, 1)), 'mixed_versions');
  assert.equal(lists.fault({ ...asked, isTelling: false }, answer(7, 'v1', 3)), null);
  assert.deepEqual(lists.versions, ['v1', 'v2']);
});

test('recovery is the time from the last death to the first answer to a question asked after it', () => {
  const ledger = new Ledger();
  ledger.die(50);
  ledger.die(100);
  ledger.settle({ outcome: 'answered', asked: 90, now: 110, timeoutMs: 800 });
  assert.deepEqual(ledger.recoveries, []);
  ledger.settle({ outcome: 'crashed', asked: 120, now: 130, timeoutMs: 800 });
  ledger.settle({ outcome: 'answered', asked: 120, now: 150, timeoutMs: 800 });
  ledger.settle({ outcome: 'answered', asked: 160, now: 1000, timeoutMs: 800 });

  assert.deepEqual([ledger.recoveries, ledger.latencies, ledger.overruns], [[50], [20, 30, 840], [40]]);
  assert.deepEqual([ledger.settled, ledger.outcomes], [4, { answered: 3, crashed: 1 }]);
});

test('quantiles are those of the sorted numbers', () => {
  const numbers = Array.from({ length: 100 }, (_, number) => 100 - number);

  assert.deepEqual(spread(numbers), { p50: 51, p95: 96, p99: 100, max: 100 });
  assert.deepEqual(spread([]), { p50: 0, p95: 0, p99: 0, max: 0 });
});

test('what is no failure of the bridge has no reason that a question may end with', () => {
  const random = seeded(1);
  const allowed = new Set(Array.from({ length: 200 }, (_, number) => [...visit(random, number).outcomes]).flat());

  assert.ok(allowed.has(reasonOf(new PythonBridgeError('crashed', 'ended by SIGKILL'))));
  assert.ok(!allowed.has(reasonOf(new TypeError('a defect'))));
  assert.ok(!allowed.has('crossed_answer') && !allowed.has('internal') && !allowed.has('breaker_open'));
});

faultTest('F64 twenty seconds of harm at random: every question is settled by its own answer or a reason, and nothing is left', async () => {
  const told = await soak(shop, { durationMs: DURATION_MS, random: seeded(64) });

  assert.deepEqual([told.violations, told.words], [{}, []]);
  assert.ok(told.outcomes.answered > 100, JSON.stringify(told.outcomes));
  assert.ok(told.workers.deaths > 3 && told.versions.activated > 1, JSON.stringify(told));
  assert.deepEqual(told.versions.answered.length, 2);
});
