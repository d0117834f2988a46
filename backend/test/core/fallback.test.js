/** The fallback chain: its tiers in order, eligible products only, and the same result each time. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Catalogue } from '../../src/services/recommendations/catalogue.js';
import { fallbackFromSnapshot, fallbackItems, preferencesOf } from '../../src/services/recommendations/fallback.js';
import { DEFAULT_RULES } from '../../src/services/recommendations/snapshot.js';
import { onBothDatabases } from './databases.js';
import { Clock, DAY_MS, fill, happen, NOW, published } from './shop.js';

const UNSEEN = (row) => ({ ...row, view: 0 });
const shown = (items) => items.map(({ product, source }) => `${product.id} ${source}`);

onBothDatabases((shopTest, kind) => {
  const fallbackTest = (sentence, scenario) =>
    shopTest(sentence, (shop) => {
      const statements = [];
      const sequelize = shop.open();
      sequelize.options.logging = (sql) => statements.push(sql);
      const catalogue = new Catalogue(sequelize, new Clock());
      const request = (options, rules = {}) => fallbackItems(catalogue, { userId: 7, limit: 10, ...options }, { ...DEFAULT_RULES, ...rules });
      return scenario({ ...shop, request, statements, catalogue });
    });

  fallbackTest('the best by the heuristic score come first', async ({ models, request }) => {
    await fill(models, 6, UNSEEN);
    await models.Product.update({ view: 30 }, { where: { id: 2 } }); // 0.15 · 0.6 = 0.09
    await models.Comment.bulkCreate([4, 5, null].map((star, n) => ({ productId: 4, userId: n, star }))); // the last one is a comment without stars
    await models.Productdetail.update({ discountPrice: 7 }, { where: { productId: 5 } }); // 0.15 · 30 / 70 = 0.0643
    await happen(models, 7, [['cart', 6]], NOW - 31 * DAY_MS); // 0.10 · 0.5 = 0.05; it lies in the cart no more
    const items = await request({ limit: 4 });

    assert.deepEqual(shown(items), ['4 heuristic', '2 heuristic', '5 heuristic', '6 heuristic']);
    assert.deepEqual(items.map(({ reason }) => reason.code), ['stars', 'views', 'discount', 'intent']);
    const expected = [0.45 * (3.5 / 4) + 0.15 * (2 / 50), 0.09, (0.15 * 30) / 70, 0.05];
    items.forEach(({ score }, n) => assert.ok(Math.abs(score - expected[n]) < 1e-9, `${score} should be ${expected[n]}`));
  });

  fallbackTest('every tier has its turn', async ({ models, request }) => {
    // 1-4: green tea, without views. 5-64: viewed, fifty of them are scored. 65-68: without views and category.
    const category = (id) => (id <= 4 ? 'green' : null);
    const brand = (id) => (id === 68 ? 'Nord' : null);
    const view = (id) => (id > 4 && id < 65 ? id : 0);
    await fill(models, 68, (row) => ({ ...row, categoryId: category(row.id), brandId: brand(row.id), view: view(row.id) }));
    await models.Product.create({ id: 99, name: 'The preferred product', categoryId: 'green', brandId: 'Nord', statusId: 'S2' });
    await happen(models, 7, [['cart', 99]]);
    const items = await request({ limit: 68 });

    const scored = Array.from({ length: 50 }, (_, n) => 64 - n); // 64 … 15: the most viewed fifty
    assert.deepEqual(items.filter(({ source }) => source === 'heuristic').map(({ product }) => product.id).sort((a, b) => b - a), scored);
    assert.deepEqual(shown(items).slice(50), [
      ...['68 category', '4 category', '3 category', '2 category', '1 category'],
      ...Array.from({ length: 10 }, (_, n) => `${14 - n} most_viewed`),
      ...['67 newest', '66 newest', '65 newest'],
    ]);
    assert.deepEqual([...new Set(items.slice(50).map(({ reason }) => reason.code))], ['brand', 'category', 'views', 'newest']);
    assert.deepEqual(await request({ limit: 68 }), items);
  });

  fallbackTest('a user without events and a guest get the same list', async ({ models, request }) => {
    await fill(models, 12, (row) => ({ ...row, view: row.id % 3 ? row.id : 0 }));
    const unknown = await request({ userId: 4711 });
    assert.deepEqual(shown(unknown).slice(0, 8), ['11', '10', '8', '7', '5', '4', '2', '1'].map((id) => `${id} heuristic`));
    assert.deepEqual(shown(unknown).slice(8), ['12 newest', '9 newest']);
    assert.deepEqual(await request({ userId: null }), unknown);
  });

  fallbackTest('inactive, purchased and excluded products are replaced by others', async ({ models, request }) => {
    await fill(models, 40);
    await models.Product.update({ statusId: 'S2' }, { where: { id: [40, 38] } });
    await happen(models, 7, [['purchase', 39], ['purchase', 37], ['cancel', 37], ['view', 36]]);
    await happen(models, 8, [['purchase', 35]]); // another user
    const ids = (items) => items.map(({ product }) => product.id);

    assert.deepEqual(ids(await request({ limit: 100 })).sort((a, b) => a - b), Array.from({ length: 37 }, (_, n) => n + 1));
    const rest = ids(await request({ limit: 10, exclude: [36, 34] }));
    assert.equal(rest.length, 10);
    assert.deepEqual(rest.filter((id) => [40, 39, 38, 36, 34].includes(id)), []);
  });

  fallbackTest('a user who bought all popular products gets a full list', async ({ models, request }) => {
    await fill(models, 320);
    await happen(models, 7, Array.from({ length: 300 }, (_, n) => ['purchase', 320 - n]));
    const items = await request({ limit: 20 });
    assert.deepEqual(items.map(({ product }) => product.id).sort((a, b) => a - b), Array.from({ length: 20 }, (_, n) => n + 1));
  });

  fallbackTest('the repeat rule hides purchases for its days', async ({ models, request }) => {
    await fill(models, 3);
    await happen(models, 7, [['purchase', 3]], NOW - 10 * DAY_MS);
    await happen(models, 7, [['purchase', 2]], NOW - 2 * DAY_MS);
    const ids = async (rules) => (await request({}, rules)).map(({ product }) => product.id).sort();
    assert.deepEqual(await ids({ repeatAfterDays: Infinity }), [1]);
    assert.deepEqual(await ids({ repeatAfterDays: 5 }), [1, 3]);
    assert.deepEqual(await ids({ repeatAfterDays: 0 }), [1, 2, 3]);
    assert.deepEqual(await ids({ purchaseEvents: ['sale'], cancelEvents: [] }), [1, 2, 3]);
  });

  fallbackTest('a product instead of a user’s preferences brings similar ones', async ({ models, request }) => {
    await fill(models, 8, (row) => ({ ...row, view: 0 })); // 1-4 tea, 5-8 coffee
    await happen(models, 7, [['view', 8]]);
    const items = await request({ like: { categoryId: 'tea', brandId: null }, exclude: [2], limit: 5 });
    assert.deepEqual(shown(items), ['4 category', '3 category', '1 category', '8 newest', '7 newest']);
  });

  fallbackTest('only a shop without active products has an empty list', async ({ models, request }) => {
    assert.deepEqual(await request({}), []);
    await fill(models, 2, (row) => ({ ...row, statusId: 'S2' }));
    assert.deepEqual(await request({}), []);
    await models.Product.update({ statusId: 'S1' }, { where: { id: 2 } });
    assert.deepEqual((await request({})).map(({ product }) => product.id), [2]);
  });

  fallbackTest('three statements at most, each of which uses indexes', async ({ models, request, statements, sequelize }) => {
    await fill(models, 3000, (row) => ({ ...row, categoryId: `category ${row.id % 100}`, brandId: `brand ${row.id % 90}` }));
    for (let user = 1; user <= 60; user += 1) {
      await happen(models, user, Array.from({ length: 100 }, (_, n) => [n % 3 ? 'view' : 'purchase', ((7 * n) % 3000) + 1]));
    }
    await models.Comment.bulkCreate(Array.from({ length: 2000 }, (_, n) => ({ productId: n + 1, userId: 1, star: 1 + (n % 5) })));
    if (kind === 'MariaDB') await sequelize.query('ANALYZE TABLE Products, Productdetails, Interactions, Comments');
    for (const options of [{}, { userId: null }, { limit: 100 }, { exclude: [1, 2, 3] }]) {
      statements.length = 0;
      await request(options);
      const sent = statements.filter((sql) => /SELECT/.test(sql) && !/VERSION\(\)/.test(sql));
      assert.equal(sent.length, options.userId === null ? 1 : 3);
    }
    for (const scan of await scansOf(sequelize, kind, request)) assert.fail(`should use an index: ${scan}`);
  });
});

/** Return the steps of the fallback chain's query plans that read a whole table of the shop. */
async function scansOf(sequelize, kind, request) {
  const { Sequelize } = await import('sequelize');
  const scans = [];
  const send = Sequelize.prototype.query;
  const explained = [];
  Sequelize.prototype.query = function query(sql, options) {
    if (sql.trimStart().startsWith('SELECT')) explained.push([sql, options.bind]);
    return send.call(this, sql, options);
  };
  try {
    await request({ limit: 100 });
  } finally {
    Sequelize.prototype.query = send;
  }
  assert.equal(explained.length, 3);
  for (const [sql, bind] of explained) {
    const word = kind === 'SQLite' ? 'EXPLAIN QUERY PLAN' : 'EXPLAIN';
    const plan = await sequelize.query(`${word} ${sql}`, { bind, type: 'SELECT' });
    for (const row of plan) {
      // aliases of the shop's tables; the other names are derived tables
      const isScan =
        kind === 'SQLite' ? /^SCAN [pdxicam]\b(?!.*USING)/.test(row.detail) : row.type === 'ALL' && /^[pdxicam]$/.test(row.table);
      if (isScan) scans.push(JSON.stringify(row));
    }
  }
  return scans;
}

test('preferences: what was chosen most often, else what was viewed', () => {
  const event = (actionCode, categoryId, brandId = null) => ({ actionCode, categoryId, brandId });
  const choices = [event('cart', 'b', 'N'), event('purchase', 'c'), event('cart', 'c')];
  const events = [event('view', 'a'), ...choices, event('view', 'a'), event('cart', 'd')];
  assert.deepEqual(preferencesOf(events), { categories: ['c', 'b', 'd'], brands: ['N'] });
  assert.deepEqual(preferencesOf([event('view', 'a'), event('view', 'b'), event('view', 'b')]), { categories: ['b', 'a'], brands: [] });
  assert.deepEqual(preferencesOf([event('view', undefined)]), { categories: [], brands: [] });
  assert.deepEqual(preferencesOf([]), { categories: [], brands: [] });
});

test('the snapshot lists best sellers, then the newest, none excluded', () => {
  const version = published({ popular: [5, 3, 9], newest: [11, 9, 8] });
  assert.deepEqual(shown(fallbackFromSnapshot(version, { limit: 5 })), ['5', '3', '9', '11', '8'].map((id) => `${id} snapshot`));
  assert.deepEqual(shown(fallbackFromSnapshot(version, { limit: 2, exclude: [5] })), ['3 snapshot', '9 snapshot']);
  assert.deepEqual(fallbackFromSnapshot(null, { limit: 5 }), []);
});
