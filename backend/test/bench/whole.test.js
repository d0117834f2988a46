/** The benches over HTTP as a whole, briefly, on both databases. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { QUICK, measured } from '../../bench/loading/measure.js';
import { KINDS, copiedShop, tinySource } from '../../bench/loading/shops.js';
import { soak } from '../../bench/loading/soak.js';
import { PASSWORD, addressOf } from '../../bench/loading/traffic.js';
import { total } from '../../bench/loading/targets.js';
import { seeded } from '../fakes.js';
import { TinyShop } from '../tinyShop.js';

const SOAK_MS = 15_000; // for each database: each fault is injected once, some more often
const LEAST_CHECKS = 10;
const TEST_TIMEOUT_MS = 300_000; // half a minute on an idle machine

let tiny;
let versions;
before(
  async () => {
    tiny = await TinyShop.make();
    versions = [(await tiny.publisher('publish')).version, tiny.current];
  },
  { timeout: TEST_TIMEOUT_MS },
);
after(() => tiny?.remove());

for (const kind of KINDS) {
  describe(kind, () => {
    const wholeTest = (sentence, scenario) =>
      test(sentence, { timeout: TEST_TIMEOUT_MS }, async (t) => {
        const shop = await copiedShop(tinySource(tiny), kind);
        if (shop.missing) return t.skip(shop.missing);
        try {
          await scenario(shop);
        } finally {
          await shop.remove();
        }
      });

    wholeTest('under load every list is right, from Python or from the cache', async (shop) => {
      const { cold, warm, thinking, cold_start: coldStart, defects, ...rest } = await measured(shop, QUICK, () => {});

      for (const load of [...Object.values(cold), ...Object.values(warm), thinking]) {
        assert.deepEqual([load.wrong, load.words], [{}, []]);
        assert.ok(load.answers > 0);
      }
      assert.deepEqual([coldStart.tries.map(({ fault }) => fault), defects], [[null], []]);
      assert.equal(rest.known_customers, rest.customers);
      assert.ok(rest.different_lists > rest.customers / 2, `${rest.different_lists} lists of ${rest.customers} users`); // or a swap would not be noticed
      for (const load of Object.values(warm)) assert.deepEqual([Object.keys(load.sources), total(load.fallbacks)], [['cache'], 0]);
      for (const load of Object.values(cold)) assert.equal(load.sources.cache ?? 0, 0);
    });

    wholeTest('F64 random faults: full lists of the right user, and no interaction lost', async (shop) => {
      await shop.openAccounts(PASSWORD, addressOf);
      const summary = await soak(shop, { tiny, versions, durationMs: SOAK_MS, random: seeded(64), leastChecks: LEAST_CHECKS });

      assert.deepEqual([summary.violations, summary.words], [{}, []]);
      assert.equal(summary.valid_share, 1);
      assert.equal(summary.interactions.acknowledged, summary.interactions.stored);
      assert.ok(Object.values(summary.harm).every((count) => count > 0), JSON.stringify(summary.harm));
      assert.ok(summary.server_starts > 1 && summary.owners_checked >= LEAST_CHECKS && summary.interactions.stored > 0, JSON.stringify(summary));
    });
  });
}
