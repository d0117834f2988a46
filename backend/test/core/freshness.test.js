/** What a stored list is good for, moment by moment around the activation of a version. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { contextText, freshnessOf } from '../../src/services/lists/freshness.js';
import { NOW, published, SETTINGS } from './shop.js';

const CONTEXT = { time_of_day: 'afternoon', season: 'autumn', device_type: null };
const OLD = '20261118T000000Z-00000000';

/** Judge a list made so many seconds after the active version's activation, so many seconds after it. */
function judged({ made, now, modelVersion = OLD }) {
  const wish = { limit: 10, context: CONTEXT, published: published({ activatedAt: NOW }), now: NOW + 1000 * now };
  return freshnessOf({ computedAt: NOW + 1000 * made, asked: 30, modelVersion, context: contextText(CONTEXT) }, wish, SETTINGS.cache);
}

for (const [what, list, freshness] of [
  ['made before the activation', { made: -1, now: 1 }, 'miss'],
  ['made just after it, by a Python that had not looked', { made: 1.9, now: 5 }, 'miss'],
  ['made while the version was loaded', { made: 2, now: 59.9 }, 'fresh'],
  ['made while the version was loaded, and that is over', { made: 2, now: 60 }, 'stale'],
  ['made while the version was loaded, long ago', { made: 59.9, now: 4600 }, 'miss'],
  ['made by a Python that keeps to the old version for good', { made: 60, now: 61 }, 'fresh'],
  ['of the version itself', { made: 5, now: 61, modelVersion: published().name }, 'fresh'],
]) {
  test(`a list ${what} is ${freshness}`, () => assert.equal(judged(list), freshness));
}
