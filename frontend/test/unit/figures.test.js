import assert from 'node:assert/strict';
import { test } from 'node:test';
import { columnsOf, customerOf, overviewOf, sharesOf } from '../../src/admin/figures.js';

const NOW = Date.UTC(2026, 10, 29, 10, 30);
const at = (hours) => NOW - hours * 3_600_000;

test('counts are added up in columns of some hours for seven days', () => {
  const counts = [
    { at: at(0), source: 'model', reason: null, count: 2 },
    { at: at(3), source: 'model', reason: null, count: 3 }, // 07:30, the same quarter of the day as 10:30
    { at: at(5), source: 'cache', reason: null, count: 9 }, // 05:30, the one before
    { at: at(24 * 8), source: 'model', reason: null, count: 50 }, // too old
  ];
  const { starts, series } = columnsOf(counts, NOW, 6);
  assert.equal(starts.length, 28);
  assert.equal(new Date(starts[27]).toISOString(), '2026-11-29T06:00:00.000Z');
  assert.deepEqual(series.map(({ source, values }) => [source, values.slice(-2)]), [['cache', [9, 0]], ['model', [0, 5]]]);
});

test('shares are by source and reason', () => {
  const counts = [['model', null, 6], ['popularity', 'deadline', 1], ['popularity', 'crashed', 1], ['model', null, 2]].map(([source, reason, count]) => ({ at: NOW, source, reason, count }));
  assert.deepEqual(sharesOf(counts).map(({ source, reason, share }) => [source, reason, share]), [
    ['model', null, 0.8],
    ['popularity', 'deadline', 0.1],
    ['popularity', 'crashed', 0.1],
  ]);
});

test('an overview may lack anything', () => {
  for (const answer of [null, {}, { version: {}, models: [null, { name: 'A' }], answers: [{}, { hour: 'x' }], python: 5 }]) {
    const { version, answers, python } = overviewOf(answer);
    assert.deepEqual([version, answers, python], [null, [], []]);
  }
  const { models, python } = overviewOf({ models: [{ name: 'A', precision10: 0.5 }], python: { waitingForOthers: null, a_b: { c: 1 } } });
  assert.deepEqual(models, [{ name: 'A', isBaseline: false, isWinner: false, precision10: { value: 0.5, low: null, high: null }, map10: null }]);
  assert.deepEqual(python.map(({ key, value }) => [key, value]), [['waitingForOthers', null], ['a_b', '{"c":1}']]);
  assert.equal(overviewOf({ answers: null }).answers, null);
});

test('a customer may have no list, no runs and no history', () => {
  const { list, runs, history, name } = customerOf({ user: { id: 3 }, list: null, history: [{ product: null }] });
  assert.deepEqual([list, runs, history, name], [null, [], [], null]);
  for (const answer of [null, {}, { list: 5, runs: {}, user: null }]) assert.deepEqual(customerOf(answer).runs, []);
});

test('what an administrator should look into is alarming', () => {
  const well = { ready: 2, workers: 2, queued: 3, answered: 9, failed: 0, deaths: 0, breaker: 'closed', refused: null, refusedVersion: null };
  const ill = { ready: 1, workers: 2, queued: 3, answered: 9, failed: 1, deaths: 2, breaker: 'half-open', refused: 'no_model', refusedVersion: 'v2: It is damaged.' };
  const alarming = (facts) => facts.filter(({ isAlarming }) => isAlarming).map(({ key, value }) => [key, value]);
  assert.deepEqual(alarming(overviewOf({ python: well, spool: { waiting: 0, rejected: 0, elsewhere: [] } }).python), []);
  const { python, spool } = overviewOf({ python: ill, spool: { waiting: 1, rejected: 2, elsewhere: ['shop', 'other'] } });
  assert.deepEqual(alarming(python), [['ready', '1'], ['failed', '1'], ['deaths', '2'], ['breaker', 'half-open'], ['refused', 'no_model'], ['refusedVersion', 'v2: It is damaged.']]);
  assert.deepEqual(alarming(spool), [['waiting', '1'], ['rejected', '2'], ['elsewhere', 'shop, other']]);
});
