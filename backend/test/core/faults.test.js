/** The recommendation service under faults: concurrent and killed processes; a database that hangs, is full, or rolls back. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { createInterface } from 'node:readline/promises';
import { fileURLToPath } from 'node:url';

import { DatabaseError } from 'sequelize';

import { withinMs } from '../../src/concurrency/time.js';
import { connectDatabase, placeOf } from '../../src/config/database.js';
import { defineModels } from '../../src/models/index.js';
import { isOfDatabase } from '../../src/config/databaseErrors.js';
import { eventually } from '../harness.js';
import { onBothDatabases } from './databases.js';
import { FakePython, fill, idsOf, published, serve } from './shop.js';

const USER = 7;
const PROCESS = fileURLToPath(new URL('process.js', import.meta.url));
const BUDGET_MS = 300;
const SILENT_MS = 8000;
const HANGING_MS = 2500; // well before a statement that hangs is given up by itself, at 5 s

/** Start a backend, and return what lets it begin and what it says in the end. */
async function startProcess(url, deed) {
  const child = spawn(process.execPath, [PROCESS, url, deed], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  assert.equal((await lines.next()).value, 'ready');
  return { begin: () => child.stdin.write('go\n'), told: async () => JSON.parse((await lines.next()).value), ended: once(child, 'exit') };
}

/**
 * A way to a server that can be made to swallow everything, as a server does that hangs; that is cut where a text passes; or whose
 * first connection falls silent there.
 */
async function proxyTo({ host, port }, { cutAt = null, silentAt = null } = {}) {
  const sockets = new Set();
  let isFrozen = false;
  let silent = null;
  const server = createServer((near) => {
    const far = connect(port, host);
    for (const [from, to] of [[near, far], [far, near]]) {
      sockets.add(from);
      from.on('data', (chunk) => {
        if (silentAt !== null && chunk.includes(silentAt)) silent ??= near;
        if (cutAt !== null && chunk.includes(cutAt)) near.destroy();
        else if (!isFrozen && silent !== near) to.write(chunk);
      });
      from.on('error', () => to.destroy());
      from.on('close', () => to.destroy());
    }
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return {
    port: server.address().port,
    freeze: () => {
      isFrozen = true;
    },
    thaw: () => {
      isFrozen = false;
      for (const socket of sockets) socket.destroy(); // what was swallowed is lost
    },
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Do something with a database that is reached through a proxy. */
async function throughProxy(url, { statementMs, ...options }, work) {
  const place = placeOf(url);
  const proxy = await proxyTo(place, options);
  const sequelize = connectDatabase({ databaseUrl: { ...place, host: '127.0.0.1', port: proxy.port } }, { statementMs });
  try {
    await work(sequelize, proxy);
  } finally {
    await proxy.close();
    await sequelize.close();
  }
}

onBothDatabases((shopTest, kind) => {
  shopTest('three processes with a miss at the same time store one whole list', async ({ url, models }) => {
    await fill(models, 9);
    const processes = await Promise.all(['ask', 'ask', 'ask'].map((deed) => startProcess(url, deed)));
    for (const { begin } of processes) begin();
    const told = await Promise.all(processes.map((one) => one.told()));
    for (const { computed } of told) assert.ok(computed <= 1, `${computed} computations for 100 requests of one process`);
    assert.deepEqual(told.flatMap(({ lists }) => lists), Array(3).fill('5,4,3,2,1 null'));
    const rows = await models.Recommendation.findAll({ order: ['id'], raw: true });
    assert.deepEqual(rows.map(({ productId }) => productId), [5, 4, 3, 2, 1]);
    await Promise.all(processes.map(({ ended }) => ended));
  });

  shopTest('a process killed during a store leaves the old list whole', async ({ url, sequelize, models }) => {
    await fill(models, 9);
    const { service } = serve({ sequelize, models }, { python: new FakePython([9, 8, 7]) });
    await service.listForUser(USER, { limit: 3 });
    await sequelize.query('UPDATE rec_lists SET asked = 0'); // so that it is made anew
    const { begin, ended } = await startProcess(url, 'die');
    begin();
    assert.deepEqual(await ended, [null, 'SIGKILL']);
    const rows = await models.Recommendation.findAll({ order: ['id'], raw: true });
    assert.deepEqual(rows.map(({ productId }) => productId), [9, 8, 7]);
    assert.equal(await models.ModelRun.count(), 4);
    const answer = await service.listForUser(USER, { limit: 3 });
    assert.deepEqual([answer.source, idsOf(answer)], ['model', [9, 8, 7]]);
    assert.equal(await models.ModelRun.count(), 8);
    await service.close();
  });

  shopTest('a list is stored again after a deadlock', async ({ sequelize, models }) => {
    await fill(models, 9);
    const deadlock = new DatabaseError(Object.assign(new Error('Deadlock found'), { code: 'ER_LOCK_DEADLOCK', errno: 1213 }));
    let attempts = 0;
    const bulkCreate = async (...args) => {
      attempts += 1;
      if (attempts === 1) throw deadlock;
      return models.ModelRun.bulkCreate(...args);
    };
    const ModelRun = { bulkCreate, getTableName: () => models.ModelRun.getTableName() };
    const { service } = serve({ sequelize, models: { ...models, ModelRun } }, { python: new FakePython([9, 8, 7]) });
    await service.listForUser(USER, { limit: 3 });
    assert.deepEqual([(await service.listForUser(USER, { limit: 3 })).source, attempts], ['cache', 2]);
    assert.equal(await models.ModelRun.count(), 4);
  });

  shopTest('concurrent lists of few users are all stored whole', async ({ sequelize, models, open }) => {
    await fill(models, 40);
    const python = () => new FakePython(Array.from({ length: 30 }, (_, n) => 40 - n));
    const settings = { python: { timeoutMs: 20_000 } };
    const other = open();
    const shops = [{ sequelize, models }, { sequelize: other, models: defineModels(other) }];
    const services = shops.map((shop) => serve(shop, { python: python(), settings }));
    const users = Array.from({ length: 60 }, (_, n) => (n % 6) + 1);
    await Promise.all(users.map((user, n) => services[n % 2].service.computeRecommendationsForUser(user)));
    for (const user of new Set(users)) {
      const rows = await models.Recommendation.findAll({ where: { userId: user }, order: ['id'], raw: true });
      assert.deepEqual(rows.map(({ productId }) => productId), Array.from({ length: 30 }, (_, n) => 40 - n));
    }
    for (const { service } of services) await service.close();
  });

  if (kind === 'SQLite') return;

  shopTest('a database that hangs delays nothing, and is used again afterwards', async ({ url, models }) => {
    await fill(models, 9);
    await throughProxy(url, { statementMs: 1000 }, async (sequelize, proxy) => {
      const version = published({ popular: [2, 1], newest: [9] });
      const { service } = serve({ sequelize, models: defineModels(sequelize) }, { python: new FakePython([9, 8, 7]), version });
      assert.equal((await service.listForUser(USER, { limit: 3 })).source, 'model');
      proxy.freeze();
      for (let n = 0; n < 4; n += 1) {
        const start = performance.now();
        const answer = await service.listForUser(USER, { limit: 3, budgetMs: BUDGET_MS });
        assert.deepEqual([idsOf(answer), answer.source, answer.fallbackReason], [[2, 1, 9], 'snapshot', 'database_unavailable']);
        assert.ok(performance.now() - start < HANGING_MS, 'should not wait for a database that hangs');
      }
      proxy.thaw();
      await eventually(async () => assert.equal((await service.listForUser(USER, { limit: 3 })).source, 'cache'));
    });
  });

  shopTest('a connection lost before its first use is a database failure', async ({ url }) => {
    await throughProxy(url, { cutAt: 'ISOLATION LEVEL' }, async (sequelize) => {
      const error = await sequelize.query('SELECT 1').catch((thrown) => thrown);
      assert.ok(isOfDatabase(error), error?.stack);
    });
  });

  shopTest('a server that is silent after the handshake costs one statement', async ({ url }) => {
    await throughProxy(url, { silentAt: 'time_zone', statementMs: 500 }, async (sequelize) => {
      const lost = await withinMs(SILENT_MS, sequelize.query('SELECT 1')).catch((error) => error);
      assert.ok(isOfDatabase(lost), lost?.stack);
      const [row] = await withinMs(SILENT_MS, sequelize.query('SELECT @@time_zone AS zone', { type: 'SELECT' }));
      assert.equal(row.zone, '+00:00');
    });
  });

  shopTest('without a free connection, the snapshot answers', async ({ open, models }) => {
    await fill(models, 9);
    const sequelize = open();
    const version = published({ popular: [2, 1] });
    const { service } = serve({ sequelize, models: defineModels(sequelize) }, { python: new FakePython([9]), version });
    const held = await Promise.all(Array.from({ length: 10 }, () => sequelize.transaction()));
    const answer = await service.listForUser(USER, { limit: 2, budgetMs: BUDGET_MS });
    assert.deepEqual([answer.source, answer.fallbackReason], ['snapshot', 'database_unavailable']);
    await Promise.all(held.map((transaction) => transaction.rollback()));
    await eventually(async () => assert.equal((await service.listForUser(USER, { limit: 1 })).fallbackReason, null));
  });

  shopTest('connections closed by the server are replaced', async ({ sequelize, models, open }) => {
    await fill(models, 9);
    const mine = open();
    const { service } = serve({ sequelize: mine, models: defineModels(mine) }, { python: new FakePython([9, 8, 7]) });
    await service.listForUser(USER, { limit: 3 });
    const [{ own }] = await sequelize.query('SELECT CONNECTION_ID() AS own', { type: 'SELECT' });
    const sql = 'SELECT ID AS id FROM information_schema.PROCESSLIST WHERE DB = DATABASE() AND ID <> $own';
    const others = await sequelize.query(sql, { bind: { own }, type: 'SELECT' });
    assert.ok(others.length > 0);
    for (const { id } of others) await sequelize.query(`KILL ${Number(id)}`);
    await eventually(async () => assert.equal((await service.listForUser(USER, { limit: 3 })).source, 'cache'));
  });
});
