/** The administrators' routes: who may ask them, and what they answer from both databases. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { createMetrics } from '../../src/monitoring/metrics.js';
import { AdminService } from '../../src/services/adminService.js';
import { AnswerCounts } from '../../src/services/answerCounts.js';
import { modelRows, sentenceOf } from '../../src/services/evaluation.js';
import { onBothDatabases } from '../core/databases.js';
import { Clock, DAY_MS, FakePython, NOW, VERSION, fill, happen, published, serve } from '../core/shop.js';
import { stage } from './stage.js';

const OVERVIEW = '/api/admin/overview';
const CUSTOMER = '/api/admin/users/7';
const ROUTES = [['get', OVERVIEW], ['get', CUSTOMER], ['post', `${CUSTOMER}/list`]];
const POOL = { workers: [{ state: 'ready', refused: { version: 'v2', code: 'model_refused', message: 'It is damaged.' } }, { state: 'down' }], queued: 3, breaker: 'open', answered: 5, failed: { crashed: 2, deadline: 1 }, deaths: 2, refused: 'no_model' };
const ESTIMATES = { precision10: 0.05, precision10_low: 0.04, precision10_high: 0.06, map10: 0.2, map10_low: 0.1, map10_high: 0.3 };
const FACTS = { trainedAt: NOW - 2 * DAY_MS, dataUntil: NOW - 3 * DAY_MS, winner: 'NeuMF', offline: { NeuMF: ESTIMATES, popularity: { precision10: 0.02 } } };

describe('who may ask', () => {
  for (const [method, path] of ROUTES) {
    test(`${method} ${path} is for administrators with a token`, async () => {
      const { agent, as, asked } = stage();
      const stranger = await agent[method](path);
      assert.deepEqual([stranger.status, stranger.headers['www-authenticate']], [401, 'Bearer']); // a browser would ask for a password
      await agent[method](path).auth('root@shop.example', 'any').expect(401);
      await agent[method](path).set(as(7)).expect(403);
      await agent[method](path).set(as(7, { role: 'R1', roleId: 'R1', isAdmin: true })).expect(403); // the role is the database's
      assert.deepEqual(asked, []);
      await agent[method](path).set(as(1)).expect(200);
      assert.equal(asked.length, 1);
    });
  }

  test('many unknown customers do not lock an administrator out', async () => {
    const { agent, as } = stage({ services: { admin: { user: async () => null } }, variables: { RATE_LIMIT_LOGIN: '1' } });
    for (let time = 0; time < 3; time += 1) await agent.get(CUSTOMER).set(as(1)).expect(404);
  });
});

for (const [method, path, status, field] of [
  ['get', '/api/admin/users/x7', 400, 'userId'],
  ['get', '/api/admin/users/7%27%20OR%201=1', 400, 'userId'],
  ['get', '/api/admin/users/-1', 400, 'userId'],
  ['get', '/api/admin/users/99999999999999999999', 400, 'userId'],
  ['get', `${CUSTOMER}?limit=0`, 400, 'limit'],
  ['post', `${CUSTOMER}/list?limit=101`, 400, 'limit'],
  ['get', `${OVERVIEW}?days=900`, 400, 'days'],
  ['delete', CUSTOMER, 405, undefined],
]) {
  test(`${method} ${path} is refused with ${status}`, async () => {
    const { agent, as } = stage();
    const { body } = await agent[method](path).set(as(1)).expect(status);
    assert.equal(body.field, field);
  });
}

test('an unknown customer is told as such', async () => {
  const { agent, as } = stage({ services: { admin: { user: async () => null, makeList: async () => null } } });
  for (const [method, path] of ROUTES.slice(1)) {
    const { body } = await agent[method](path).set(as(1)).expect(404);
    assert.match(body.message, /^There should be a user with this id\. Received: /);
  }
});

test('a browser that asks the older overview is sent to the page, programs get JSON', async () => {
  const { agent, as } = stage();
  const location = async (path) => (await agent.get(path).set('Accept', 'text/html,*/*;q=0.8').expect(302)).headers.location;
  assert.equal(await location('/internal/recommendations'), '/admin');
  assert.equal(await location('/internal/recommendations?userId=7&limit=3'), '/admin?user=7');
  await agent.get('/internal/recommendations?userId=//evil.example').set('Accept', 'text/html').expect(400);
  for (const accept of ['*/*', 'application/json']) {
    const { body } = await agent.get('/internal/recommendations?userId=8').set(as(1)).set('Accept', accept).expect(200);
    assert.deepEqual(Object.keys(body.data), ['userId', 'context', 'cached', 'runs', 'python', 'spool']);
  }
});

test('lists are counted when they are answered', async () => {
  const counted = [];
  const { agent, as } = stage({ services: { answerCounts: { add: (answer) => counted.push(answer) } } });
  await agent.get('/api/recommendations/list').set(as(7)).expect(200);
  await agent.post('/api/recommend/init').set(as(7)).expect(200);
  await agent.get('/api/recommendations/similar/110').expect(200);
  await agent.get('/api/recommendations/list?limit=0').set(as(7)).expect(400);
  assert.deepEqual(counted, Array(3).fill({ source: 'model', fallbackReason: null }));
});

test('latency is read from the buckets of successful answers', async () => {
  const metrics = createMetrics();
  assert.deepEqual(await metrics.latency('/list'), { p50Ms: null, p95Ms: null, n: 0 });
  const requests = (n, facts) => Array.from({ length: n }, () => metrics.request({ method: 'GET', route: '/list', status: 200, ms: 8, ...facts }));
  requests(90, {});
  requests(10, { ms: 80 });
  requests(50, { status: 503, ms: 4000 });
  requests(50, { route: '/other', ms: 4000 });
  assert.deepEqual(await metrics.latency('/list'), { p50Ms: 7.8, p95Ms: 75, n: 100 }); // 50 of 90 in 5 to 10 ms; 5 of 10 in 50 to 100 ms
  requests(900, { ms: 60_000 });
  assert.deepEqual((await metrics.latency('/list')).p95Ms, 5000); // the last bucket's beginning
});

const row = (precision10, half = 0.01) => ({ precision10, precision10_low: precision10 - half, precision10_high: precision10 + half, map10: precision10 });
for (const [what, winner, offline, en] of [
  ['a model that is better for certain', 'NeuMF', { NeuMF: row(0.08), popularity: row(0.02), ease: row(0.05) }, 'NeuMF serves: of ten recommended products, customers chose 0.80 on average in the test, 0.30 more than with the best method without a network (ease); the intervals do not overlap.'],
  ['a model that may be better', 'BMF', { BMF: row(0.05), ease: row(0.04) }, 'BMF serves: of ten recommended products, customers chose 0.50 on average in the test, 0.10 more than with the best method without a network (ease); the intervals overlap.'],
  ['a model without intervals', 'BMF', { BMF: { precision10: 0.04 }, ease: { precision10: 0.04 } }, 'BMF serves: of ten recommended products, customers chose 0.40 on average in the test, as many as with the best method without a network (ease).'],
  ['a baseline', 'ease', { LNCM: row(0.06), BMF: row(0.01), ease: row(0.05) }, 'ease serves: of ten recommended products, customers chose 0.50 on average in the test, 0.10 fewer than with the best of the four models (LNCM); the intervals overlap.'],
  ['a winner without figures', 'BMF', { BMF: { precision10: 'x' }, ease: row(0.05) }, null],
  ['a winner that is unknown', 'Other', { BMF: row(0.05) }, null],
  ['nothing to compare with', 'BMF', { BMF: row(0.05) }, null],
  ['no figures', 'BMF', {}, null],
]) {
  test(`the sentence about ${what}`, () => {
    const sentence = sentenceOf(modelRows({ winner, offline }));
    assert.equal(sentence.en, en);
    assert.equal(sentence.vi === null, en === null);
    if (en !== null) assert.deepEqual(sentence.vi.match(/\d,\d\d/g), en.match(/\d\.\d\d/g)?.map((figure) => figure.replace('.', ',')));
  });
}

test('models come before baselines, the best first; unknown names and values are no failure', () => {
  const rows = modelRows({ winner: null, offline: { popularity: row(0.9), BMF: null, '<b>': 5, ENCM: ESTIMATES, NeuMF: row(0.06) } });
  assert.deepEqual(rows.map(({ name, kind }) => [name, kind]), [['NeuMF', 'model'], ['ENCM', 'model'], ['BMF', 'model'], ['popularity', 'baseline'], ['<b>', 'baseline']]);
  assert.deepEqual(rows[1], { name: 'ENCM', kind: 'model', precision10: 0.05, precision10Low: 0.04, precision10High: 0.06, map10: 0.2, map10Low: 0.1, map10High: 0.3, winner: false });
  assert.equal(rows[2].precision10, null);
});

onBothDatabases((shopTest) => {
  shopTest('the overview has version, models, answers and the state of the server', async (shop) => {
    const { admin, answerCounts, clock } = adminOf(shop);
    answerCounts.add({ source: 'model', fallbackReason: null });
    answerCounts.add({ source: 'heuristic', fallbackReason: 'deadline' });
    clock.turn(3 * 3_600_000);
    const { version, models, answers, python, spool, server } = await admin.overview();

    assert.deepEqual(version, { name: VERSION, trainedAt: '2026-11-18T14:00:00.000Z', ageDays: 2.125, dataUntil: '2026-11-17T14:00:00.000Z' });
    assert.deepEqual(models.map(({ name, winner }) => [name, winner]), [['NeuMF', true], ['popularity', false]]);
    assert.deepEqual(answers, [
      { hour: '2026-11-20T14:00:00.000Z', source: 'heuristic', reason: 'deadline', count: 1 },
      { hour: '2026-11-20T14:00:00.000Z', source: 'model', reason: null, count: 1 },
    ]);
    assert.deepEqual(python, { ready: 1, workers: 2, queued: 3, answered: 5, failed: 3, deaths: 2, breaker: 'open', refused: 'no_model', refusedVersion: 'v2: It is damaged.' });
    assert.deepEqual(spool, { waiting: 3, rejected: 1, elsewhere: ['other', '/spool/old'] });
    assert.deepEqual([server.database, server.uptime], [shop.kind === 'SQLite' ? 'sqlite' : 'mysql', '3 h']);
  });

  shopTest('without a version, or without the table of counts, the overview says so', async (shop) => {
    const { admin } = adminOf(shop, { version: null });
    await shop.sequelize.query('ALTER TABLE rec_answer_counts RENAME TO elsewhere');
    try {
      const { version, models, sentence, answers, python } = await admin.overview();
      assert.deepEqual([version, models, sentence, answers], [null, [], { en: null, vi: null }, null]);
      assert.equal(python.workers, 2);
    } finally {
      await shop.sequelize.query('ALTER TABLE elsewhere RENAME TO rec_answer_counts');
    }
  });

  shopTest('a customer has list, runs and history with their products', async (shop) => {
    const { models } = shop;
    const { admin, service } = adminOf(shop);
    await fill(models, 30);
    await models.User.create({ id: 7, firstName: 'Lan', lastName: 'Trần' });
    await happen(models, 7, [['view', 3], ['cart', 99], ['purchase', 4]]);
    await service.listForUser(7, { limit: 5 });
    const { user, list, context, runs, history } = await admin.user(7, { limit: 2 });

    assert.deepEqual(user, { id: 7, name: 'Lan Trần' });
    assert.deepEqual([list.source, list.fallbackReason, list.modelVersion, list.computedAt], ['model', null, VERSION, new Date(NOW).toISOString()]);
    assert.deepEqual(list.data.map(({ product, modelName }) => [product.id, product.name, product.price, modelName]), [[20, 'Product 20', 10, 'ENCM'], [19, 'Product 19', 10, 'ENCM']]);
    assert.deepEqual(context, { time_of_day: 'afternoon', season: 'autumn', device_type: null });
    assert.deepEqual(runs.map(({ model }) => model).sort(), ['BMF', 'ENCM', 'LNCM', 'NeuMF']);
    const { metrics, items, error } = runs.find(({ model }) => model === 'NeuMF');
    assert.deepEqual([metrics, items.map(({ name }) => name), error], [{ precision10: 0.2, map10: 0.1, basis: 'fresh' }, ['Product 18', 'Product 17'], null]);
    assert.deepEqual(history.map(({ product, actionCode }) => [product.name ?? product.id, actionCode]), [['Product 4', 'purchase'], [99, 'cart'], ['Product 3', 'view']]);
    assert.equal(history[0].timestamp, '2026-11-20T13:59:00.000Z');
  });

  shopTest('a customer of whom nothing is known has nothing, and gets a list by request', async (shop) => {
    const { admin, python } = adminOf(shop);
    await fill(shop.models, 30);
    await shop.models.User.create({ id: 8 });
    const { user, list, runs, history } = await admin.user(8, { limit: 10 });
    assert.deepEqual([user, list, runs, history], [{ id: 8, name: null }, null, [], []]);

    const made = await admin.makeList(8, { limit: 3 });
    assert.deepEqual([made.list.data.length, made.list.source, made.runs.length], [3, 'model', 4]);
    assert.equal((await admin.user(8, { limit: 3 })).list.source, 'model');
    python.failure = 'crashed';
    const fallback = await admin.makeList(8, { limit: 3 });
    assert.deepEqual([fallback.list.data.length, fallback.list.fallbackReason], [3, 'crashed']);
    assert.deepEqual([await admin.user(9, { limit: 3 }), await admin.makeList(9, { limit: 3 })], [null, null]);
  });

  shopTest('stored rows that were cut off, and ten thousand events, are no failure', async (shop) => {
    const { models } = shop;
    await fill(models, 30);
    await models.User.create({ id: 7, firstName: '', lastName: null });
    await happen(models, 7, Array.from({ length: 10_000 }, (_, n) => ['view', 1 + (n % 30)]));
    const rows = [
      ['Unknown <b>', '{"precision10": 0.1, "map', '[{"productId": 1'],
      ['BMF', '{"precision10": "0.5", "error": "scores were not finite"}', '[1, 2, 2, null, "3", {"productId": {}}, {"productId": 4}]'],
      ['ENCM', null, '{"productId": 1}'],
      ['LNCM', '[]', null],
      ['NeuMF', '5', '[99999]'],
    ];
    await models.ModelRun.bulkCreate(rows.map(([modelName, metricsJson, recommendationsJson]) => ({ userId: 7, modelName, metricsJson, recommendationsJson })));
    const { user, runs, history } = await adminOf(shop).admin.user(7, { limit: 10 });

    assert.equal(user.name, null);
    const ofModel = Object.fromEntries(runs.map(({ model, ...run }) => [model, run]));
    assert.deepEqual([ofModel['Unknown <b>'].metrics, ofModel['Unknown <b>'].items], [null, []]);
    assert.deepEqual([ofModel.BMF.error, ofModel.BMF.items.map(({ id }) => id)], ['scores were not finite', [1, 2, 4]]);
    assert.deepEqual([ofModel.ENCM.items, ofModel.LNCM.items, ofModel.NeuMF.items], [[], [], [{ id: 99999 }]]);
    assert.deepEqual([history.length, history[0].timestamp], [50, '2026-11-20T13:59:00.000Z']);
  });
});

/** Return the service of a shop whose Python recommends the products from 20 downwards. */
function adminOf({ sequelize, models }, { version = { ...published(), ...FACTS } } = {}) {
  const clock = new Clock();
  const { service, python, snapshot } = serve({ sequelize, models }, { python: new FakePython(Array.from({ length: 20 }, (_, n) => 20 - n)), version, clock });
  const answerCounts = new AnswerCounts({ sequelize, log: { warn() {} }, clock });
  const interactions = { stats: () => ({ pending: 3, rejected: 1, bytes: 0, damaged: 0 }) };
  const elsewhere = () => [{ folder: '/spool/1', database: 'other', files: 1, bytes: 1 }, { folder: '/spool/old', database: null, files: 1, bytes: 1 }];
  const parts = { sequelize, models, recommendations: service, snapshot, metrics: createMetrics(), answerCounts, interactions, python: { stats: () => POOL }, elsewhere, clock };
  return { admin: new AdminService(parts), answerCounts, clock, service, python };
}
