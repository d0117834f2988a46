/** Which of several computed lists is stored: interleavings of requests, purchases and deletions, in two processes. */
import assert from 'node:assert/strict';

import { RecommendationCache } from '../../src/services/recommendations/cache.js';
import { Catalogue } from '../../src/services/recommendations/catalogue.js';
import { DEFAULT_RULES } from '../../src/services/recommendations/snapshot.js';
import { defineModels } from '../../src/models/index.js';
import { eventually } from '../harness.js';
import { onBothDatabases } from './databases.js';
import { Clock, FakePython, fill, idsOf, serve } from './shop.js';

const USER = 7;
const ITEMS = Array.from({ length: 100 }, (_, n) => n + 1);

/**
 * A computation is its kind, a letter and its length. It begins at its first mention and is stored at its second. The last column is what
 * is stored at the end. Computations of small letters run in another process.
 */
const CASES = [
  ['one list', 'list-A-30 list-A-30', 'list-A-30'],
  ['one new list', 'new-A-30 new-A-30', 'new-A-30'],
  ['a new list beside a list that is stored first', 'list-A-30 new-b-30 list-A-30 new-b-30', 'new-b-30'],
  ['a new list beside a list that is stored last', 'list-A-30 new-b-30 new-b-30 list-A-30', 'new-b-30'],
  ['a list begun during a new list, stored first', 'new-A-30 list-b-30 list-b-30 new-A-30', 'new-A-30'],
  ['a list begun during a new list, stored last', 'new-A-30 list-b-30 new-A-30 list-b-30', 'new-A-30'],
  ['two lists of one length', 'list-A-30 list-b-30 list-A-30 list-b-30', 'list-A-30'],
  ['a short list, then a long one', 'list-A-30 list-b-60 list-A-30 list-b-60', 'list-b-60'],
  ['a long list, then a short one', 'list-A-30 list-b-60 list-b-60 list-A-30', 'list-b-60'],
  ['two new lists, the newer stored last', 'new-A-30 new-b-30 new-A-30 new-b-30', 'new-b-30'],
  ['two new lists, the newer stored first', 'new-A-30 new-b-30 new-b-30 new-A-30', 'new-b-30'],
  ['two new lists, the older longer', 'new-A-60 new-b-30 new-b-30 new-A-60', 'new-b-30'],
  ['a purchase during a list', 'list-A-30 purchase list-A-30', null],
  ['a purchase during a new list', 'new-A-30 purchase new-A-30', null],
  ['a purchase during a list that replaces one', 'list-A-30 list-A-30 list-b-30 purchase list-b-30', null],
  ['a purchase during a new list that replaces one', 'list-A-30 list-A-30 new-b-30 purchase new-b-30', null],
  ['a long list from before a purchase, a short one after it', 'list-A-60 purchase list-b-30 list-b-30 list-A-60', 'list-b-30'],
  ['a new list from before a purchase, a list after it', 'new-A-30 purchase list-b-30 list-b-30 new-A-30', 'list-b-30'],
  ['two purchases', 'list-A-30 purchase list-b-30 purchase list-b-30 list-A-30', null],
  ['a deletion during a list', 'list-A-30 clear list-A-30', null],
  ['a deletion during a new list', 'new-A-30 clear new-A-30', null],
  ['a long list from before a deletion, a short one after it', 'list-A-60 clear list-b-30 list-b-30 list-A-60', 'list-b-30'],
  ['a new list from before a deletion, another after it', 'new-A-30 clear new-b-30 new-A-30 new-b-30', 'new-b-30'],
  ['a new list whose process ended', 'new-A-30 list-b-30 list-b-30', 'list-b-30'],
  ['a new list whose process ended, then another', 'new-A-30 new-b-30 new-b-30', 'new-b-30'],
  ['a new list whose process ended, over a stored one', 'list-A-30 list-A-30 new-b-30 list-c-30 list-c-30', 'list-c-30'],
];

onBothDatabases((shopTest) => {
  for (const [what, steps, expected] of CASES) {
    shopTest(what, async ({ sequelize, models, open }) => {
      const clock = new Clock();
      const other = open();
      const caches = [new RecommendationCache({ sequelize, models, clock }), new RecommendationCache({ sequelize: other, models: defineModels(other), clock })];
      const begun = new Map();
      for (const step of steps.split(' ')) {
        clock.turn(1);
        if (step === 'purchase') await caches[1].invalidate(USER);
        else if (step === 'clear') await caches[1].clear(USER);
        else await beginOrStore(caches, begun, step);
      }
      const [row] = await sequelize.query('SELECT modelVersion, asked FROM rec_lists WHERE computedAt > 0', { type: 'SELECT' });
      const stored = await models.Recommendation.count();
      assert.equal(row?.modelVersion ?? null, expected);
      if (row !== undefined) assert.deepEqual([row.asked, stored], Array(2).fill(Number(expected.split('-')[2])));
    });
  }

  shopTest('a cache with a prefix leaves the tables without it alone', async ({ models, open }) => {
    const other = open();
    for (const table of ['recommendations', 'model_runs']) await other.query(`CREATE TABLE shop_${table} AS SELECT * FROM ${table} WHERE 1 = 0`);
    const prefixed = defineModels(other, 'shop_');
    const cache = new RecommendationCache({ sequelize: other, models: prefixed, clock: new Clock() });
    const catalogue = new Catalogue(other, new Clock());
    await models.Recommendation.bulkCreate([{ userId: USER, productId: 5, modelName: 'theirs' }]);
    await models.ModelRun.bulkCreate([{ userId: USER, modelName: 'theirs' }]);
    assert.equal(prefixed.Recommendation.getTableName(), 'shop_recommendations');
    await cache.begin(USER, true);
    assert.deepEqual((await catalogue.cachedList(USER, DEFAULT_RULES, 10)).map(({ productId }) => productId), [null]);
    await cache.clear(USER);
    assert.deepEqual([await models.Recommendation.count(), await models.ModelRun.count()], [1, 1]);
  });

  shopTest('what `init` answers is stored, whatever list is computed beside it', async (shop) => {
    await fill(shop.models, 60);
    const { service, python } = serve(shop, { python: new FakePython([]), settings: { python: { timeoutMs: 20_000 } } });
    for (let round = 0; round < 5; round += 1) {
      const open = python.hold();
      let nAnswers = 0;
      python.answerTo = (request) => new FakePython(ITEMS.slice((nAnswers += 20) - 20, nAnswers + 20)).answerTo(request);
      const list = service.listForUser(USER, { budgetMs: 20_000 });
      await eventually(() => assert.equal(python.requests.length, 2 * round + 1));
      const init = service.computeRecommendationsForUser(USER);
      await eventually(() => assert.equal(python.requests.length, 2 * round + 2));
      open();
      const [other, answered] = await Promise.all([list, init]);
      assert.notDeepEqual(idsOf(other), idsOf(answered));
      assert.deepEqual(idsOf(await service.getCachedForUser(USER)), idsOf(answered));
      await service.invalidateUser(USER);
    }
    await service.close();
  });

  shopTest('a request for a few items keeps a long list long', async (shop) => {
    await fill(shop.models, 60);
    const { service, python } = serve(shop, { python: new FakePython(ITEMS.slice(0, 60)) });
    await service.listForUser(USER, { limit: 50 });
    await service.invalidateUser(USER);
    await service.listForUser(USER, { limit: 5 });
    assert.equal((await service.listForUser(USER, { limit: 50 })).source, 'cache');
    await service.computeRecommendationsForUser(USER, { limit: 5 });
    assert.equal((await service.listForUser(USER, { limit: 50 })).source, 'cache');
    assert.deepEqual(python.requests.map(({ limit }) => limit), [60, 60, 60]);
    await service.close();
  });

  shopTest('a row of the version before, with a lease or without', async ({ sequelize, models }) => {
    const cache = new RecommendationCache({ sequelize, models, clock: new Clock() });
    for (const [token, kind] of [[null, 'list'], ['of the dead', 'list'], [null, 'new'], ['of the dead', 'new']]) {
      await sequelize.query('DELETE FROM rec_lists');
      await sequelize.query('INSERT INTO rec_lists (userId, leaseToken, computedAt) VALUES ($user, $token, -5)', { bind: { user: USER, token } });
      const begun = new Map();
      for (let n = 0; n < 2; n += 1) await beginOrStore([cache, cache], begun, `${kind}-A-30`);
      const [{ computedAt }] = await sequelize.query('SELECT computedAt FROM rec_lists', { type: 'SELECT' });
      assert.ok(computedAt > 0, `${kind} over ${token}`);
    }
  });
});

async function beginOrStore(caches, begun, step) {
  const [kind, letter, length] = step.split('-');
  const [isNew, nRequested] = [kind === 'new', Number(length)];
  const cache = caches[letter === letter.toUpperCase() ? 0 : 1];
  if (!begun.has(step)) {
    begun.set(step, await cache.begin(USER, isNew));
    return;
  }
  const answer = { ...new FakePython(ITEMS).answerTo({ user_id: USER, limit: nRequested }), model_version: step };
  await cache.store(USER, begun.get(step), { answer, nRequested, context: '', isNew });
}
