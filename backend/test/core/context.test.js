/** The context of a request, derived as Python derives it from the same table. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';

import { deriveContext, DEVICES, knownDevice } from '../../src/services/recommendations/context.js';
import { PYTHON, REPOSITORY } from '../harness.js';

const HOUR_MS = 3_600_000;
const ZONES = ['UTC', 'Europe/Berlin', 'America/New_York', 'Asia/Ho_Chi_Minh', 'Asia/Kathmandu', 'Australia/Lord_Howe'];
const PROGRAM = `
import json, sys
from recsys.data.context import clock_context
zones, moments = json.load(sys.stdin)
json.dump([[clock_context(moment, zone) for moment in moments] for zone in zones], sys.stdout)
`;

function at(moment, timeZone = 'UTC', device = undefined) {
  return Object.values(deriveContext({ now: new Date(moment), timeZone, device }));
}

test('the shop’s time zone decides', () => {
  assert.deepEqual(at('2024-01-08T00:00Z'), ['night', 'winter', null]);
  assert.deepEqual(at('2024-01-08T05:59:59.999Z'), ['night', 'winter', null]);
  assert.deepEqual(at('2024-01-08T06:00Z'), ['morning', 'winter', null]);
  assert.deepEqual(at('2024-01-08T12:00Z'), ['afternoon', 'winter', null]);
  assert.deepEqual(at('2024-01-08T18:00Z'), ['evening', 'winter', null]);
  assert.deepEqual(at('2024-02-29T17:00Z', 'Asia/Ho_Chi_Minh'), ['night', 'spring', null]); // midnight of the first of March there
  assert.deepEqual(at('2024-03-10T09:59Z', 'America/New_York'), ['night', 'spring', null]); // 05:59, the clocks were put forward
  assert.deepEqual(at('2024-03-10T10:00Z', 'America/New_York'), ['morning', 'spring', null]);
  assert.deepEqual(at('2024-12-01T00:00Z'), ['night', 'winter', null]);
});

test('a device is in the table, or unknown', () => {
  assert.deepEqual(DEVICES, ['desktop', 'mobile', 'tablet']);
  assert.deepEqual(at('2024-06-01T12:00Z', 'UTC', ' Mobile '), ['afternoon', 'summer', 'mobile']);
  const strange = ['unknown', '', null, undefined, 7, {}, ['mobile'], '__proto__', 'constructor'];
  assert.deepEqual(strange.map(knownDevice), strange.map(() => null));
});

test('Python derives the same context in every hour of a year', { timeout: 60_000 }, () => {
  const moments = Array.from({ length: 366 * 24 }, (_, hour) => Date.UTC(2024, 0, 1, 0, 30) + hour * HOUR_MS);
  const input = JSON.stringify([ZONES, moments.map((moment) => moment / 1000)]);
  const options = { input, cwd: REPOSITORY, encoding: 'utf8', maxBuffer: 2 ** 26 };
  const { stdout, stderr, status } = spawnSync(PYTHON, ['-c', PROGRAM], options);
  assert.equal(status, 0, stderr);
  for (const [index, contexts] of JSON.parse(stdout).entries()) {
    const ours = moments.map((now) => deriveContext({ now, timeZone: ZONES[index] }));
    assert.deepEqual(ours, contexts.map((context) => ({ ...context, device_type: null })), ZONES[index]);
  }
});
