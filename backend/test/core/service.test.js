/** A user's list: cached, stale, new or from the fallback chain; always full, and of eligible products. */
import assert from 'node:assert/strict';
import { mkdtempSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { JOIN_MS } from '../../src/concurrency/sharing.js';
import { connectDatabase, placeOf } from '../../src/config/database.js';
import { defineModels } from '../../src/models/index.js';
import { PythonBridgeError } from '../../src/services/pythonInvoker.js';
import { eventually } from '../harness.js';
import { onBothDatabases } from './databases.js';
import { DAY_MS, FakePython, fill, happen, idsOf, MINUTE_MS, NOW, published, serve, VERSION } from './shop.js';

const USER = 7;
const RANKING = Array.from({ length: 40 }, (_, n) => 40 - n); // 40, 39, … 1
const FIRST_TEN = RANKING.slice(0, 10);
const UNREACHABLE = 'mysql://root@127.0.0.1:1/nowhere';

onBothDatabases((shopTest, kind) => {
  const serviceTest = (sentence, scenario, { products = 60, parts = {} } = {}) =>
    shopTest(sentence, async (shop) => {
      await fill(shop.models, products);
      const served = serve(shop, { python: new FakePython(RANKING), ...parts });
      try {
        await scenario({ ...shop, ...served });
      } finally {
        await served.service.close();
      }
    });

  serviceTest('a miss is computed and stored with all runs, then it is a hit', async ({ service, python, models, counts }) => {
    const first = await service.listForUser(USER, { limit: 10, device: 'mobile' });
    assert.deepEqual([first.source, first.fallbackReason, first.modelVersion], ['model', null, VERSION]);
    assert.deepEqual(idsOf(first), FIRST_TEN);
    assert.deepEqual(first.data[0], {
      product: {
        ...{ id: 40, name: 'Product 40', categoryId: 'coffee', category: null, brandId: null, brand: null, view: 40 },
        ...{ originalPrice: 10, discountPrice: null, price: 10, image: null, stars: null, reviews: 0, isNew: false },
      },
      score: 0.5,
      modelName: 'ENCM',
      reason: { code: 'viewed', item_id: 3 },
      why: { code: 'viewed', itemId: 3, name: 'Product 3' },
      source: 'model',
    });
    assert.deepEqual(python.requests, [
      { user_id: USER, limit: 30, context: { time_of_day: 'afternoon', season: 'autumn', device_type: 'mobile' } },
    ]);

    const second = await service.listForUser(USER, { limit: 10, device: 'mobile' });
    assert.deepEqual([second.source, second.fallbackReason, second.modelVersion], ['cache', null, VERSION]);
    assert.deepEqual(second.data, first.data);
    assert.equal(python.requests.length, 1);

    const runs = await models.ModelRun.findAll({ where: { userId: USER }, order: ['id'], raw: true });
    assert.deepEqual(runs.map(({ modelName }) => modelName), ['ENCM', 'LNCM', 'NeuMF', 'BMF']);
    assert.deepEqual(JSON.parse(runs[1].metricsJson), {
      mode: 'python_infer', precision10: 0.1, map10: 0.05, basis: 'fresh', modelVersion: VERSION, source: 'model',
    });
    assert.deepEqual(JSON.parse(runs[1].recommendationsJson), [39, 38, 37]);
    assert.deepEqual(counts.cache.map(({ hit }) => hit), ['miss', 'fresh']);
    assert.deepEqual(counts.answer, [{ source: 'model', fallbackReason: null }, { source: 'cache', fallbackReason: null }]);
    assert.deepEqual(counts.compute.map(({ outcome }) => outcome), ['ok']);
  });

  serviceTest('the cached list is returned, or null', async ({ service, clock }) => {
    assert.equal(await service.getCachedForUser(USER), null);
    await service.listForUser(USER);
    assert.deepEqual(idsOf(await service.getCachedForUser(USER, { limit: 3 })), [40, 39, 38]);
    assert.equal(await service.getCachedForUser(8), null);
    clock.turn(1000 * (900 + 3600));
    assert.equal(await service.getCachedForUser(USER), null);
  });

  serviceTest('five hundred concurrent misses share one computation', async ({ service, python, counts }) => {
    const open = python.hold();
    const asking = Array.from({ length: 500 }, () => service.listForUser(USER, { budgetMs: 30_000 }));
    await eventually(() => assert.equal(python.requests.length, 1));
    open();
    const answers = await Promise.all(asking);
    assert.equal(python.requests.length, 1);
    for (const answer of answers) assert.deepEqual([idsOf(answer), answer.source], [FIRST_TEN, 'model']);
    assert.equal(counts.cache.filter(({ hit }) => hit === 'miss').length, 500);
  }, { parts: { settings: { python: { timeoutMs: 30_000 } } } });

  serviceTest('five hundred concurrent fallbacks share one query, others get their lists', async (shop) => {
    const { service, python, statements } = watched(shop);
    await service.listForUser(8);
    python.failure = 'crashed';
    const open = python.hold();
    const asking = Array.from({ length: 500 }, () => service.listForUser(USER, { budgetMs: 30_000 }));
    await eventually(() => assert.equal(python.requests.length, 2));
    statements.length = 0;
    open();
    const [other, ...answers] = await Promise.all([service.listForUser(8, { budgetMs: 30_000 }), ...asking]);
    assert.deepEqual([other.source, idsOf(other)], ['cache', FIRST_TEN]);
    for (const answer of answers) assert.deepEqual([answer.source, answer.fallbackReason, answer.data.length], ['heuristic', 'crashed', 10]);
    assert.ok(statements.length < 20, `${statements.length} statements`);
  });

  serviceTest('few users’ fallback queries run at the same time', async (shop) => {
    const { service, python, atOnce } = watched(shop);
    python.failure = 'crashed';
    const users = Array.from({ length: 40 }, (_, n) => n + 1);
    const answers = await Promise.all(users.map((user) => service.listForUser(user, { budgetMs: 30_000 })));
    for (const answer of answers) assert.deepEqual([answer.source, answer.data.length], ['heuristic', 10]);
    assert.ok(atOnce.most <= 8, `${atOnce.most} at once`);
  });

  serviceTest('after a purchase, an earlier fallback query is not shared', async (shop) => {
    const { service, python, models, hold } = watched(shop);
    python.failure = 'crashed';
    const letGo = hold();
    const before = service.listForUser(USER, { budgetMs: 30_000 });
    await eventually(() => assert.equal(letGo.held, 1));
    await happen(models, USER, [['purchase', 60]]);
    await service.invalidateUser(USER);
    const after = service.listForUser(USER, { budgetMs: 30_000 });
    await eventually(() => assert.equal(letGo.held, 2));
    letGo();
    assert.ok(idsOf(await before).length === 10 && !idsOf(await after).includes(60));
  });

  serviceTest('what a visitor has just put into the cart is hidden before the tables have it', async (shop) => {
    const { sequelize, models, python } = shop;
    await shop.service.listForUser(USER); // stored with product 40
    const choicesOf = ({ userId }) => (userId === USER ? [{ productId: 40, actionCode: 'cart' }, { productId: 39, actionCode: 'uncart' }] : []);
    const { service } = serve({ sequelize, models }, { python, choicesOf });
    for (const answer of [await service.listForUser(USER), await service.computeRecommendationsForUser(USER), await service.getCachedForUser(USER)]) {
      assert.deepEqual([idsOf(answer)[0], answer.data.length, idsOf(answer).includes(40)], [39, 10, false]);
    }
    assert.equal(idsOf(await service.listForUser(8))[0], 40);
    python.failure = 'crashed';
    assert.ok(!idsOf(await service.computeRecommendationsForUser(USER, { limit: 60 })).includes(40));
    await service.close();
  });

  serviceTest('a slow query is not shared with a request that comes after a product was sold out', async (shop) => {
    const { service, models, hold } = watched(shop, /FROM rec_lists l/);
    await service.listForUser(USER);
    const letGo = hold();
    const before = [service.listForUser(USER), service.listForUser(USER)];
    await eventually(() => assert.equal(letGo.held, 1));
    await sleep(JOIN_MS + 1);
    await models.Product.update({ statusId: 'S2' }, { where: { id: 40 } });
    const after = service.listForUser(USER);
    await eventually(() => assert.equal(letGo.held, 2));
    letGo();
    assert.deepEqual((await Promise.all(before)).map((answer) => idsOf(answer)[0]), [40, 40]);
    assert.equal(idsOf(await after)[0], 39);
  });

  serviceTest('of two processes that compute a list at the same time, one stores it whole', async (shop) => {
    const { service, python, models } = shop;
    const other = secondProcess(shop);
    const opened = python.hold();
    other.python.gate = python.gate;
    other.python.items = RANKING.toReversed();
    const asking = Array.from({ length: 40 }, (_, n) => [service, other.service][n % 2].listForUser(USER, { budgetMs: 20_000 }));
    await eventually(() => assert.deepEqual([python.requests.length, other.python.requests.length], [1, 1]));
    opened();
    const answers = await Promise.all(asking);
    assert.deepEqual(answers.slice(0, 2).map(idsOf), [FIRST_TEN, RANKING.toReversed().slice(0, 10)]);
    for (const [n, answer] of answers.entries()) assert.deepEqual([idsOf(answer), answer.fallbackReason], [idsOf(answers[n % 2]), null]);
    assert.equal(await models.ModelRun.count(), 4);
    const stored = (await models.Recommendation.findAll({ order: ['id'], raw: true })).map(({ productId }) => productId);
    assert.ok([RANKING, RANKING.toReversed()].some((items) => items.slice(0, 30).join() === stored.join()), stored.join());
    await other.service.close();
  }, { parts: { settings: { python: { timeoutMs: 20_000 } } } });

  serviceTest('a list cleared during the start of a new one is computed', async ({ service }) => {
    for (let time = 0; time < 100; time += 1) {
      const asked = [service.computeRecommendationsForUser(USER, { limit: 10 }), service.clearForUser(USER), service.clearForUser(USER)];
      assert.deepEqual(idsOf((await Promise.all(asked))[0]), FIRST_TEN);
    }
  });

  serviceTest('a list cleared during its computation is not stored', async ({ service, python, models }) => {
    for (const isFirst of [true, false]) {
      if (!isFirst) await service.listForUser(USER);
      const open = python.hold();
      const asked = service.computeRecommendationsForUser(USER);
      await eventually(() => assert.equal(python.requests.length, isFirst ? 1 : 3));
      await service.clearForUser(USER);
      open();
      assert.equal((await asked).source, 'model');
      assert.deepEqual([await models.Recommendation.count(), await models.ModelRun.count()], [0, 0]);
    }
  });

  serviceTest('a row of the former version, with its lease, is no obstacle', async ({ service, python, sequelize }) => {
    await sequelize.query('INSERT INTO rec_lists (userId, leaseToken, leaseUntil) VALUES ($user, $token, $until)', {
      bind: { user: USER, token: 'of the dead', until: NOW + 3000 },
    });
    assert.equal((await service.listForUser(USER)).source, 'model');
    assert.deepEqual([(await service.listForUser(USER)).source, python.requests.length], ['cache', 1]);
  });

  serviceTest('a stale list is answered at once, and revalidated', async ({ service, python, clock }) => {
    await service.listForUser(USER);
    clock.turn(900_000);
    python.items = RANKING.toReversed();
    const stale = await service.listForUser(USER);
    assert.deepEqual([stale.source, idsOf(stale)], ['cache', FIRST_TEN]);
    await eventually(async () => assert.deepEqual(idsOf(await service.listForUser(USER)), RANKING.toReversed().slice(0, 10)));
    assert.ok([2, 3].includes(python.requests.length)); // a request may have read the stale list just before the new one was stored
  });

  serviceTest('a user has one revalidation at a time', async (shop) => {
    const { service, python, clock } = shop;
    for (const user of [1, 2, 3, 4]) await service.listForUser(user);
    clock.turn(900_000);
    const open = python.hold();
    const shown = await Promise.all([1, 1, 1, 1, 2, 3, 4].map((user) => service.listForUser(user)));
    assert.deepEqual(new Set(shown.map(({ source }) => source)), new Set(['cache']));
    try {
      await eventually(() => assert.deepEqual(python.requests.slice(4).map((request) => request.user_id).sort(), [1, 2, 3, 4]));
    } finally {
      open();
    }
  });

  serviceTest('a stale list without revalidation stays until it expires', async ({ service, python, clock }) => {
    await service.listForUser(USER);
    clock.turn(900_000);
    python.failure = 'deadline';
    for (let n = 0; n < 3; n += 1) assert.equal((await service.listForUser(USER)).source, 'cache');
    clock.turn(3_600_000);
    const answer = await service.listForUser(USER);
    assert.deepEqual([answer.source, answer.fallbackReason, answer.modelVersion], ['heuristic', 'deadline', null]);
  });

  serviceTest('another context makes a list stale, the same one does not', async ({ service, python }) => {
    await service.listForUser(USER, { device: 'mobile' });
    await service.listForUser(USER, { device: null });
    assert.equal(python.requests.length, 1);
    await service.listForUser(USER, { device: 'desktop' });
    await eventually(() => assert.equal(python.requests.length, 2));
    assert.equal(python.requests[1].context.device_type, 'desktop');
  });

  serviceTest('the next time of day makes a list stale', async ({ service, python, clock }) => {
    clock.time = Date.UTC(2026, 10, 20, 17, 59);
    await service.listForUser(USER);
    clock.turn(MINUTE_MS);
    assert.equal((await service.listForUser(USER)).source, 'cache');
    await eventually(() => assert.equal(python.requests.length, 2));
    assert.deepEqual(python.requests.map(({ context }) => context.time_of_day), ['afternoon', 'evening']);
  });

  serviceTest('after a purchase the next list is new, and the product hidden at once', async ({ service, python, models }) => {
    await service.listForUser(USER);
    await happen(models, USER, [['purchase', 39]]);
    const hidden = await service.listForUser(USER);
    assert.deepEqual([hidden.source, idsOf(hidden)], ['cache', [40, 38, 37, 36, 35, 34, 33, 32, 31, 30]]);
    await service.invalidateUser(USER);
    const next = await service.listForUser(USER);
    assert.deepEqual([next.source, python.requests.length], ['model', 2]);
    assert.ok(!idsOf(next).includes(39));
    await service.invalidateUser(4711); // a user without a list
  });

  for (const [who, isOwn] of [['this', true], ['another', false]]) {
    serviceTest(`a purchase in ${who} process invalidates the list that is being computed`, async (shop) => {
      const { service, python } = shop;
      const other = secondProcess(shop);
      const purchase = () => (isOwn ? service : other.service).invalidateUser(USER);
      const prepare = [async () => {}, purchase, () => service.listForUser(USER).then(purchase)]; // no row, an invalid one, one that was a list
      for (const prepared of prepare) {
        await prepared();
        const nRequests = python.requests.length;
        const open = python.hold();
        const asking = service.listForUser(USER, { budgetMs: 20_000 });
        await eventually(() => assert.equal(python.requests.length, nRequests + 1));
        await purchase();
        open();
        assert.equal((await asking).source, 'model');
        assert.equal(await service.getCachedForUser(USER), null);
        assert.equal((await service.listForUser(USER)).source, 'model');
        assert.equal(python.requests.length, nRequests + 2);
        await service.clearForUser(USER);
      }
      await other.service.close();
    }, { parts: { settings: { python: { timeoutMs: 20_000 } } } });
  }

  serviceTest('a new version or a rollback ends the other version’s lists', async ({ service, python, snapshot, clock }) => {
    await service.listForUser(USER);
    const next = '20261121T000000Z-11111111';
    snapshot.version = published({ name: next, activatedAt: clock.time });
    python.version = next;
    assert.deepEqual([(await service.listForUser(USER)).source, python.requests.length], ['model', 2]);
    assert.deepEqual([(await service.listForUser(USER)).source, python.requests.length], ['cache', 2]);
    clock.turn(MINUTE_MS);
    snapshot.version = published({ name: VERSION, activatedAt: clock.time });
    assert.deepEqual([(await service.listForUser(USER)).source, python.requests.length], ['model', 3]);
    // Python goes on with the version that it has: what it says well after the switch is what there is.
    clock.turn(MINUTE_MS);
    await service.computeRecommendationsForUser(USER);
    assert.equal((await service.listForUser(USER)).source, 'cache');
  });

  serviceTest('a list of the old version is revalidated after the new one is loaded', async (shop) => {
    const { service, python, snapshot, clock } = shop;
    const next = '20261121T000000Z-11111111';
    snapshot.version = published({ name: next, activatedAt: clock.time });
    clock.turn(10_000);
    assert.deepEqual([(await service.listForUser(USER)).modelVersion, python.requests.length], [VERSION, 1]); // Python has not got it yet
    clock.turn(MINUTE_MS - 10_001);
    await service.listForUser(USER);
    assert.equal(python.requests.length, 1); // it would only say the same
    python.version = next;
    clock.turn(1);
    const old = await service.listForUser(USER);
    assert.deepEqual([old.source, old.modelVersion], ['cache', VERSION]);
    await eventually(async () => assert.equal((await service.listForUser(USER)).modelVersion, next));
    assert.equal(python.requests.length, 2);
  });

  serviceTest('a product sold out after storing is replaced', async ({ service, models, python }) => {
    await service.listForUser(USER);
    await models.Product.update({ statusId: 'S2' }, { where: { id: [40, 35] } });
    await models.Product.destroy({ where: { id: 34 } });
    const answer = await service.listForUser(USER);
    assert.deepEqual([answer.source, idsOf(answer)], ['cache', [39, 38, 37, 36, 33, 32, 31, 30, 29, 28]]);
    await models.Product.update({ statusId: 'S2' }, { where: { id: RANKING.slice(3, 30) } });
    const filled = await service.listForUser(USER);
    assert.deepEqual(idsOf(filled).slice(0, 2), [39, 38]);
    assert.deepEqual([filled.data.length, new Set(idsOf(filled)).size], [10, 10]);
    assert.deepEqual(new Set(filled.data.slice(2).map(({ source }) => source)), new Set(['heuristic']));
    await models.Product.update({ statusId: 'S2' }, { where: { id: RANKING.slice(0, 30) } });
    const lost = await service.listForUser(USER);
    assert.deepEqual([lost.source, lost.fallbackReason, lost.data.length], ['heuristic', 'nothing_left', 10]);
    assert.equal(python.requests.length, 1);
  });

  serviceTest('a request that joins a computation shows nothing that was sold out meanwhile', async ({ service, sequelize, models, python }) => {
    const [query, transaction] = [sequelize.query.bind(sequelize), sequelize.transaction.bind(sequelize)];
    let checks = 0;
    sequelize.query = async (sql, options) => {
      const rows = await query(sql, options);
      if (/p\.id IN/.test(sql)) checks += 1;
      return rows;
    };
    let store;
    sequelize.transaction = async (work) => {
      await new Promise((resolve) => (store = resolve));
      return transaction(work);
    };
    for (const ask of ['listForUser', 'computeRecommendationsForUser']) {
      [checks, python.requests.length] = [0, 0];
      const first = service[ask](USER);
      await eventually(() => assert.equal(checks, 1)); // the list is not stored yet
      await models.Product.update({ statusId: 'S2' }, { where: { id: 40 } });
      const joined = Array.from({ length: 20 }, () => service[ask](USER));
      await new Promise((resolve) => setTimeout(resolve, 100)); // until all have joined
      store();
      assert.equal((await first).data.length, 10);
      for (const answer of await Promise.all(joined)) assert.deepEqual([answer.source, idsOf(answer)], ['model', RANKING.slice(1, 11)]);
      assert.deepEqual([checks, python.requests.length], [2, 1]);
      await models.Product.update({ statusId: 'S1' }, { where: { id: 40 } });
    }
  });

  serviceTest('a hit is a statement for the list, one for what is hidden, and one for names if there are any', async ({ service, python, open, models }) => {
    await service.listForUser(USER);
    const statements = [];
    const sequelize = open();
    sequelize.options.logging = (sql) => statements.push(sql);
    const again = serve({ sequelize, models }, { python });
    assert.deepEqual(idsOf(await again.service.listForUser(USER)), FIRST_TEN);
    assert.equal(statements.filter((sql) => /SELECT/.test(sql) && !/VERSION\(\)/.test(sql)).length, 3);
    await models.Recommendation.update({ details: '{}' }, { where: {} });
    statements.length = 0;
    assert.deepEqual((await again.service.listForUser(USER)).data[0].why, null);
    assert.equal(statements.filter((sql) => /SELECT/.test(sql)).length, 2);
  });

  serviceTest('a list whose first items are sold out is read to its end', async ({ service, models, python }) => {
    await service.listForUser(USER);
    await models.Product.update({ statusId: 'S2' }, { where: { id: RANKING.slice(0, 20) } });
    const answer = await service.listForUser(USER);
    assert.deepEqual([answer.source, idsOf(answer)], ['cache', RANKING.slice(20, 30)]);
    assert.deepEqual(new Set(answer.data.map(({ source }) => source)), new Set(['model']));
    assert.equal(python.requests.length, 1);
  });

  serviceTest('concurrent requests with different limits get their lengths', async ({ service }) => {
    await service.listForUser(USER, { limit: 20 });
    const answers = await Promise.all([3, 20, 10].map((limit) => service.listForUser(USER, { limit })));
    assert.deepEqual(answers.map(idsOf), [3, 20, 10].map((limit) => RANKING.slice(0, limit)));
  });

  serviceTest('a shop with fewer products than the limit has a short list', async ({ service, python }) => {
    python.items = [3, 1, 2];
    assert.deepEqual(idsOf(await service.listForUser(USER)), [3, 1, 2]);
    const cached = await service.listForUser(USER);
    assert.deepEqual([cached.source, idsOf(cached)], ['cache', [3, 1, 2]]);
  }, { products: 3 });

  serviceTest('a limit above the stored length computes a new list', async ({ service, python }) => {
    await service.listForUser(USER, { limit: 10 });
    const many = await service.listForUser(USER, { limit: 50 });
    assert.deepEqual([many.source, many.data.length, python.requests.map(({ limit }) => limit)], ['model', 50, [30, 60]]);
    assert.deepEqual(idsOf(many).slice(0, 40), RANKING);
    assert.equal((await service.listForUser(USER, { limit: 50 })).source, 'cache');
    assert.equal((await service.listForUser(USER, { limit: 1 })).data.length, 1);
  });

  serviceTest('a limit is clipped to its bounds, and must be a whole number', async ({ service }) => {
    assert.equal((await service.listForUser(USER, { limit: 0 })).data.length, 1);
    assert.equal((await service.listForUser(USER, { limit: 1000 })).data.length, 60);
    for (const limit of [1.5, '10', NaN, null]) await assert.rejects(service.listForUser(USER, { limit }), TypeError);
  });

  serviceTest('a failure of Python gives a fallback with its reason, not stored', async (shop) => {
    const { service, python, models, counts, sequelize } = shop;
    for (const reason of ['deadline', 'crashed', 'unknown_user', 'bad_answer', 'internal', 'breaker_open']) {
      python.failure = reason;
      const answer = await service.listForUser(USER);
      assert.deepEqual([answer.source, answer.fallbackReason, answer.modelVersion, answer.data.length], ['heuristic', reason, null, 10]);
    }
    assert.equal(await models.Recommendation.count(), 0);
    assert.equal(await models.ModelRun.count(), 0);
    assert.deepEqual(await sequelize.query('SELECT userId FROM rec_lists WHERE computedAt > 0', { type: 'SELECT' }), []);
    assert.deepEqual(counts.answer.at(-1), { source: 'heuristic', fallbackReason: 'breaker_open' });
    python.failure = null;
    await eventually(async () => assert.equal((await service.listForUser(USER)).source, 'model'));
  });

  serviceTest('a shared failure of Python pauses requests', async ({ service, python }) => {
    python.failure = 'no_python';
    const answers = await Promise.all([1, 2, 3, 4, 5].map((user) => service.listForUser(user)));
    assert.deepEqual(new Set(answers.map(({ fallbackReason }) => fallbackReason)), new Set(['no_python']));
    const nRequests = python.requests.length;
    for (let user = 10; user < 20; user += 1) assert.equal((await service.listForUser(user)).fallbackReason, 'no_python');
    assert.ok(python.requests.length <= nRequests + 2, `${python.requests.length} requests`);
  });

  serviceTest('users with damaged rows do not affect others', async ({ service, python }) => {
    const damaged = [1, 2];
    python.answerTo = (request) => {
      if (damaged.includes(request.user_id)) throw new PythonBridgeError('settings', 'A row is damaged.', { aboutRequest: true });
      return new FakePython(RANKING).answerTo(request);
    };
    for (let user = 10; user < 30; user += 1) {
      for (const other of damaged) assert.equal((await service.listForUser(other)).fallbackReason, 'settings');
      const answer = await service.listForUser(user);
      assert.deepEqual([answer.source, answer.fallbackReason], ['model', null]);
    }
  });

  serviceTest('a late answer of Python is stored', async ({ service, python }) => {
    const open = python.hold();
    const answer = await service.listForUser(USER, { budgetMs: 50 });
    assert.deepEqual([answer.source, answer.fallbackReason, answer.data.length], ['heuristic', 'deadline', 10]);
    open();
    await eventually(async () => assert.equal((await service.getCachedForUser(USER))?.source, 'cache'));
    assert.equal(python.requests.length, 1);
  });

  serviceTest('every user gets their own list', async ({ service, python }) => {
    python.answerTo = (request) => ({ ...new FakePython([request.user_id, 50]).answerTo(request) });
    const users = Array.from({ length: 40 }, (_, n) => n + 1);
    for (let round = 0; round < 2; round += 1) {
      const answers = await Promise.all(users.map((user) => service.listForUser(user, { limit: 1, budgetMs: 20_000 })));
      assert.deepEqual(answers.map((answer) => idsOf(answer)[0]), users);
    }
    assert.equal(python.requests.length, 40);
  }, { parts: { settings: { python: { timeoutMs: 20_000 } } } });

  serviceTest('an empty answer gives a fallback', async ({ service, python, models }) => {
    python.items = [];
    const answer = await service.listForUser(USER);
    assert.deepEqual([answer.source, answer.fallbackReason, answer.data.length], ['heuristic', 'empty_answer', 10]);
    assert.equal(await models.Recommendation.count(), 0);
  });

  serviceTest('only a shop without active products has an empty list', async ({ service, python }) => {
    python.items = [];
    const answer = await service.listForUser(USER);
    assert.deepEqual(answer, { data: [], source: 'nothing', fallbackReason: 'empty_answer', modelVersion: null });
  }, { products: 0 });

  serviceTest('an interrupted store keeps the old list, and the answer is returned', async (shop) => {
    const { service, python, models, clock } = shop;
    await service.listForUser(USER);
    const bulkCreate = async (rows, options) => {
      await models.ModelRun.bulkCreate(rows, options);
      await shop.sequelize.query('SELECT nonsense', options);
    };
    const failing = serve({ ...shop, models: { ...models, ModelRun: { bulkCreate } } }, { python, clock });
    python.items = RANKING.toReversed();
    clock.turn(1000);
    const answer = await failing.service.computeRecommendationsForUser(USER);
    assert.deepEqual([answer.source, idsOf(answer)[0]], ['model', 1]);
    assert.deepEqual(idsOf(await service.listForUser(USER)), FIRST_TEN);
    assert.equal(await models.ModelRun.count(), 4);
    assert.equal(await models.Recommendation.count(), 30);
    assert.equal((await service.computeRecommendationsForUser(USER)).source, 'model');
    assert.deepEqual(idsOf(await service.listForUser(USER))[0], 1);
    await failing.service.close();
  });

  serviceTest('a list that could not be stored is computed by the next request', async (shop) => {
    const { python, models, clock } = shop;
    const bulkCreate = async (_, options) => shop.sequelize.query('SELECT nonsense', options);
    const failing = serve({ ...shop, models: { ...models, ModelRun: { bulkCreate } } }, { python, clock });
    assert.equal((await failing.service.listForUser(USER)).source, 'model');
    const next = await shop.service.listForUser(USER);
    assert.deepEqual([next.source, next.fallbackReason, python.requests.length], ['model', null, 2]);
    await failing.service.close();
  });

  serviceTest('a list can be refreshed and cleared', async ({ service, python, models }) => {
    await service.listForUser(USER);
    assert.deepEqual([(await service.computeRecommendationsForUser(USER)).source, python.requests.length], ['model', 2]);
    assert.equal((await service.computeRecommendationsForUser(8, { limit: 5 })).data.length, 5);
    python.failure = 'deadline';
    assert.equal((await service.computeRecommendationsForUser(USER)).fallbackReason, 'deadline');
    assert.equal((await service.listForUser(USER)).source, 'cache'); // the list that was there is still good
    assert.equal(await service.clearForUser(USER), 30);
    assert.equal(await service.clearForUser(USER), 0);
    assert.equal(await models.ModelRun.count({ where: { userId: USER } }), 0);
    assert.equal(await models.ModelRun.count({ where: { userId: 8 } }), 4);
    assert.equal(await service.getCachedForUser(USER), null);
  });

  serviceTest('runs are kept for a month', async ({ service, models }) => {
    await models.ModelRun.create({ userId: USER, modelName: 'BMF', createdAt: new Date(NOW - 31 * DAY_MS) });
    await models.ModelRun.create({ userId: USER, modelName: 'BMF', createdAt: new Date(NOW - 29 * DAY_MS) });
    await service.listForUser(USER);
    assert.equal(await models.ModelRun.count(), 5);
  });

  serviceTest('different clocks cost a computation, and no list stays for ever', async ({ service, python, clock, sequelize }) => {
    await service.listForUser(USER);
    clock.turn(-3_600_000); // turned back by an hour, so the list's age is unknown
    assert.equal((await service.listForUser(USER)).source, 'cache');
    await eventually(() => assert.equal(python.requests.length, 2));
    await eventually(async () => {
      const [{ computedAt }] = await sequelize.query('SELECT computedAt FROM rec_lists', { type: 'SELECT' });
      assert.equal(Number(computedAt), clock.time);
    });
  });

  serviceTest('without a database the snapshot answers, until it is back', async (shop) => {
    const version = published({ popular: [5, 4, 3], newest: [60, 5, 59] });
    const away = await takenAway(shop, version);
    const answer = await away.service.listForUser(USER, { limit: 4 });
    assert.deepEqual([answer.source, answer.fallbackReason, answer.modelVersion], ['snapshot', 'database_unavailable', VERSION]);
    assert.deepEqual(idsOf(answer), [5, 4, 3, 60]);
    assert.deepEqual(answer.data[0].reason, { code: 'popular' });
    assert.equal(await away.service.getCachedForUser(USER), null);
    assert.deepEqual(idsOf(await away.service.computeRecommendationsForUser(USER, { limit: 2 })), [5, 4]);
    assert.deepEqual(idsOf(await away.service.similar(5, { limit: 2 })), [4, 3]);
    assert.deepEqual(idsOf(await away.service.together([5, 4], { limit: 2 })), [3, 60]);
    assert.deepEqual(idsOf(await away.service.trending({ limit: 2 })), [5, 4]);
    await away.service.invalidateUser(USER); // no rejection
    for (let n = 0; n < 20; n += 1) assert.equal((await away.service.listForUser(USER)).source, 'snapshot');
    away.python.failure = 'crashed'; // both
    assert.equal((await away.service.listForUser(USER)).source, 'snapshot');
    away.python.failure = null;
    await away.bringBack(async () => {
      await eventually(async () => assert.equal((await away.service.listForUser(USER)).source, 'model'));
    });
  });

  serviceTest('without version, database and Python the list is empty', async (shop) => {
    const away = await takenAway(shop, null);
    const answer = await away.service.listForUser(USER);
    assert.deepEqual(answer, { data: [], source: 'nothing', fallbackReason: 'database_unavailable', modelVersion: null });
    await away.bringBack(async () => {});
  });

  serviceTest('a read-only database has a fallback chain', async (shop) => {
    const { service, python, sequelize } = shop;
    await sequelize.query('ALTER TABLE rec_lists RENAME TO elsewhere');
    try {
      const answer = await service.listForUser(USER);
      assert.deepEqual([answer.fallbackReason, answer.data.length, python.requests.length], ['database_unavailable', 10, 0]);
      assert.equal(answer.source, 'heuristic');
    } finally {
      await sequelize.query('ALTER TABLE elsewhere RENAME TO rec_lists');
    }
  });

  serviceTest('similar items come from Python once, without purchased ones', async ({ service, python, models }) => {
    await happen(models, USER, [['purchase', 39]]);
    const answer = await service.similar(40, { limit: 3, userId: USER });
    assert.deepEqual([idsOf(answer), answer.source], [[38, 37, 36], 'model']);
    assert.deepEqual(python.requests, [{ op: 'similar', item_id: 40, limit: 30 }]);
    assert.deepEqual(idsOf(await service.similar(40, { limit: 3 })), [39, 38, 37]);
    assert.equal(python.requests.length, 1);
    python.failure = 'crashed';
    const like = await service.similar(12, { limit: 4 });
    assert.deepEqual([like.fallbackReason, like.data.length], ['crashed', 4]);
    assert.ok(like.data.every(({ product }) => product.categoryId === 'tea' && product.id !== 12));
    assert.equal((await service.similar(4711, { limit: 4 })).data.length, 4); // an unknown product
  });

  serviceTest('a basket comes from Python once, in any order, without itself and without purchased products', async ({ service, python, models }) => {
    await happen(models, USER, [['purchase', 38]]);
    const answer = await service.together([40, 12, 40], { limit: 3, userId: USER });
    assert.deepEqual([idsOf(answer), answer.source, answer.fallbackReason], [[39, 37, 36], 'model', null]);
    assert.deepEqual(python.requests, [{ op: 'together', item_ids: [12, 40], limit: 30 }]);
    assert.deepEqual(idsOf(await service.together([12, 40], { limit: 3 })), [39, 38, 37]);
    assert.equal(python.requests.length, 1);
    await service.together([40], { limit: 3, complementary: true });
    assert.deepEqual(python.requests[1], { op: 'together', item_ids: [40], complementary: true, limit: 30 });
    python.failure = 'crashed';
    const like = await service.together([12, 13], { limit: 4 });
    assert.deepEqual([like.fallbackReason, like.data.length], ['crashed', 4]);
    assert.ok(like.data.every(({ product }) => product.categoryId === 'tea' && ![12, 13].includes(product.id)));
    assert.equal((await service.together([4711], { limit: 4 })).data.length, 4); // an unknown product
    const categories = ({ data }) => new Set(data.map(({ product }) => product.categoryId));
    assert.deepEqual(categories(await service.together([12, 13], { limit: 9, complementary: true })), new Set(['coffee']));
    assert.deepEqual(categories(await service.together([12, 13], { limit: 9 })), new Set(['tea']));
    await models.Product.update({ categoryId: null }, { where: { id: [55, 56] } });
    assert.ok(!idsOf(await service.together([12, 13], { limit: 40, complementary: true })).some((id) => [55, 56].includes(id)));
    assert.equal(categories(await service.together([55], { limit: 40, complementary: true })).size, 2);
    assert.deepEqual((await service.together([12, 40], { limit: 4, complementary: true })).data, []); // the shop has no third category
  });

  serviceTest('what is trending is one question for all, and never empty', async ({ service, python, models }) => {
    await happen(models, USER, [['purchase', 39]]);
    assert.deepEqual(idsOf(await service.trending({ limit: 3, userId: USER })), [40, 38, 37]);
    assert.deepEqual(idsOf(await service.trending({ limit: 3 })), [40, 39, 38]);
    assert.deepEqual(python.requests, [{ op: 'trending', limit: 30 }]);
    python.failure = 'crashed';
    const longer = await service.trending({ limit: 25, userId: USER });
    assert.deepEqual([longer.fallbackReason, longer.data.length], ['crashed', 25]);
    assert.ok(!idsOf(longer).includes(39));
  });

  serviceTest('user-product features are those of the heuristic', async ({ service, models }) => {
    await models.Comment.bulkCreate([{ productId: 2, userId: 1, star: 5 }]);
    await happen(models, USER, [['view', 1], ['cart', 2], ['purchase', 3]]);
    const features = await service.buildUserProductFeatures(USER, [1, 2, 3, 4711]);
    assert.deepEqual(features.toSorted((one, other) => one.productId - other.productId), [
      { productId: 1, stars: 0, reviews: 0, views: 1 / 50, discount: 0, intent: 0 },
      { productId: 2, stars: 1, reviews: 1 / 50, views: 2 / 50, discount: 0, intent: 0.5 },
      { productId: 3, stars: 0, reviews: 0, views: 3 / 50, discount: 0, intent: 1 },
    ]);
    assert.deepEqual(await service.buildUserProductFeatures(USER, []), []);
  });

  serviceTest('the context follows the version’s own time zone', async ({ service, python, snapshot, clock }) => {
    clock.time = Date.UTC(2026, 10, 20, 23, 30);
    snapshot.version = published({ rules: { timeZone: 'Asia/Ho_Chi_Minh' } });
    await service.listForUser(USER);
    assert.equal(python.requests[0].context.time_of_day, 'morning');
    assert.equal(service.deriveContext({ device: 'TABLET' }).time_of_day, 'evening'); // by the settings' zone
    assert.equal(service.deriveContext({ device: 'TABLET' }).device_type, 'tablet');
  });

  /** Return a service over the same database, as another process has it. */
  function secondProcess({ open }) {
    const sequelize = open();
    return serve({ sequelize, models: defineModels(sequelize) }, { python: new FakePython(RANKING), settings: { python: { timeoutMs: 20_000 } } });
  }

  /** Return a service with what it says to the database, how many climb at once, and what lets climbs wait. */
  function watched({ open, python }, which = /newest/) {
    const sequelize = open();
    const statements = [];
    const atOnce = { now: 0, most: 0 };
    let gate = null;
    const query = sequelize.query.bind(sequelize);
    sequelize.query = async (sql, options) => {
      statements.push(sql);
      if (!which.test(sql)) return query(sql, options);
      atOnce.now += 1;
      atOnce.most = Math.max(atOnce.most, atOnce.now);
      const rows = await query(sql, options).finally(() => (atOnce.now -= 1));
      if (gate !== null) await gate();
      return rows;
    };
    const hold = () => {
      let letThem;
      const opened = new Promise((resolve) => (letThem = resolve));
      const letGo = Object.assign(() => letThem(), { held: 0 });
      gate = () => {
        letGo.held += 1;
        return opened;
      };
      return letGo;
    };
    const models = defineModels(sequelize);
    const served = serve({ sequelize, models }, { python, settings: { python: { timeoutMs: 30_000 } } });
    return { ...served, models, statements, atOnce, hold };
  }

  /** Return a service whose database is away, and what brings it back. */
  async function takenAway(shop, version) {
    if (kind === 'SQLite') {
      const folder = mkdtempSync(path.join(tmpdir(), 'recsys-away-'));
      const { file } = placeOf(shop.url);
      await shop.sequelize.query('PRAGMA wal_checkpoint(TRUNCATE)');
      const served = serve(shop, { python: new FakePython(RANKING), version });
      renameSync(file, path.join(folder, 'away'));
      const bringBack = async (check) => {
        renameSync(path.join(folder, 'away'), file);
        await check();
        await served.service.close();
        rmSync(folder, { recursive: true });
      };
      return { ...served, bringBack };
    }
    const sequelize = connectDatabase({ databaseUrl: UNREACHABLE });
    const served = serve({ sequelize, models: defineModels(sequelize) }, { python: new FakePython(RANKING), version });
    const bringBack = async (check) => {
      const { host, port, name } = placeOf(shop.url);
      Object.assign(sequelize.config, { host, port, database: name });
      Object.assign(sequelize.connectionManager.config, { host, port, database: name });
      await check();
      await served.service.close();
      await sequelize.close();
    };
    return { ...served, bringBack };
  }
});
