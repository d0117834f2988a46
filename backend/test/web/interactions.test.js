/** Interactions are stored once, on both databases and during their outages. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, renameSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { ConnectionRefusedError, DatabaseError } from 'sequelize';

import { isRowsFault } from '../../src/config/databaseErrors.js';
import { EventConflict, InteractionService, UnknownProduct } from '../../src/services/interactionService.js';
import { SpoolFailed, openSpool } from '../../src/services/spool/spool.js';
import { onBothDatabases } from '../core/databases.js';
import { eventually } from '../harness.js';
import { listeningLog } from './stage.js';

const ROOT = mkdtempSync(path.join(tmpdir(), 'interactions-'));
const DAY_MS = 86_400_000;
const ONE = { userId: 7, productId: 110, actionCode: 'view', device: 'mobile', eventId: 'event-0001' };

/** Return the service with a spool of its own, and what it told. */
async function service(models, { maxBytes = 1 << 20, ...more } = {}) {
  const { log, lines } = listeningLog();
  const folder = mkdtempSync(path.join(ROOT, 'spool-'));
  const spool = await openSpool({ folder, maxBytes, log });
  const stored = [];
  const interactions = new InteractionService({ models, spool, log, onStored: (interaction) => stored.push(interaction), ...more });
  interactions.start();
  return { interactions, spool, folder, stored, lines };
}

/** Return models over nothing: each insertion ends as the next of the outcomes says, the last one for ever. */
function fakeModels(...outcomes) {
  const rows = new Map();
  let calls = 0;
  const models = {
    Product: { findByPk: async (id) => (id === 404 ? null : { id }) },
    Interaction: {
      create: async (row) => {
        const outcome = outcomes[Math.min(calls, outcomes.length - 1)];
        calls += 1;
        if (outcome instanceof Error) throw outcome;
        if (outcome === 'hang') await new Promise(() => {});
        rows.set(row.eventId, row);
      },
      findOne: async ({ where }) => rows.get(where.eventId) ?? null,
    },
  };
  return { models, rows, calls: () => calls };
}

const away = () => new ConnectionRefusedError(Object.assign(new Error('ECONNREFUSED'), { code: 'ECONNREFUSED' }));
const deadlock = () => new DatabaseError(Object.assign(new Error('Deadlock found'), { code: 'ER_LOCK_DEADLOCK', sql: '' }));
const unfit = () => new DatabaseError(Object.assign(new Error('Data too long'), { code: 'ER_DATA_TOO_LONG', sql: '' }));

const COLUMNS = 'interId INTEGER PRIMARY KEY, userId, productId, actionCode, device_type, timestamp, eventId UNIQUE';
const TRIGGER = 'CREATE TRIGGER refuse BEFORE INSERT ON Interactions FOR EACH ROW';
/** What a shop may have added to its table, and how to take it away. */
const REFUSALS = {
  SQLite: [
    ['a column that must be filled', ['DROP TABLE Interactions', `CREATE TABLE Interactions (${COLUMNS}, needed NOT NULL)`]],
    ['a check', ['DROP TABLE Interactions', `CREATE TABLE Interactions (${COLUMNS}, CHECK (actionCode <> 'cart'))`]],
    ['a trigger', [`${TRIGGER} BEGIN SELECT RAISE(ABORT, 'no carts'); END`]],
  ],
  MariaDB: [
    ['a column that must be filled', ['ALTER TABLE Interactions ADD COLUMN needed INT NOT NULL'], 'ALTER TABLE Interactions DROP COLUMN needed'],
    ['a check', ["ALTER TABLE Interactions ADD CONSTRAINT no_carts CHECK (actionCode <> 'cart')"], 'ALTER TABLE Interactions DROP CONSTRAINT no_carts'],
    ['a trigger', [`${TRIGGER} SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no carts'`], 'DROP TRIGGER refuse'],
    ['words of its own', ["ALTER TABLE Interactions MODIFY actionCode ENUM('view') NOT NULL"], 'ALTER TABLE Interactions MODIFY actionCode VARCHAR(50) NOT NULL'],
  ],
};

onBothDatabases((shopTest, kind) => {
  for (const [what, changes, undo] of REFUSALS[kind]) {
    shopTest(`a row refused by ${what} of the shop is refused, and rejected from the spool`, async ({ models, sequelize }) => {
      await models.Product.create({ id: 110, name: 'Nord tea' });
      const cart = { ...ONE, actionCode: 'cart' };
      for (const sql of changes) await sequelize.query(sql);
      try {
        const refused = await service(models);
        await assert.rejects(refused.interactions.record(cart), isRowsFault);
        await refused.interactions.close();
        const late = await service({ ...models, Interaction: { create: async () => Promise.reject(away()) } });
        await late.interactions.record(cart);
        await late.interactions.close();
        const { log } = listeningLog();
        const next = new InteractionService({ models, spool: await openSpool({ folder: late.folder, maxBytes: 1 << 20, log }), log });
        assert.deepEqual(await next.drain(), { stored: 0, duplicate: 0, rejected: 1 });
        await next.close();
      } finally {
        if (undo) await sequelize.query(undo);
      }
    });
  }

  shopTest('an interaction is in the table when it is acknowledged', async ({ models }) => {
    await models.Product.create({ id: 110, name: 'Nord tea' });
    const { interactions, stored } = await service(models);
    const timestamp = new Date(Date.now() - DAY_MS);
    const done = await interactions.record({ ...ONE, timestamp });
    const rows = await models.Interaction.findAll({ raw: true });
    await interactions.close();

    assert.deepEqual(done, { eventId: 'event-0001', stored: true, duplicate: false, spooled: false, clamped: null });
    const [{ interId: _, timestamp: kept, ...row }] = rows;
    assert.deepEqual(row, { userId: 7, productId: 110, actionCode: 'view', device_type: 'mobile', eventId: 'event-0001' });
    assert.equal(Math.floor(new Date(String(kept).endsWith('Z') || kept instanceof Date ? kept : `${kept}Z`).getTime() / 1000), Math.floor(timestamp.getTime() / 1000));
    assert.deepEqual(stored.map(({ eventId }) => eventId), ['event-0001']);
  });

  shopTest('F59 one event, sent a hundred times and after a restart, is one row', async ({ models }) => {
    await models.Product.create({ id: 110, name: 'Nord tea' });
    const { interactions, stored } = await service(models);
    const answers = await Promise.all(Array.from({ length: 100 }, () => interactions.record(ONE)));
    await interactions.close();
    const again = await service(models);
    answers.push(await again.interactions.record(ONE));
    await again.interactions.close();

    assert.equal(await models.Interaction.count(), 1);
    assert.equal(stored.length, 1);
    assert.ok(answers.filter((answer) => answer.stored).length <= 1);
    assert.ok(answers.every((answer) => answer.stored || answer.duplicate || answer.spooled)); // a slow server's go by way of the disk
    assert.equal(answers.at(-1).duplicate, true);
  });

  shopTest('an event id of another interaction is a conflict', async ({ models }) => {
    await models.Product.bulkCreate([{ id: 110, name: 'Nord tea' }, { id: 111, name: 'Sud tea' }]);
    const { interactions } = await service(models);
    await interactions.record(ONE);
    for (const change of [{ userId: 8 }, { productId: 111 }, { actionCode: 'cart' }]) {
      await assert.rejects(interactions.record({ ...ONE, ...change }), EventConflict);
    }
    assert.equal((await interactions.record({ ...ONE, device: 'desktop', timestamp: new Date() })).duplicate, true);
    await interactions.close();

    assert.equal(await models.Interaction.count(), 1);
  });

  shopTest('event ids that differ in case are different', async ({ models }) => {
    await models.Product.create({ id: 110, name: 'Nord tea' });
    const { interactions } = await service(models);
    await interactions.record({ ...ONE, eventId: 'event-abcd' });
    await interactions.record({ ...ONE, eventId: 'EVENT-ABCD' });
    await interactions.close();

    assert.equal(await models.Interaction.count(), 2);
  });

  shopTest('an unknown product is refused, and nothing stored', async ({ models }) => {
    const { interactions } = await service(models);
    await assert.rejects(interactions.record(ONE), UnknownProduct);
    await interactions.close();

    assert.equal(await models.Interaction.count(), 0);
  });

  shopTest('F61 times in any order are stored, within the last thirty days', async ({ models }) => {
    await models.Product.create({ id: 110, name: 'Nord tea' });
    const now = Date.UTC(2026, 10, 21, 12);
    const { interactions } = await service(models, { now: () => now });
    const clamps = [];
    for (const [number, moment] of [now - DAY_MS, now + 1, now - 2 * DAY_MS, 253_402_300_799_000, 0, now - 30 * DAY_MS].entries()) {
      clamps.push((await interactions.record({ ...ONE, eventId: `event-${number}000`, timestamp: new Date(moment) })).clamped);
    }
    await interactions.close();
    const rows = await models.Interaction.findAll({ order: ['interId'] });

    assert.deepEqual(clamps, [null, 'future', null, 'future', 'past', null]);
    assert.deepEqual(rows.map(({ timestamp }) => (now - timestamp.getTime()) / DAY_MS), [1, 0, 2, 0, 30, 30]);
  });

  shopTest('spooled records are stored in order, even of deleted products', async ({ models, sequelize }) => {
    const { interactions, spool } = await service(models);
    const create = models.Interaction.create;
    models.Interaction.create = async () => Promise.reject(away());
    await models.Product.create({ id: 110, name: 'Nord tea' });
    for (let number = 0; number < 5; number += 1) {
      assert.deepEqual(await interactions.record({ ...ONE, eventId: `event-000${number}` }), { eventId: `event-000${number}`, stored: false, duplicate: false, spooled: true, clamped: null });
    }
    await sequelize.query('DELETE FROM Products');
    models.Interaction.create = create;
    assert.deepEqual(await interactions.drain(), { stored: 5, duplicate: 0, rejected: 0 });
    await interactions.close();

    const rows = await models.Interaction.findAll({ order: ['interId'], raw: true });
    assert.deepEqual(rows.map(({ eventId }) => eventId), [0, 1, 2, 3, 4].map((number) => `event-000${number}`));
    assert.equal(spool.pending, 0);
  });
});

test('F55 without a database, interactions go to the disk and are stored later', async () => {
  const { models, rows } = fakeModels(away(), away(), 'ok');
  const { interactions, stored } = await service(models);
  const done = await interactions.record(ONE);
  assert.equal(done.spooled, true);
  await eventually(() => assert.equal(rows.size, 1));
  await interactions.close();

  assert.equal(stored.length, 1);
});

test('F57 a database that hangs costs one second once', async () => {
  const { models, calls } = fakeModels('hang');
  const { interactions } = await service(models);
  const start = performance.now();
  assert.equal((await interactions.record(ONE)).spooled, true);
  assert.ok(performance.now() - start >= 990);
  assert.equal((await interactions.record({ ...ONE, eventId: 'event-0002' })).spooled, true);
  assert.equal(calls(), 1);
  await interactions.close();
});

test('F58 a deadlock is repeated once, then the record goes to the disk', async () => {
  const once = fakeModels(deadlock(), 'ok');
  const first = await service(once.models);
  assert.equal((await first.interactions.record(ONE)).stored, true);
  await first.interactions.close();
  const twice = fakeModels(deadlock(), deadlock(), 'ok');
  const second = await service(twice.models);
  assert.equal((await second.interactions.record(ONE)).spooled, true);
  assert.equal(twice.calls(), 2);
  await second.interactions.close();
});

test('F59 a waiting event is a duplicate or a conflict, as in the database', async () => {
  const { models } = fakeModels(away());
  const { interactions, spool } = await service(models);
  await interactions.record(ONE);
  const again = await interactions.record(ONE);
  await assert.rejects(interactions.record({ ...ONE, actionCode: 'purchase' }), EventConflict);

  assert.deepEqual([again.stored, again.duplicate, again.spooled], [false, true, true]);
  assert.equal(spool.pending, 1);
  await interactions.close();
});

test('F60 records on the disk are stored by the next process', async () => {
  const first = fakeModels(away());
  const { interactions, folder } = await service(first.models);
  await interactions.record(ONE);
  await interactions.close();
  const { models, rows } = fakeModels('ok');
  const { log } = listeningLog();
  const next = new InteractionService({ models, spool: await openSpool({ folder, maxBytes: 1 << 20, log }), log });
  next.start();
  await eventually(() => assert.equal(rows.size, 1));
  await next.close();

  const { timestamp: _, ...row } = rows.get('event-0001');
  assert.deepEqual(row, { ...ONE, device_type: 'mobile' });
});

test('a slow database delays the end once, the next process stores the rest', async () => {
  const slow = fakeModels(away(), away(), away());
  const { interactions, folder, lines } = await service(slow.models);
  const ids = Array.from({ length: 20 }, (_, n) => `event-${1000 + n}`);
  for (const eventId of ids) await interactions.record({ ...ONE, eventId });
  slow.models.Interaction.create = async (row) => {
    await sleep(300);
    slow.rows.set(row.eventId, row);
  };
  await interactions.close();
  assert.ok(slow.rows.size < ids.length, `${slow.rows.size} were waited for`);
  assert.ok(lines.some(({ msg, pending }) => msg === 'interactions stay in the spool' && pending === ids.length - slow.rows.size));

  const next = fakeModels('ok');
  const { log } = listeningLog();
  const heir = new InteractionService({ models: next.models, spool: await openSpool({ folder, maxBytes: 1 << 20, log }), log });
  heir.start();
  await heir.close();
  assert.deepEqual([...next.rows.keys()], ids);
});

test('a conflict found later is rejected into a file, not dropped', async () => {
  const { models, rows } = fakeModels(away(), unfit());
  rows.set('event-0001', { ...ONE, userId: 8 });
  const { interactions, folder, spool, lines } = await service(models);
  await interactions.record(ONE);
  assert.deepEqual(await interactions.drain(), { stored: 0, duplicate: 0, rejected: 1 });
  await interactions.close();

  assert.equal(spool.stats().rejected, 1);
  assert.equal(JSON.parse(readFileSync(path.join(folder, 'rejected.jsonl'), 'utf8')).key, 'event-0001');
  assert.ok(lines.some(({ msg, level }) => level === 50 && /rejected\.jsonl/.test(msg)));
});

test('a row that fits no table is refused, and not spooled', async () => {
  const { models } = fakeModels(unfit());
  const { interactions, spool } = await service(models);
  await assert.rejects(interactions.record(ONE), DatabaseError);
  assert.equal(spool.pending, 0);
  await interactions.close();
});

test('without database and disk space, nothing is acknowledged', async () => {
  const { models } = fakeModels(away());
  const { interactions, spool } = await service(models, { maxBytes: 10 });
  await assert.rejects(interactions.record(ONE), SpoolFailed);
  assert.equal(spool.pending, 0);
  await interactions.close();
});

test('interactions without event ids are all different', async () => {
  const { models, rows } = fakeModels('ok');
  const { interactions } = await service(models);
  const { eventId: _, ...nameless } = ONE;
  const ids = [await interactions.record(nameless), await interactions.record(nameless)].map(({ eventId }) => eventId);
  await interactions.close();

  assert.deepEqual([...rows.keys()], ids);
  assert.equal(new Set(ids).size, 2);
});

test('a failing listener does not undo the store', async () => {
  const { models } = fakeModels('ok');
  const { interactions, lines } = await service(models, {
    onStored: () => {
      throw new Error('a defect');
    },
  });
  assert.equal((await interactions.record(ONE)).stored, true);
  await interactions.close();
  assert.ok(lines.some(({ err }) => err?.message === 'a defect'));
});

onBothDatabases((shopTest, kind) => {
  if (kind !== 'SQLite') return;
  shopTest('F55 a SQLite file that is moved away and back loses nothing', async ({ models, url }) => {
    await models.Product.create({ id: 110, name: 'Nord tea' });
    const { interactions } = await service(models);
    const file = url.replace('sqlite:///', '');
    renameSync(file, `${file}.away`);
    assert.equal((await interactions.record(ONE)).spooled, true);
    renameSync(`${file}.away`, file);
    await eventually(async () => assert.equal(await models.Interaction.count(), 1));
    await interactions.close();
  });
});
