/** The benches over HTTP as a whole, briefly, on both databases: `node bench/load.js` and `node bench/httpSoak.js` take their time. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { QUICK, measured } from '../../bench/loading/measure.js';
import { KINDS, copiedShop, tinySource } from '../../bench/loading/shops.js';
import { httpSoak } from '../../bench/loading/soak.js';
import { PASSWORD, addressOf } from '../../bench/loading/visitors.js';
import { total } from '../../bench/loading/targets.js';
import { seeded } from '../fakes.js';
import { TinyShop } from '../tinyShop.js';

const SOAK_MS = 15_000; // of each database: each kind of harm is done once, some more often
const LEAST_OWNERS = 10;
const TEST_TIMEOUT_MS = 300_000; // half a minute, on a machine that has nothing else to do

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

    wholeTest('under load every list is right, new ones come from Python and the others from the cache', async (shop) => {
      const { cold, warm, thinking, cold_start: coldStart, defects, ...told } = await measured(shop, QUICK, () => {});

      for (const load of [...Object.values(cold), ...Object.values(warm), thinking]) {
        assert.deepEqual([load.wrong, load.words], [{}, []]);
        assert.ok(load.answers > 0);
      }
      assert.deepEqual([coldStart.tries.map(({ fault }) => fault), defects], [[null], []]);
      assert.equal(told.known_customers, told.customers);
      assert.ok(told.different_lists > told.customers / 2, `${told.different_lists} lists of ${told.customers} customers`); // or a swap would go unnoticed
      for (const load of Object.values(warm)) assert.deepEqual([Object.keys(load.sources), total(load.fallbacks)], [['cache'], 0]);
      for (const load of Object.values(cold)) assert.equal(load.sources.cache ?? 0, 0);
    });

    wholeTest('F64 through HTTP: under kills and outages every list is full and the customer’s own, and nothing acknowledged is lost', async (shop) => {
      await shop.openAccounts(PASSWORD, addressOf);
      const told = await httpSoak(shop, { tiny, versions, durationMs: SOAK_MS, random: seeded(64), leastOwners: LEAST_OWNERS });

      assert.deepEqual([told.violations, told.words], [{}, []]);
      assert.equal(told.valid_share, 1);
      assert.equal(told.interactions.acknowledged, told.interactions.stored);
      assert.ok(Object.values(told.harm).every((count) => count > 0), JSON.stringify(told.harm));
      assert.ok(told.server_starts > 1 && told.owners_checked >= LEAST_OWNERS && told.interactions.stored > 0, JSON.stringify(told));
    });
  });
}
