/** The lists of everybody, computed at night: when the service answers with them, and when it computes anew. */
import assert from 'node:assert/strict';

import { onBothDatabases } from './databases.js';
import { DAY_MS, FakePython, fill, happen, idsOf, NOW, published, serve, VERSION } from './shop.js';

const USER = 7;
const COMPUTED_S = NOW / 1000 - 3600;
const NIGHTLY = [12, 5, 9];

async function computed({ sequelize }, { userId = USER, version = VERSION, at = COMPUTED_S, items = NIGHTLY } = {}) {
  for (const [place, item] of items.entries()) {
    const sql = `INSERT INTO rec_batch_lists (user_id, position, item_id, score, reason, reason_item, version, model, source, computed_at)
                 VALUES ($user, $place, $item, $score, $reason, $cause, $version, 'BMF', 'fold_in', $at)`;
    const cause = place === 0 ? { reason: 'bought', cause: '3' } : { reason: null, cause: null };
    await sequelize.query(sql, { bind: { user: String(userId), place: place + 1, item: String(item), score: 0.9 - place / 10, version, at, ...cause } });
  }
}

onBothDatabases((shopTest) => {
  const batchTest = (sentence, scenario) =>
    shopTest(sentence, async (shop) => {
      await fill(shop.models, 40);
      await scenario({ ...shop, ...serve(shop, { python: new FakePython([40, 39, 38]) }) });
    });

  batchTest('a user without a cached list gets the night’s, with its reasons, and Python is not asked', async (shop) => {
    await computed(shop);
    const list = await shop.service.listForUser(USER, { limit: 3 });
    assert.deepEqual([idsOf(list), list.source, list.modelVersion, list.fallbackReason], [NIGHTLY, 'cache', VERSION, null]);
    const [{ modelName, reason, source }] = list.data;
    assert.deepEqual([modelName, reason, source], ['BMF', { code: 'bought', item_id: 3 }, 'fold_in']);
    assert.equal(shop.python.requests.length, 0);
  });

  batchTest('a list that was computed since is newer than the night’s', async (shop) => {
    await shop.service.listForUser(USER, { limit: 3 });
    await computed(shop);
    assert.deepEqual(idsOf(await shop.service.listForUser(USER, { limit: 3 })), [40, 39, 38]);
  });

  const outdated = {
    'it is of another version': (shop) => computed(shop, { version: '20261118T231800Z-00000000' }),
    'it is a day and a half old': (shop) => computed(shop, { at: (NOW - 1.5 * DAY_MS) / 1000 }),
    'it is shorter than the limit': (shop) => computed(shop, { items: [12, 5] }),
    'it is somebody else’s': (shop) => computed(shop, { userId: 77 }),
    'the user has bought something since': async (shop) => {
      await computed(shop);
      await happen(shop.models, USER, [['purchase', 30]]);
    },
    'the user has cancelled something since': async (shop) => {
      await computed(shop);
      await happen(shop.models, USER, [['cancel', 30]]);
    },
    'the user has cleared their list': async (shop) => {
      await computed(shop);
      await shop.service.clearForUser(USER);
    },
    'no version is known': async (shop) => {
      await computed(shop);
      shop.snapshot.version = null;
    },
  };
  for (const [reason, prepare] of Object.entries(outdated)) {
    batchTest(`a new list is computed where ${reason}`, async (shop) => {
      await prepare(shop);
      assert.deepEqual(idsOf(await shop.service.listForUser(USER, { limit: 3 })), [40, 39, 38]);
    });
  }

  batchTest('a purchase before the list, or a view since, leaves it fresh', async (shop) => {
    await computed(shop);
    await happen(shop.models, USER, [['purchase', 30]], NOW - 2 * 3_600_000);
    await happen(shop.models, USER, [['view', 31]]);
    assert.deepEqual(idsOf(await shop.service.listForUser(USER, { limit: 3 })), NIGHTLY);
  });

  batchTest('what is sold out, in the cart or just chosen is left out, and the list is filled up', async (shop) => {
    await computed(shop, { items: [12, 5, 9, 20] });
    await shop.models.Product.update({ statusId: 'S2' }, { where: { id: 12 } });
    await happen(shop.models, USER, [['cart', 5]]);
    assert.deepEqual(idsOf(await shop.service.listForUser(USER, { limit: 2 })), [9, 20]);
    const choicesOf = () => [{ productId: 9, actionCode: 'cart' }];
    const { service } = serve(shop, { python: shop.python, choicesOf });
    assert.equal(idsOf(await service.listForUser(USER, { limit: 2 }))[0], 20);
    assert.equal(shop.python.requests.length, 0);
  });

  batchTest('a purchase that the tables do not have yet makes it stale', async (shop) => {
    await computed(shop);
    const choicesOf = () => [{ productId: 9, actionCode: 'purchase' }];
    const { service } = serve(shop, { python: shop.python, version: published(), choicesOf });
    assert.deepEqual(idsOf(await service.listForUser(USER, { limit: 3 })), [40, 39, 38]);
  });
});
