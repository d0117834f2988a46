/** How fresh a stored list is, around the activation of a version. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { freshnessOf } from '../../src/services/recommendations/cache.js';
import { contextText } from '../../src/services/recommendations/context.js';
import { NOW, published, SETTINGS } from './shop.js';

const CONTEXT = { time_of_day: 'afternoon', season: 'autumn', device_type: null };
const OLD = '20261118T000000Z-00000000';

/** Return the freshness of a list computed `computed` seconds after the activation, at `now` seconds after it. */
function freshnessAt({ computed, now, modelVersion = OLD }) {
  const options = { limit: 10, context: CONTEXT, published: published({ activatedAt: NOW }), now: NOW + 1000 * now };
  return freshnessOf({ computedAt: NOW + 1000 * computed, nRequested: 30, modelVersion, context: contextText(CONTEXT) }, options, SETTINGS.cache);
}

for (const [what, list, freshness] of [
  ['computed before the activation', { computed: -1, now: 1 }, 'miss'],
  ['computed just after it, by a worker of the old version', { computed: 1.9, now: 5 }, 'miss'],
  ['computed while the version was loaded', { computed: 2, now: 59.9 }, 'fresh'],
  ['computed while the version was loaded, after the loading', { computed: 2, now: 60 }, 'stale'],
  ['computed while the version was loaded, after its time to live', { computed: 59.9, now: 4600 }, 'miss'],
  ['computed by a worker that keeps the old version', { computed: 60, now: 61 }, 'fresh'],
  ['of the version itself', { computed: 5, now: 61, modelVersion: published().name }, 'fresh'],
]) {
  test(`a list ${what} is ${freshness}`, () => assert.equal(freshnessAt(list), freshness));
}
