/** A guest's list: by what the guest did, or what is popular; and the table of what guests did. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { GuestEvents, cartOf } from '../../src/services/guestEvents.js';
import { guestRequest, hiddenFromGuest } from '../../src/services/recommendations/guests.js';
import { DEFAULT_RULES } from '../../src/services/recommendations/snapshot.js';
import { onBothDatabases } from './databases.js';
import { DAY_MS, FakePython, NOW, VERSION, fill, idsOf, published, serve } from './shop.js';

const GUEST = 'a'.repeat(32);
const OTHER = 'b'.repeat(32);
const RANKING = Array.from({ length: 40 }, (_, n) => 40 - n); // 40, 39, … 1
const CONTEXT = { time_of_day: 'afternoon', season: 'autumn', device_type: null };
const SECOND = NOW / 1000;
const quiet = { info() {}, warn() {} };

/** Insert a guest's events, a second apart, the last one now. */
async function visit({ GuestEvent }, guestId, events, until = NOW) {
  const rows = events.map(([actionCode, productId], index) => ({
    ...{ guestId, actionCode, productId, device_type: 'mobile', eventId: `${guestId.slice(0, 4)}-${until}-${index}-${productId}` },
    timestamp: new Date(until - 1000 * (events.length - 1 - index)),
  }));
  await GuestEvent.bulkCreate(rows);
}

const CARTS = {
  'nothing': [[], []],
  'views only': [['view 1'], []],
  'put into it': [['cart 1', 'view 1', 'cart 2'], [2, 1]],
  'taken out': [['cart 1', 'uncart 1'], []],
  'taken out and put back': [['cart 1', 'uncart 1', 'cart 1'], [1]],
  'bought': [['cart 1', 'cart 2', 'purchase 1'], [2]],
  'bought, and put into it again': [['purchase 1', 'cart 1'], [1]],
  'taken out without having been in it': [['uncart 1'], []],
};
for (const [what, [acts, ids]] of Object.entries(CARTS)) {
  test(`what lies in a cart: ${what}`, () => {
    const events = acts.map((act) => act.split(' ')).map(([actionCode, id]) => ({ actionCode, productId: Number(id) }));
    assert.deepEqual(cartOf(events.reverse()), ids);
  });
}

for (const [what, days, hidden] of [
  ['for ever', Infinity, [1, 2, 3]],
  ['for some days, the first second included', 2, [1, 3]],
  ['not at all', 0, [3]],
]) {
  test(`bought products are hidden ${what}`, () => {
    const bought = (productId, age) => ({ productId, actionCode: 'purchase', second: SECOND - age });
    const events = [{ productId: 3, actionCode: 'cart', second: SECOND }, bought(1, 2 * 86_400), bought(2, 2 * 86_400 + 1)];
    assert.deepEqual(hiddenFromGuest(events, { ...DEFAULT_RULES, repeatAfterDays: days }, NOW).sort(), hidden);
  });
}

test('events that the version does not know are not sent to Python', () => {
  const events = [{ productId: 2, actionCode: 'uncart', second: 9 }, { productId: 1, actionCode: 'view', second: 8 }];
  const requestFor = (eventNames) => guestRequest(events, { context: CONTEXT, rules: { eventNames } });

  assert.deepEqual(requestFor(['view']), { interactions: [{ item_id: 1, event: 'view', timestamp: 8 }], context: CONTEXT });
  assert.deepEqual(requestFor(['sale']), { context: CONTEXT });
  assert.equal(requestFor(null).interactions.length, 2);
});

onBothDatabases((shopTest) => {
  const guestTest = (sentence, scenario, parts = {}) =>
    shopTest(sentence, async (shop) => {
      await fill(shop.models, 60);
      const guests = new GuestEvents({ ...shop, log: quiet, now: () => NOW });
      const served = serve(shop, { python: new FakePython(RANKING), guests, ...parts });
      await scenario({ ...shop, ...served, guests });
    });

  guestTest('a guest of whom nothing is known gets what is popular, computed once for all', async ({ service, python }) => {
    const answers = await Promise.all([null, null, GUEST, OTHER].map((id) => service.listForGuest(id, { limit: 5 })));

    for (const answer of answers) assert.deepEqual(idsOf(answer), [40, 39, 38, 37, 36]);
    assert.deepEqual(python.requests, [{ limit: 30, context: CONTEXT }]);
    assert.deepEqual([answers[0].fallbackReason, answers[0].modelVersion], [null, VERSION]);
    await service.listForGuest(null, { limit: 5, isNew: true });
    assert.equal(python.requests.length, 2);
  });

  guestTest('a list is by what the guest did, without what lies in the cart or was bought', async ({ service, python, models }) => {
    await visit(models, GUEST, [['view', 3], ['cart', 40], ['cart', 39], ['uncart', 39], ['purchase', 38]]);
    const answer = await service.listForGuest(GUEST, { limit: 3 });
    const sent = ['view', 'cart', 'cart', 'uncart', 'purchase'].map((event, n) => ({ item_id: [3, 40, 39, 39, 38][n], event, timestamp: SECOND - 4 + n }));

    assert.deepEqual(python.requests, [{ interactions: sent, limit: 30, context: CONTEXT }]);
    assert.deepEqual(idsOf(answer), [39, 37, 36]);
    assert.deepEqual(idsOf(await service.similar(30, { limit: 3, guestId: GUEST })), [39, 37, 36]);
    assert.deepEqual(idsOf(await service.similar(30, { limit: 3 })), [40, 39, 38]);
    assert.deepEqual(idsOf(await service.listForGuest(OTHER, { limit: 3 })), [40, 39, 38]);
  });

  guestTest('requests of one guest share a computation, until the guest does something', async ({ service, python, models }) => {
    await visit(models, GUEST, [['view', 3]]);
    await Promise.all(Array.from({ length: 50 }, () => service.listForGuest(GUEST)));
    await service.listForGuest(GUEST);
    assert.equal(python.requests.length, 1);

    await visit(models, GUEST, [['cart', 40]], NOW - 5000); // older, but known only now
    assert.ok(!idsOf(await service.listForGuest(GUEST)).includes(40));
    assert.equal(python.requests.length, 2);
  }, { settings: { python: { timeoutMs: 30_000 } } });

  guestTest('without Python, the fallback is by the guest’s own history', async ({ service, python, models }) => {
    python.failure = 'crashed';
    await visit(models, GUEST, [['cart', 7], ['purchase', 9]]); // tea; the newest products are coffee
    await models.Product.update({ view: 0 }, { where: {} });
    const [own, others] = [await service.listForGuest(GUEST, { limit: 60 }), await service.listForGuest(OTHER, { limit: 60 })];

    assert.deepEqual([own.fallbackReason, own.data.length, others.data.length], ['crashed', 58, 60]);
    assert.ok(![7, 9].some((id) => idsOf(own).includes(id)));
    const first = ({ data: [{ product, source }] }) => [product.categoryId, source];
    assert.deepEqual([first(own), first(others)], [['tea', 'category'], ['coffee', 'newest']]);
  });

  guestTest('an unreadable history is answered by the fallback, with the reason', async ({ service, counts }) => {
    const answer = await service.listForGuest(GUEST, { limit: 4 });

    assert.deepEqual([answer.fallbackReason, answer.data.length], ['database_unavailable', 4]);
    assert.equal((await service.similar(30, { limit: 4, guestId: GUEST })).data.length, 4);
    assert.deepEqual(counts.answer.map(({ fallbackReason }) => fallbackReason), ['database_unavailable', 'database_unavailable']);
  }, { guests: { newest: () => new Promise(() => {}) }, settings: { python: { timeoutMs: 50 } }, version: published({ popular: [5, 4, 3, 2, 1] }) });

  guestTest('F66 before the table is made, guests get what is popular', async ({ service, sequelize, guests }) => {
    await sequelize.query('ALTER TABLE rec_guest_events RENAME TO rec_guest_events_kept');
    try {
      const answers = [];
      for (let n = 0; n < 8; n += 1) answers.push(await service.listForGuest(GUEST, { limit: 3 }));
      assert.deepEqual(new Set(answers.map(({ fallbackReason }) => fallbackReason)), new Set([null]));
      assert.equal(await guests.join(GUEST, 7), 0);
    } finally {
      await sequelize.query('ALTER TABLE rec_guest_events_kept RENAME TO rec_guest_events');
    }
  });

  guestTest('a guest’s events become the customer’s in their order, once, and nobody else’s', async ({ guests, models }) => {
    await visit(models, OTHER, [['view', 9]]);
    await visit(models, GUEST, [['view', 3], ['cart', 4], ['uncart', 4], ['view', 5]]);
    const [{ eventId }] = await models.GuestEvent.findAll({ where: { guestId: GUEST, productId: 5 }, raw: true });
    await models.Interaction.create({ userId: 7, productId: 5, actionCode: 'view', eventId, timestamp: new Date(NOW - DAY_MS) });
    const counts = await Promise.all([guests.join(GUEST, 7), guests.join(GUEST, 8)]);
    const rows = await models.Interaction.findAll({ order: ['interId'], raw: true });

    assert.deepEqual(counts.sort(), [0, 4]); // whoever logs in first
    assert.deepEqual(rows.map(({ productId, actionCode }) => `${actionCode} ${productId}`), ['view 5', 'view 3', 'cart 4', 'uncart 4']);
    assert.equal(new Set(rows.slice(1).map(({ userId }) => userId)).size, 1);
    assert.equal(rows[1].device_type, 'mobile');
    assert.equal(await models.Interaction.count({ where: { timestamp: new Date(NOW - 3000) } }), 1);
    assert.deepEqual((await models.GuestEvent.findAll({ raw: true })).map(({ guestId }) => guestId), [OTHER]);
  });

  guestTest('a guest’s event that the shop refuses is left out, and the others join', async ({ guests, models, sequelize, kind }) => {
    await visit(models, GUEST, [['view', 3], ['cart', 4], ['view', 5]]);
    const refusal = kind === 'SQLite' ? "BEGIN SELECT RAISE(ABORT, 'no carts'); END" : "BEGIN IF NEW.actionCode = 'cart' THEN SIGNAL SQLSTATE '45000'; END IF; END";
    const when = kind === 'SQLite' ? "WHEN NEW.actionCode = 'cart'" : '';
    await sequelize.query(`CREATE TRIGGER no_carts BEFORE INSERT ON Interactions FOR EACH ROW ${when} ${refusal}`);
    try {
      assert.equal(await guests.join(GUEST, 7), 3);
    } finally {
      await sequelize.query('DROP TRIGGER no_carts');
    }
    const rows = await models.Interaction.findAll({ order: ['interId'], raw: true });
    assert.deepEqual([rows.map(({ productId }) => productId), await models.GuestEvent.count()], [[3, 5], 0]);
  });

  guestTest('F65 a failure in the middle of a join changes nothing', async ({ models, sequelize }) => {
    await visit(models, GUEST, [['view', 3], ['cart', 4]]);
    const destroy = () => sequelize.query('SELECT nonsense');
    const GuestEvent = { findAll: (...args) => models.GuestEvent.findAll(...args), destroy };
    const failing = new GuestEvents({ sequelize, models: { ...models, GuestEvent }, log: quiet });
    await assert.rejects(failing.join(GUEST, 7));

    assert.deepEqual([await models.Interaction.count(), await models.GuestEvent.count()], [0, 2]);
  });

  guestTest('of a guest’s views and other events the newest hundred are kept', async ({ guests, models }) => {
    await visit(models, OTHER, [['view', 1]], NOW - DAY_MS);
    await visit(models, GUEST, [['cart', 50], ...Array.from({ length: 105 }, (_, n) => ['view', (n % 60) + 1])]);
    await guests.trim({ guestId: GUEST, actionCode: 'cart' });
    assert.equal(await models.GuestEvent.count(), 107);
    await guests.trim({ guestId: GUEST, actionCode: 'view' });
    const events = await guests.newest(GUEST);

    assert.deepEqual([events.length, await models.GuestEvent.count()], [101, 102]);
    assert.deepEqual(cartOf(events), [50]);
    assert.equal(events.findLast(({ actionCode }) => actionCode === 'view').productId, 6); // the five oldest are gone
  });

  guestTest('events of more than 30 days are not read, and are deleted by any of several servers', async ({ guests, models, open }) => {
    const beside = new GuestEvents({ sequelize: open(), models, log: quiet, now: () => NOW });
    await visit(models, GUEST, [['view', 1]], NOW - 30 * DAY_MS);
    for (const id of [GUEST, OTHER]) await visit(models, id, Array.from({ length: 1200 }, (_, n) => ['cart', (n % 60) + 1]), NOW - 30 * DAY_MS - 1000);
    assert.deepEqual((await guests.newest(GUEST)).map(({ productId }) => productId), [1]);
    await Promise.all([guests.sweep(), beside.sweep()]);

    assert.equal(await models.GuestEvent.count(), 1);
    assert.equal(await guests.sweep(), 0);
  });

  guestTest('beyond a million rows the oldest are deleted', async ({ guests, models }) => {
    await visit(models, GUEST, [['view', 1], ['view', 2]]);
    const [{ id }] = await models.GuestEvent.findAll({ where: { productId: 1 }, raw: true });
    const common = { guestId: OTHER, productId: 3, actionCode: 'view', timestamp: new Date(NOW) };
    await models.GuestEvent.create({ ...common, id: id + 1_000_000, eventId: 'event-late' });
    await guests.sweep();

    assert.deepEqual((await models.GuestEvent.findAll({ order: ['id'], raw: true })).map(({ productId }) => productId), [2, 3]);
  });
});
