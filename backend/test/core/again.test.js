/** Buy again: Python's list as it is, or what somebody bought most often; it may be empty. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { boughtOften, rulesOfBought } from '../../src/services/recommendations/again.js';
import { GuestEvents } from '../../src/services/guestEvents.js';
import { DEFAULT_RULES } from '../../src/services/recommendations/snapshot.js';
import { onBothDatabases } from './databases.js';
import { DAY_MS, FakePython, NOW, fill, happen, idsOf, published, serve } from './shop.js';

const USER = 7;
const GUEST = 'a'.repeat(32);
const RULES = rulesOfBought(DEFAULT_RULES);

/** What was done, each as action, product and days ago; and the products that were bought often. */
const CASES = {
  'nothing': [[], []],
  'once': [['purchase 1 30'], []],
  'twice, and three times': [['purchase 1 9', 'purchase 1 30', 'purchase 2 9', 'purchase 2 20', 'purchase 2 40'], [2, 1]],
  'as often, but later': [['purchase 1 20', 'purchase 1 30', 'purchase 2 9', 'purchase 2 30', 'purchase 3 20', 'purchase 3 31'], [2, 1, 3]],
  'twice in one moment': [['purchase 1 30', 'purchase 1 30'], []],
  'twice on one day': [['purchase 1 30', 'purchase 1 30.4'], []],
  'again just now': [['purchase 1 30', 'purchase 1 60', 'purchase 1 0.4'], []],
  'with a clock that is ahead': [['purchase 1 30', 'purchase 1 60', 'purchase 1 -0.5'], []],
  'taken back': [['purchase 1 30', 'purchase 1 60', 'cancel 1 29'], []],
  'all taken back': [['purchase 1 30', 'cancel 1 29', 'purchase 2 9', 'purchase 2 30'], [2]],
  'only viewed': [['view 1 30', 'view 1 60'], []],
};

for (const [what, [acts, ids]] of Object.entries(CASES)) {
  test(`bought often: ${what}`, () => {
    const events = acts.map((act, rowId) => {
      const [event, item, days] = act.split(' ');
      return { event, item: Number(item), moment: new Date(NOW - Number(days) * DAY_MS).toISOString(), rowId };
    });
    assert.deepEqual(boughtOften(events.toReversed(), RULES, NOW), ids);
  });
}

test('only a number of days hides what was bought', () => {
  assert.equal(rulesOfBought({ ...DEFAULT_RULES, repeatAfterDays: Infinity }).repeatAfterDays, 0);
  assert.equal(rulesOfBought({ ...DEFAULT_RULES, repeatAfterDays: 7 }).repeatAfterDays, 7);
});

/** A fake Python to which some products are due. */
class Due extends FakePython {
  answerTo(request) {
    const items = super.answerTo(request).items.map((item) => ({ ...item, reason: { code: 'again' } }));
    return { ...super.answerTo(request), items, model: 'again', source: 'again', runs: [] };
  }
}

onBothDatabases((shopTest) => {
  const served = async (shop, due, parts = {}) => {
    await fill(shop.models, 60);
    return serve(shop, { python: new Due(due), ...parts });
  };
  const bought = async ({ models }, product, days) => happen(models, USER, [['purchase', product]], NOW - days * DAY_MS);

  shopTest('what is due is asked once a minute, and never filled up', async (shop) => {
    const { service, python } = await served(shop, [9, 3, 5]);
    await bought(shop, 9, 30); // for other lists, it would be hidden for ever
    await happen(shop.models, USER, [['cart', 3]]);
    await shop.models.Product.update({ statusId: 'S2' }, { where: { id: 5 } });

    const answer = await service.again({ userId: USER });
    assert.deepEqual([idsOf(answer), answer.source, answer.fallbackReason], [[9], 'again', null]);
    assert.deepEqual(answer.data[0].why, { code: 'again' });
    await service.again({ userId: USER, limit: 1 });
    assert.deepEqual(python.requests, [{ op: 'again', user_id: USER, limit: 30 }]);
    await service.again({ userId: 8 });
    await service.invalidateUser(USER); // after a purchase
    await service.again({ userId: USER });
    assert.deepEqual(python.requests.slice(1).map(({ user_id: user }) => user), [8, USER]);
    await service.close();
  });

  shopTest('nothing is an answer, too', async (shop) => {
    const { service } = await served(shop, []);
    for (const days of [30, 60]) await bought(shop, 9, days);
    const empty = { data: [], source: 'again', fallbackReason: null, modelVersion: published().name };
    assert.deepEqual(await service.again({ userId: USER }), empty);
    assert.deepEqual(await service.again({}), empty);
    await service.close();
  });

  shopTest('what was chosen a moment ago is not due, and neither is what the rule still hides', async (shop) => {
    const choices = [{ productId: 9, actionCode: 'purchase' }, { productId: 3, actionCode: 'cart' }, { productId: 5, actionCode: 'view' }];
    const first = await served(shop, [9, 3, 5, 6], { choicesOf: () => choices });
    assert.deepEqual(idsOf(await first.service.again({ userId: USER })), [5, 6]);
    await first.service.close();
    await bought(shop, 6, 5);
    const other = serve(shop, { python: new Due([9, 6]), version: published({ rules: { repeatAfterDays: 7 } }) });
    assert.deepEqual(idsOf(await other.service.again({ userId: USER })), [9]);
    await other.service.close();
  });

  shopTest('without Python it is what the user bought most often, and without any such thing nothing', async (shop) => {
    const { service, python } = await served(shop, [9]);
    python.failure = 'crashed';
    const none = { data: [], source: 'nothing', fallbackReason: 'crashed', modelVersion: null };
    assert.deepEqual(await service.again({ userId: USER }), none);
    assert.deepEqual(await service.again({}), none);
    for (const [product, days] of [[9, 30], [9, 60], [4, 30], [4, 60], [4, 90], [5, 30], [6, 30], [6, 60]]) await bought(shop, product, days);
    await shop.models.Product.update({ statusId: 'S2' }, { where: { id: 6 } });

    const answer = await service.again({ userId: USER });
    assert.deepEqual([idsOf(answer), answer.source, answer.fallbackReason], [[4, 9], 'bought_often', 'crashed']);
    assert.deepEqual(answer.data.map(({ why }) => why), [{ code: 'again' }, { code: 'again' }]);
    assert.deepEqual(idsOf(await service.again({ userId: USER, limit: 1 })), [4]);
    assert.deepEqual((await service.again({ userId: 8 })).data, []);
    await happen(shop.models, USER, [['cart', 4]]);
    assert.deepEqual(idsOf(await service.again({ userId: USER })), [9]);
    await service.close();
  });

  shopTest('a guest is answered by their own purchases', async (shop) => {
    await shop.models.GuestEvent.bulkCreate(
      [20, 10].map((days) => ({ guestId: GUEST, actionCode: 'purchase', productId: 9, device_type: null, eventId: `event-${days}`, timestamp: new Date(NOW - days * DAY_MS) })),
    );
    const quiet = { info() {}, warn() {} };
    const { service, python } = await served(shop, [9], { guests: new GuestEvents({ ...shop, log: quiet, now: () => NOW }) });

    assert.deepEqual(idsOf(await service.again({ guestId: GUEST })), [9]);
    const interactions = [20, 10].map((days) => ({ item_id: 9, event: 'purchase', timestamp: (NOW - days * DAY_MS) / 1000 }));
    assert.deepEqual(python.requests, [{ op: 'again', interactions, limit: 30 }]);
    python.failure = 'crashed';
    assert.deepEqual(idsOf(await service.again({ guestId: GUEST, limit: 30 })), [9]);
    await service.close();
  });
});
