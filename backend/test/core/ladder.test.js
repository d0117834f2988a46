/** The ladder: every rung, in order, whoever asks; nothing that is not sold, hidden or excluded; the same each time. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Catalogue } from '../../src/services/lists/catalogue.js';
import { climb, climbSnapshot, tasteOf } from '../../src/services/lists/ladder.js';
import { DEFAULT_RULES } from '../../src/services/lists/snapshot.js';
import { onBothDatabases } from './databases.js';
import { Clock, DAY_MS, fill, happen, NOW, published } from './shop.js';

const UNSEEN = (row) => ({ ...row, view: 0 });
const shown = (steps) => steps.map(({ product, source }) => `${product.id} ${source}`);

onBothDatabases((shopTest, kind) => {
  const ladderTest = (sentence, scenario) =>
    shopTest(sentence, (shop) => {
      const statements = [];
      const sequelize = shop.open();
      sequelize.options.logging = (sql) => statements.push(sql);
      const catalogue = new Catalogue(sequelize, new Clock());
      const ask = (wanted, rules = {}) => climb(catalogue, { userId: 7, limit: 10, ...wanted }, { ...DEFAULT_RULES, ...rules });
      return scenario({ ...shop, ask, statements, catalogue });
    });

  ladderTest('the best by what can be seen comes first', async ({ models, ask }) => {
    await fill(models, 6, UNSEEN);
    await models.Product.update({ view: 30 }, { where: { id: 2 } }); // 0.15 · 0.6 = 0.09
    await models.Comment.bulkCreate([4, 5, null].map((star, n) => ({ productId: 4, userId: n, star }))); // the last one is a question
    await models.Productdetail.update({ discountPrice: 7 }, { where: { productId: 5 } }); // 0.15 · 30 / 70 = 0.0643
    await happen(models, 7, [['cart', 6]]); // 0.10 · 0.5 = 0.05
    const steps = await ask({ limit: 4 });

    assert.deepEqual(shown(steps), ['4 heuristic', '2 heuristic', '5 heuristic', '6 heuristic']);
    assert.deepEqual(steps.map(({ reason }) => reason.code), ['stars', 'views', 'discount', 'intent']);
    const expected = [0.45 * (3.5 / 4) + 0.15 * (2 / 50), 0.09, (0.15 * 30) / 70, 0.05];
    steps.forEach(({ score }, n) => assert.ok(Math.abs(score - expected[n]) < 1e-9, `${score} should be ${expected[n]}`));
  });

  ladderTest('every rung has its turn', async ({ models, ask }) => {
    // 1-4: green tea, unseen. 5-64: viewed, so that fifty of them are weighed. 65-68: unseen, of nobody's category.
    const category = (id) => (id <= 4 ? 'green' : null);
    const brand = (id) => (id === 68 ? 'Nord' : null);
    const view = (id) => (id > 4 && id < 65 ? id : 0);
    await fill(models, 68, (row) => ({ ...row, categoryId: category(row.id), brandId: brand(row.id), view: view(row.id) }));
    await models.Product.create({ id: 99, name: 'What she likes', categoryId: 'green', brandId: 'Nord', statusId: 'S2' });
    await happen(models, 7, [['cart', 99]]);
    const steps = await ask({ limit: 68 });

    const weighed = Array.from({ length: 50 }, (_, n) => 64 - n); // 64 … 15: the most viewed fifty
    assert.deepEqual(steps.filter(({ source }) => source === 'heuristic').map(({ product }) => product.id).sort((a, b) => b - a), weighed);
    assert.deepEqual(shown(steps).slice(50), [
      ...['68 category', '4 category', '3 category', '2 category', '1 category'],
      ...Array.from({ length: 10 }, (_, n) => `${14 - n} most_viewed`),
      ...['67 newest', '66 newest', '65 newest'],
    ]);
    assert.deepEqual([...new Set(steps.slice(50).map(({ reason }) => reason.code))], ['brand', 'category', 'views', 'newest']);
    assert.deepEqual(await ask({ limit: 68 }), steps);
  });

  ladderTest('for somebody without events, and for nobody', async ({ models, ask }) => {
    await fill(models, 12, (row) => ({ ...row, view: row.id % 3 ? row.id : 0 }));
    const stranger = await ask({ userId: 4711 });
    assert.deepEqual(shown(stranger).slice(0, 8), ['11', '10', '8', '7', '5', '4', '2', '1'].map((id) => `${id} heuristic`));
    assert.deepEqual(shown(stranger).slice(8), ['12 newest', '9 newest']);
    assert.deepEqual(await ask({ userId: null }), stranger);
  });

  ladderTest('what is not sold, bought or unwanted never comes, and its place is filled', async ({ models, ask }) => {
    await fill(models, 40);
    await models.Product.update({ statusId: 'S2' }, { where: { id: [40, 38] } });
    await happen(models, 7, [['purchase', 39], ['purchase', 37], ['cancel', 37], ['view', 36]]);
    await happen(models, 8, [['purchase', 35]]); // somebody else
    const ids = (steps) => steps.map(({ product }) => product.id);

    assert.deepEqual(ids(await ask({ limit: 100 })).sort((a, b) => a - b), Array.from({ length: 37 }, (_, n) => n + 1));
    const some = ids(await ask({ limit: 10, exclude: [36, 34] }));
    assert.equal(some.length, 10);
    assert.deepEqual(some.filter((id) => [40, 39, 38, 36, 34].includes(id)), []);
  });

  ladderTest('somebody who has bought everything popular still gets a full list', async ({ models, ask }) => {
    await fill(models, 320);
    await happen(models, 7, Array.from({ length: 300 }, (_, n) => ['purchase', 320 - n]));
    const steps = await ask({ limit: 20 });
    assert.deepEqual(steps.map(({ product }) => product.id).sort((a, b) => a - b), Array.from({ length: 20 }, (_, n) => n + 1));
  });

  ladderTest('bought things come again after the rule’s days, or at once', async ({ models, ask }) => {
    await fill(models, 3);
    await happen(models, 7, [['purchase', 3]], NOW - 10 * DAY_MS);
    await happen(models, 7, [['purchase', 2]], NOW - 2 * DAY_MS);
    const ids = async (rules) => (await ask({}, rules)).map(({ product }) => product.id).sort();
    assert.deepEqual(await ids({ repeatAfterDays: Infinity }), [1]);
    assert.deepEqual(await ids({ repeatAfterDays: 5 }), [1, 3]);
    assert.deepEqual(await ids({ repeatAfterDays: 0 }), [1, 2, 3]);
    assert.deepEqual(await ids({ purchaseEvents: ['sale'], cancelEvents: [] }), [1, 2, 3]);
  });

  ladderTest('a product in place of a taste brings its like', async ({ models, ask }) => {
    await fill(models, 8, (row) => ({ ...row, view: 0 })); // 1-4 tea, 5-8 coffee
    await happen(models, 7, [['cart', 8]]);
    const steps = await ask({ like: { categoryId: 'tea', brandId: null }, exclude: [2], limit: 5 });
    assert.deepEqual(shown(steps), ['4 category', '3 category', '1 category', '8 newest', '7 newest']);
  });

  ladderTest('only a shop that sells nothing has an empty list', async ({ models, ask }) => {
    assert.deepEqual(await ask({}), []);
    await fill(models, 2, (row) => ({ ...row, statusId: 'S2' }));
    assert.deepEqual(await ask({}), []);
    await models.Product.update({ statusId: 'S1' }, { where: { id: 2 } });
    assert.deepEqual((await ask({})).map(({ product }) => product.id), [2]);
  });

  ladderTest('three statements, whoever asks, and each finds its rows by an index', async ({ models, ask, statements, sequelize }) => {
    await fill(models, 3000, (row) => ({ ...row, categoryId: `category ${row.id % 100}`, brandId: `brand ${row.id % 90}` }));
    for (let user = 1; user <= 60; user += 1) {
      await happen(models, user, Array.from({ length: 100 }, (_, n) => [n % 3 ? 'view' : 'purchase', ((7 * n) % 3000) + 1]));
    }
    await models.Comment.bulkCreate(Array.from({ length: 2000 }, (_, n) => ({ productId: n + 1, userId: 1, star: 1 + (n % 5) })));
    if (kind === 'MariaDB') await sequelize.query('ANALYZE TABLE Products, Productdetails, Interactions, Comments');
    for (const wanted of [{}, { userId: null }, { limit: 100 }, { exclude: [1, 2, 3] }]) {
      statements.length = 0;
      await ask(wanted);
      const sent = statements.filter((sql) => /SELECT/.test(sql) && !/VERSION\(\)/.test(sql));
      assert.equal(sent.length, wanted.userId === null ? 2 : 3);
    }
    for (const scan of await scansOf(sequelize, kind, ask)) assert.fail(`should use an index: ${scan}`);
  });
});

/** Return the steps of the ladder's plans that read a whole table of the shop. */
async function scansOf(sequelize, kind, ask) {
  const { Sequelize } = await import('sequelize');
  const scans = [];
  const send = Sequelize.prototype.query;
  const explained = [];
  Sequelize.prototype.query = function query(sql, options) {
    if (sql.trimStart().startsWith('SELECT')) explained.push([sql, options.bind]);
    return send.call(this, sql, options);
  };
  try {
    await ask({ limit: 100 });
  } finally {
    Sequelize.prototype.query = send;
  }
  assert.equal(explained.length, 3);
  for (const [sql, bind] of explained) {
    const word = kind === 'SQLite' ? 'EXPLAIN QUERY PLAN' : 'EXPLAIN';
    const plan = await sequelize.query(`${word} ${sql}`, { bind, type: 'SELECT' });
    for (const row of plan) {
      // aliases of the shop's own tables; the others are what a statement has gathered itself
      const isScan =
        kind === 'SQLite' ? /^SCAN [pdxic]\b(?!.*USING)/.test(row.detail) : row.type === 'ALL' && /^[pdxic]$/.test(row.table);
      if (isScan) scans.push(JSON.stringify(row));
    }
  }
  return scans;
}

test('taste is what was chosen most often, the more recent first; what was viewed, if nothing was chosen', () => {
  const event = (actionCode, categoryId, brandId = null) => ({ actionCode, categoryId, brandId });
  const chosen = [event('cart', 'b', 'N'), event('purchase', 'c'), event('cart', 'c')];
  const events = [event('view', 'a'), ...chosen, event('view', 'a'), event('cart', 'd')];
  assert.deepEqual(tasteOf(events), { categories: ['c', 'b', 'd'], brands: ['N'] });
  assert.deepEqual(tasteOf([event('view', 'a'), event('view', 'b'), event('view', 'b')]), { categories: ['b', 'a'], brands: [] });
  assert.deepEqual(tasteOf([event('view', undefined)]), { categories: [], brands: [] });
  assert.deepEqual(tasteOf([]), { categories: [], brands: [] });
});

test('the snapshot lists best sellers, then the newest, without what is excluded', () => {
  const version = published({ popular: [5, 3, 9], newest: [11, 9, 8] });
  assert.deepEqual(shown(climbSnapshot(version, { limit: 5 })), ['5', '3', '9', '11', '8'].map((id) => `${id} snapshot`));
  assert.deepEqual(shown(climbSnapshot(version, { limit: 2, exclude: [5] })), ['3 snapshot', '9 snapshot']);
  assert.deepEqual(climbSnapshot(null, { limit: 5 }), []);
});
