/** A short soak, after tests that the soak would notice violations. `node bench/soak.js` takes half an hour. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { percentiles, Recorder } from '../bench/poolSoak/recorder.js';
import { soak } from '../bench/poolSoak/soak.js';
import { clientRequest, OwnershipCheck, reasonOf } from '../bench/poolSoak/traffic.js';
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

test('answers for another user and lists of another version are violations', () => {
  const check = new OwnershipCheck();
  const sent = { user: 7, showsVersion: true };

  assert.equal(check.violationOf(sent, answer(8, 'v1', 1)), 'wrong_user');
  assert.equal(check.violationOf(sent, answer(7, 'v1', 1, 2)), null);
  assert.equal(check.violationOf(sent, answer(7, 'v2', 2, 1)), null);
  assert.equal(check.violationOf(sent, answer(7, 'v1', 2, 1)), 'mixed_versions');
  assert.equal(check.violationOf({ ...sent, showsVersion: false }, answer(7, 'v1', 3)), null);
  assert.deepEqual(check.versions, ['v1', 'v2']);
});

test('recovery is the time from the last death to the first answer to a later request', () => {
  const recorder = new Recorder();
  recorder.recordDeath(50);
  recorder.recordDeath(100);
  recorder.recordOutcome({ outcome: 'answered', sent: 90, now: 110, timeoutMs: 800 });
  assert.deepEqual(recorder.recoveries, []);
  recorder.recordOutcome({ outcome: 'crashed', sent: 120, now: 130, timeoutMs: 800 });
  recorder.recordOutcome({ outcome: 'answered', sent: 120, now: 150, timeoutMs: 800 });
  recorder.recordOutcome({ outcome: 'answered', sent: 160, now: 1000, timeoutMs: 800 });

  assert.deepEqual([recorder.recoveries, recorder.latencies, recorder.overruns], [[50], [20, 30, 840], [40]]);
  assert.deepEqual([recorder.nSettled, recorder.outcomes], [4, { answered: 3, crashed: 1 }]);
});

test('percentiles are those of the sorted values', () => {
  const values = Array.from({ length: 100 }, (_, position) => 100 - position);

  assert.deepEqual(percentiles(values), { p50: 51, p95: 96, p99: 100, max: 100 });
  assert.deepEqual(percentiles([]), { p50: 0, p95: 0, p99: 0, max: 0 });
});

test('an error of another class is no outcome that a request may have', () => {
  const random = seeded(1);
  const allowed = new Set(Array.from({ length: 200 }, (_, number) => [...clientRequest(random, number).outcomes]).flat());

  assert.ok(allowed.has(reasonOf(new PythonBridgeError('crashed', 'ended by SIGKILL'))));
  assert.ok(!allowed.has(reasonOf(new TypeError('a defect'))));
  assert.ok(!allowed.has('crossed_answer') && !allowed.has('internal') && !allowed.has('breaker_open'));
});

faultTest('F64 twenty seconds of random faults: requests get their answer or a reason', async () => {
  const summary = await soak(shop, { durationMs: DURATION_MS, random: seeded(64) });

  assert.deepEqual([summary.violations, summary.words], [{}, []]);
  assert.ok(summary.outcomes.answered > 100, JSON.stringify(summary.outcomes));
  assert.ok(summary.workers.deaths > 3 && summary.versions.activated > 1, JSON.stringify(summary));
  assert.deepEqual(summary.versions.answered.length, 2);
});
