/** What is hidden from a user, bought or in the cart, by the tables of cases that Python's tests use, too. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { Catalogue } from '../../src/services/recommendations/catalogue.js';
import { hiddenItems } from '../../src/services/recommendations/hidden.js';
import { DEFAULT_RULES } from '../../src/services/recommendations/snapshot.js';
import { onBothDatabases } from './databases.js';
import { Clock, NOW } from './shop.js';

const [PURCHASES, CARTS, QUANTITIES] = ['purchase_cases.json', 'cart_cases.json', 'quantity_cases.json'].map(tableOf);
const WITHOUT_WEIGHT = ['scroll', 'basket'];
const ITEMS = [1, 2, 3, 9];
const CASES = [
  ...PURCHASES.map(({ bought, ...row }) => ({ ...row, carts: [], uncarts: [], hidden: bought })),
  ...CARTS.map(({ cart, ...row }) => ({ ...row, days: 0, hidden: cart })), // without the repeat rule, so that only the cart hides
];

for (const { name, events, stand } of QUANTITIES) {
  test(`by quantities: ${name}`, () => {
    for (const user of [7, 8]) {
      const rows = events.map(([owner, event, item, age, pieces], rowId) => {
        return { owner, event, item, moment: new Date(NOW - age * 1000).toISOString(), rowId, quantity: pieces ?? NaN };
      });
      const own = rows.filter(({ owner }) => owner === user);
      const bought = own.filter(({ rowId }) => stand.includes(rowId)).map(({ item }) => item);
      assert.deepEqual([...hiddenItems(own, DEFAULT_RULES, NOW)].sort(), [...new Set(bought)].sort());
    }
  });
}

onBothDatabases((shopTest) => {
  for (const { name, events, hidden, purchases, cancels, carts, uncarts, days, now = NOW / 1000 } of CASES) {
    shopTest(name, async ({ models, sequelize }) => {
      await models.Product.bulkCreate(ITEMS.map((id) => ({ id, name: `Product ${id}` })));
      for (const [actionCode, productId, age] of events) {
        const stored = models.Interaction.create({ userId: 7, productId, actionCode, timestamp: new Date((now - age) * 1000) });
        if (productId === null) await assert.rejects(stored, { name: 'SequelizeValidationError' });
        else await stored;
      }
      const isKept = (event) => !WITHOUT_WEIGHT.includes(event); // as the snapshot returns them
      const rules = {
        ...{ purchaseEvents: purchases.filter(isKept), cancelEvents: cancels, cartEvents: carts.filter(isKept), uncartEvents: uncarts },
        ...{ repeatAfterDays: days ?? Infinity, timeZone: null },
      };
      const catalogue = new Catalogue(sequelize, new Clock(now * 1000 + 999));
      const left = async (userId) => [...(await catalogue.eligible(userId, ITEMS, rules)).keys()].sort();
      assert.deepEqual(await left(7), ITEMS.filter((id) => !hidden.includes(id)));
      assert.deepEqual(await left(8), ITEMS);
    });
  }
});

function tableOf(file) {
  const { defaults, cases } = JSON.parse(readFileSync(new URL(`../../../tests/data/${file}`, import.meta.url), 'utf8'));
  return cases.map((row) => ({ ...defaults, ...row }));
}
