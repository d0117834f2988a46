/** End to end: HTTP, the server's process, real Python processes, a published version, both databases. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { Op, QueryTypes } from 'sequelize';

import { placeOf } from '../../src/config/database.js';
import { PYTHON, REPOSITORY, assertGone, childrenOf, eventually } from '../harness.js';
import { TinyShop } from '../tinyShop.js';
import { endServers, startServerProcess } from './serverProcess.js';
import { KINDS, PASSWORD, awayShop, fillUsers, withModels } from './shops.js';

const MOVE = path.join(REPOSITORY, 'backend', 'test', 'move_tiny.py');
const LIST = '/api/recommendations/list';
const INACTIVE = new Set([134, 135, 136, 140]); // of the tiny shop
const TEST_TIMEOUT_MS = 120_000;
const READY_MS = 30_000; // Python's processes are up in a second, on a machine that has nothing else to do
const REPORT_MS = 60_000; // a process of its own, behind all others
const PATIENT = { PYTHON_TIMEOUT_MS: '10000' }; // what is no question of time is not to fail on a busy machine
const NOT_WAITING_MS = 3000; // far below what a database that hangs would take
// The default table under a name in quotes, and orders in a table of the shop's own.
const SOURCES = `
[[sources]]
table = '"Interactions"'
user = "userId"
item = "productId"
event = "actionCode"
timestamp = "timestamp"
row_id = "interId"

[[sources]]
table = "wp-orders"
user = "customerId"
item = "the-item"
timestamp = "at"
purchase_when = "paid = 1"
returned_when = "back = 1"
`;
const MODELS_SOURCES = new Set(['model', 'fold_in', 'item_cf', 'popularity']);

let tiny;
before(async () => {
  tiny = await TinyShop.make();
});
after(endServers);
after(() => tiny?.remove());

for (const kind of KINDS) {
  describe(kind, () => {
    let shop;
    let variables;
    before(async () => {
      shop = await awayShop(kind);
      if (shop.missing) return;
      execFileSync(PYTHON, [MOVE, tiny.folder, shop.directUrl], { stdio: 'inherit' });
      await fillUsers(shop.directUrl);
      variables = { DATABASE_URL: shop.url, MODELS_DIR: tiny.models, SPOOL_DIR: path.join(tiny.folder, `spool-${kind}`) };
    });
    after(() => shop?.remove());

    const wholeTest = (sentence, scenario) =>
      test(sentence, { timeout: TEST_TIMEOUT_MS }, async (t) => {
        if (shop.missing) t.skip(shop.missing);
        else await scenario();
      });

    wholeTest('a user logs in, gets a list, buys its first product, and gets another list', async () => {
      const server = await startServerProcess({ ...variables, ...PATIENT });
      await isReady(server);
      const login = await server.post('/api/auth/login', { body: { email: 'customer7@shop.example', password: PASSWORD } });
      const { token } = login.body.data;
      const first = await server.get(`${LIST}?limit=5`, { token });
      const second = await server.get(`${LIST}?limit=5`, { token });
      const bought = first.body.data[0].product.id;
      const event = { productId: bought, actionCode: 'purchase', eventId: `bought-${bought}` };
      const [stored, again] = [await server.post('/api/interaction', { token, body: event }), await server.post('/api/interaction', { token, body: event })];
      const third = await server.get(`${LIST}?limit=5`, { token });

      assertList(first, 5);
      assert.ok(MODELS_SOURCES.has(first.body.source), first.body.source);
      assert.deepEqual([first.body.fallbackReason, first.body.modelVersion], [null, tiny.current]);
      assert.equal(second.body.source, 'cache');
      assert.deepEqual(idsOf(second), idsOf(first));
      assert.deepEqual([stored.status, again.status], [201, 200]);
      assertList(third, 5);
      assert.ok(!idsOf(third).includes(bought), `${idsOf(third)} after ${bought} was bought`);
      const { runs, rows } = await withModels(shop.directUrl, async ({ ModelRun, Interaction }) => ({
        runs: await ModelRun.findAll({ where: { userId: 7 }, raw: true }),
        rows: await Interaction.count({ where: { eventId: event.eventId } }),
      }));
      assert.equal(rows, 1);
      for (const model of ['ENCM', 'LNCM', 'NeuMF', 'BMF']) assert.ok(runs.some(({ modelName }) => modelName === model), model);
      await assertAdministrators(server);
      assert.equal(await server.stop(), 0);
    });

    wholeTest('a guest gets a list, another one by what they view, and takes both views and cart to the login', async () => {
      const server = await startServerProcess({ ...variables, ...PATIENT });
      await isReady(server);
      const first = await server.get(`${LIST}?limit=5`);
      const [viewed, carted, removed] = idsOf(first);
      let headers = {};
      for (const [actionCode, productId] of [['view', viewed], ['cart', carted], ['cart', removed], ['uncart', removed]]) {
        const body = { actionCode, productId, eventId: `guest-${actionCode}-${productId}` };
        const answer = await server.post('/api/interaction', { body, headers });
        assert.equal(answer.status, 201);
        headers = { Cookie: answer.headers.get('set-cookie').split(';')[0] };
      }
      const second = await server.get(`${LIST}?limit=35`, { headers });
      const [shelf, cart] = [await server.get('/api/viewed', { headers }), await server.get('/api/cart', { headers })];
      const login = await server.post('/api/auth/login', { body: { email: 'customer9@shop.example', password: PASSWORD }, headers });
      const { token } = login.body.data;
      const third = await server.get(`${LIST}?limit=10`, { token });

      assert.deepEqual([first.body.source, first.body.fallbackReason], ['popularity', null]);
      assert.ok(['fold_in', 'item_cf'].includes(second.body.source), `${second.body.source} answered`); // as validation has chosen
      assert.equal(second.body.fallbackReason, null);
      assertList(second, 35); // all that are active, but for the one in the cart
      assert.ok(!idsOf(second).includes(carted));
      assert.deepEqual([shelf, cart].map(({ body }) => body.data.map(({ id }) => id)), [[viewed], [carted]]);
      assert.match(login.headers.get('set-cookie'), /^recsys_guest=;/);
      assert.deepEqual((await server.get('/api/cart', { token })).body.data.map(({ id }) => id), [carted]);
      assert.ok(!idsOf(third).includes(carted), `${idsOf(third)} with ${carted} in the cart`);
      const { left, rows } = await withModels(shop.directUrl, async ({ GuestEvent, Interaction }) => ({
        left: await GuestEvent.count(),
        rows: await Interaction.findAll({ where: { eventId: { [Op.like]: 'guest-%' } }, order: ['interId'], raw: true }),
      }));
      assert.equal(left, 0);
      assert.deepEqual(rows.map(({ userId, actionCode }) => [userId, actionCode]), [[9, 'view'], [9, 'cart'], [9, 'cart'], [9, 'uncart']]);
      assert.equal(await server.stop(), 0);
    });

    wholeTest('users get their own lists, and Python gets no secret', async () => {
      const server = await startServerProcess({ ...variables, ...PATIENT });
      await isReady(server);
      const children = childrenOf(server.pid);
      for (const pid of children) assert.doesNotMatch(readFileSync(`/proc/${pid}/environ`, 'latin1'), /JWT_SECRET|METRICS_TOKEN/);
      await Promise.all([7, 8, 9].map((id) => server.get(LIST, { as: id })));
      const owners = await withModels(shop.directUrl, ({ Recommendation }) => Recommendation.findAll({ attributes: ['userId', 'productId'], raw: true }));
      for (const id of [7, 8, 9]) {
        const own = new Set(owners.filter(({ userId }) => userId === id).map(({ productId }) => productId));
        const cached = await server.get(LIST, { as: id });
        assert.ok(idsOf(cached).every((productId) => own.has(productId)), `customer ${id}`);
      }
      assert.equal(await server.stop(), 0);
      await assertGone(children);
    });

    wholeTest('F47 five hundred concurrent misses compute one list', async () => {
      const server = await startServerProcess({ ...variables, ...PATIENT });
      await isReady(server);
      await server.get(LIST, { as: 8 }); // so that the user is looked up, and connections are open
      await withModels(shop.directUrl, ({ Recommendation }, sequelize) => Promise.all([Recommendation.destroy({ where: {} }), sequelize.query('DELETE FROM rec_lists')]));
      const already = await server.metric('compute_seconds_count');
      const answers = await Promise.all(Array.from({ length: 500 }, () => server.get(LIST, { as: 8 })));

      const computed = (await server.metric('compute_seconds_count')) - already;
      assert.ok(computed >= 1 && computed <= 3, `${computed} computed`); // a request that read before the list was stored may compute it once more
      for (const answer of answers) assertList(answer, 10);
      assert.equal(await server.stop(), 0);
    });

    wholeTest('F33 with all Python processes killed, every list is full', async () => {
      const server = await startServerProcess({ ...variables, ...PATIENT });
      await isReady(server);
      for (const pid of childrenOf(server.pid)) process.kill(pid, 'SIGKILL');
      for (let time = 0; time < 20; time += 1) assertList(await server.post('/api/recommendations/init', { as: 9 }), 10);
      // Another user: whose request was on its way to two dying processes is kept from the workers for a while.
      await eventually(async () => assert.equal((await server.post('/api/recommendations/init', { as: 8 })).body.fallbackReason, null), READY_MS);
      assert.equal(await server.stop(), 0);
    });

    wholeTest('F55 without a database at the start, the snapshot answers until it is there', async () => {
      shop.goAway();
      try {
        const server = await startServerProcess(variables);
        const { status, body } = await server.get('/ready');
        assert.deepEqual([status, body.status], [200, 'degraded']);
        const list = await server.get(LIST, { as: 7 });
        assertList(list, 10);
        assert.deepEqual([list.body.modelVersion, list.body.fallbackReason], [tiny.current, 'database_unavailable']);
        assert.equal((await server.post('/api/auth/login', { body: { email: 'customer7@shop.example', password: PASSWORD } })).status, 503);
        const kept = await server.post('/api/interaction', { as: 7, body: { productId: 101, actionCode: 'view', eventId: 'while-away-1' } });
        assert.deepEqual([kept.status, kept.body.data.spooled], [202, true]);
        shop.comeBack();
        await isReady(server);
        await eventually(async () => assert.equal((await server.post('/api/recommendations/init', { as: 7 })).body.fallbackReason, null), READY_MS);
        assert.equal(await server.stop(), 0);
      } finally {
        shop.comeBack();
      }
      const rows = await withModels(shop.directUrl, ({ Interaction }) => Interaction.count({ where: { eventId: 'while-away-1' } }));
      assert.equal(rows, 1);
    });

    wholeTest('F57 a database that hangs delays no answer', async () => {
      const server = await startServerProcess(variables);
      await isReady(server);
      assertList(await server.get(LIST, { as: 7 }), 10);
      shop.hang();
      try {
        for (const ask of [() => server.get(LIST, { as: 7 }), () => server.get(LIST, { as: 8 }), () => server.get('/api/recommendations/similar/101')]) {
          const start = performance.now();
          const answer = await ask();
          assertList(answer, 10);
          assert.ok(performance.now() - start < NOT_WAITING_MS, `answered after ${performance.now() - start} ms`);
        }
        const kept = await server.post('/api/interaction', { as: 7, body: { productId: 101, actionCode: 'view', eventId: 'while-hanging-1' } });
        assert.equal(kept.status, 202);
      } finally {
        shop.comeBack();
      }
      await isReady(server);
      assert.equal(await server.stop(), 0);
      const rows = await withModels(shop.directUrl, ({ Interaction }) => Interaction.count({ where: { eventId: 'while-hanging-1' } }));
      assert.equal(rows, 1);
    });
  });
}

for (const kind of KINDS) {
  test(`with tables of recsys in another place than the shop's, and orders in a table of its own, all routes work on ${kind}`, { timeout: TEST_TIMEOUT_MS }, async (t) => {
    const shop = await awayShop(kind);
    if (shop.missing) return t.skip(shop.missing);
    let server;
    const place = kind === 'SQLite' ? path.join(tiny.folder, 'own.sqlite') : `own_${placeOf(shop.directUrl).name}`;
    const toml = path.join(tiny.folder, `own-${kind}.toml`);
    writeFileSync(toml, `[shop]\nown_tables = ${JSON.stringify(place)}\n${SOURCES}`);
    try {
      execFileSync(PYTHON, [MOVE, tiny.folder, shop.directUrl, place], { stdio: 'inherit' });
      await fillUsers(shop.directUrl);
      const others = ['recommendations', 'rec_lists', 'rec_guest_events']; // of another program
      await withModels(shop.directUrl, async (_, sequelize) => {
        for (const table of others) await sequelize.query(`CREATE TABLE ${table} (id INTEGER, owner VARCHAR(9))`);
        await sequelize.query('CREATE TABLE `wp-orders` (`customerId` INTEGER, `the-item` INTEGER, `at` DATETIME, paid INTEGER, back INTEGER)');
      });
      const variables = { DATABASE_URL: shop.url, MODELS_DIR: tiny.models, SPOOL_DIR: path.join(tiny.folder, `own-spool-${kind}`), RECSYS_TOML: toml };
      server = await startServerProcess({ ...variables, ...PATIENT });
      await isReady(server);
      const viewed = await server.post('/api/interaction', { body: { productId: 101, actionCode: 'view', eventId: 'own-view-101' } });
      const headers = { Cookie: viewed.headers.get('set-cookie').split(';')[0] };
      assert.deepEqual((await server.get('/api/viewed', { headers })).body.data.map(({ id }) => id), [101]);
      const login = await server.post('/api/auth/login', { body: { email: 'customer7@shop.example', password: PASSWORD }, headers });
      const { token } = login.body.data;
      const [first, second] = [await server.get(`${LIST}?limit=5`, { token }), await server.get(`${LIST}?limit=5`, { token })];
      await server.get(`${LIST}?limit=5`, { token });
      await assertAdministrators(server); // before the purchase, which makes the list out of date
      const [bought, ordered, returned] = idsOf(first);
      await withModels(shop.directUrl, async (_, sequelize) => {
        for (const [item, back] of [[ordered, 0], [returned, 1]]) {
          await sequelize.query(`INSERT INTO \`wp-orders\` VALUES (7, ${item}, '2026-01-01 10:00:00', 1, ${back})`);
        }
      });
      const fromCache = await server.get(`${LIST}?limit=5`, { token });
      assert.deepEqual([fromCache.body.source, idsOf(fromCache).includes(ordered), idsOf(fromCache).includes(returned)], ['cache', false, true]);
      const stored = await server.post('/api/interaction', { token, body: { productId: bought, actionCode: 'purchase', eventId: 'own-purchase' } });
      const third = await server.get(`${LIST}?limit=5`, { token });

      assert.ok(MODELS_SOURCES.has(first.body.source), first.body.source);
      assert.deepEqual([first.body.fallbackReason, first.body.modelVersion, second.body.source], [null, tiny.current, 'cache']);
      assert.equal(stored.status, 201);
      for (const id of [bought, ordered]) assert.ok(!idsOf(third).includes(id), `${idsOf(third)} after ${id} was bought`);
      assert.equal((await server.delete('/api/recommendations/clear', { token })).status, 200);
      assert.equal(await server.stop(), 0);
      const events = await withModels(shop.directUrl, async ({ Interaction }, sequelize) => {
        for (const table of others) assert.deepEqual(await sequelize.query(`SELECT * FROM ${table}`, { type: QueryTypes.SELECT }), []);
        return Interaction.findAll({ where: { eventId: { [Op.like]: 'own-%' } }, order: ['interId'], attributes: ['userId', 'actionCode'], raw: true });
      });
      assert.deepEqual(events.map(({ userId, actionCode }) => [userId, actionCode]), [[7, 'view'], [7, 'purchase']]);
      const counts = await withModels(shop.directUrl, async ({ Recommendation, ModelRun, GuestEvent }) => Promise.all([Recommendation.count({ where: { userId: 8 } }), ModelRun.count({ where: { userId: 7 } }), GuestEvent.count()]), place);
      assert.deepEqual(counts.map((n) => n > 0), [true, false, false]); // made by the administrator; cleared; joined
    } finally {
      server?.child.kill('SIGKILL'); // does nothing if it has ended
      if (kind === 'MariaDB') await withModels(shop.directUrl, (_, sequelize) => sequelize.query(`DROP DATABASE IF EXISTS ${place}`));
      await shop.remove();
    }
  });
}

async function isReady(server) {
  await eventually(async () => assert.equal((await server.get('/ready')).body.status, 'ready'), READY_MS);
}

/** A list that may be shown: as long as wished, nothing twice, nothing that is not sold. */
function assertList({ status, body }, limit) {
  assert.equal(status, 200, JSON.stringify(body));
  assert.equal(body.errCode, 0);
  assert.equal(body.data.length, limit);
  const ids = body.data.map(({ product }) => product.id);
  assert.equal(new Set(ids).size, limit);
  assert.deepEqual(ids.filter((id) => INACTIVE.has(id)), []);
  for (const { product, score, modelName } of body.data) {
    assert.equal(typeof product.name, 'string');
    assert.ok(Number.isFinite(score) && typeof modelName === 'string');
  }
}

async function assertAdministrators(server) {
  const overview = await server.get('/api/admin/overview', { as: 1 });
  const customer = await server.get('/api/admin/users/7?limit=3', { as: 1 });
  const made = await server.post('/api/admin/users/8/list?limit=3', { as: 1 });
  const { version, models, sentence, answers, latency, python } = overview.body;

  assert.deepEqual([overview.status, customer.status, made.status], [200, 200, 200]);
  assert.equal(version.name, tiny.current);
  assert.deepEqual(models.slice(0, 4).map(({ name }) => name).sort(), ['BMF', 'ENCM', 'LNCM', 'NeuMF']);
  for (const { map10, map10Low, map10High } of models) assert.ok(map10Low <= map10 && map10 <= map10High);
  assert.match(sentence.vi, /đang phục vụ/);
  assert.equal(answers.reduce((sum, { count }) => sum + count, 0), 3); // what this server answered before
  assert.deepEqual([latency.n, python.breaker], [3, 'closed']);
  for (const { list, runs } of [customer.body, made.body]) {
    assert.equal(list.data.length, 3);
    assert.ok(runs.every(({ items }) => items.length === 3 && items.every(({ name }) => typeof name === 'string')));
  }
  assert.ok(customer.body.history.some(({ actionCode }) => actionCode === 'purchase'));
  let sales;
  await eventually(async () => {
    sales = (await server.get('/api/admin/sales', { as: 1 })).body;
    assert.ok(!sales.isComputing, 'the report is being made');
  }, REPORT_MS);
  assert.deepEqual([sales.failure, sales.report.comparison, Object.keys(sales.report.credited)], [null, null, ['click', 'view', 'none']]);
}

function idsOf({ body }) {
  return body.data.map(({ product }) => product.id);
}
