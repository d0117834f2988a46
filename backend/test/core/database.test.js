/** Both databases through Sequelize: values, transactions, failures and time limits. */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

import { ConnectionError, DatabaseError, QueryTypes } from 'sequelize';

import { connectDatabase, placeOf } from '../../src/config/database.js';
import { defineModels } from '../../src/models/index.js';
import { isMissingTable, isOfDatabase } from '../../src/config/databaseErrors.js';
import { REPOSITORY } from '../harness.js';
import { newDatabase, onBothDatabases } from './databases.js';
import { migrate } from './migrate.js';

const COUNT = 'SELECT COUNT(*) AS n FROM Interactions';

onBothDatabases((shopTest, kind) => {
  shopTest('written values are read back unchanged', async ({ models }) => {
    const { User, Product, Productdetail, Interaction, Comment, Recommendation, ModelRun } = models;
    await User.create({ id: 7, email: 'lan@example.org', password: 'a hash', dob: '1990-02-28' });
    await Product.create({ id: 101, name: 'Trà xanh 🍵', categoryId: 'tea', view: 3 });
    await Productdetail.bulkCreate([{ productId: 101, originalPrice: 2.55, discountPrice: null, stock: 3 }]);
    const moment = new Date('2024-02-29T23:59:59.987Z');
    const event = await Interaction.create({ userId: 7, productId: 101, actionCode: 'view', timestamp: moment, eventId: 'aB' });
    const rows = await Recommendation.bulkCreate([1, 2, 3].map((n) => ({ userId: 7, productId: n, modelName: 'BMF', score: 1 / n })));
    await Comment.create({ userId: 7, productId: 101, star: 5, content: 'good' });
    await ModelRun.create({ userId: 7, modelName: 'BMF', metricsJson: '{}' });

    assert.deepEqual(rows.map(({ id }) => id - rows[0].id), [0, 1, 2]);
    const product = await Product.findByPk(101);
    const { originalPrice, discountPrice } = await Productdetail.findOne({ where: { productId: 101 } });
    assert.deepEqual([product.name, product.statusId, originalPrice, discountPrice], ['Trà xanh 🍵', 'S1', 2.55, null]);
    const stored = await Interaction.findByPk(event.interId);
    assert.equal(stored.timestamp.toISOString(), '2024-02-29T23:59:59.000Z');
    const user = await User.findOne({ where: { email: 'lan@example.org' } });
    assert.equal(user.password, 'a hash');
    assert.equal(JSON.parse(JSON.stringify(user)).password, undefined);
    assert.deepEqual((await Recommendation.findAll({ order: ['id'] })).map(({ score }) => score), [1, 1 / 2, 1 / 3]);
  });

  shopTest('moments are stored as Python stores them', async ({ models, sequelize }) => {
    await models.Interaction.create({ userId: 1, productId: 2, actionCode: 'view', timestamp: new Date('2024-03-01T05:06:07.999Z') });
    const text = kind === 'SQLite' ? 'timestamp' : 'CAST(timestamp AS CHAR)';
    const [row] = await sequelize.query(`SELECT ${text} AS moment FROM Interactions`, { type: QueryTypes.SELECT });
    assert.equal(row.moment, '2024-03-01 05:06:07');
  });

  shopTest('an event id is stored once, also by concurrent writers; null often', async ({ models, sequelize }) => {
    const event = { userId: 1, productId: 2, actionCode: 'view' };
    const outcomes = await Promise.allSettled(Array.from({ length: 30 }, () => models.Interaction.create({ ...event, eventId: 'one' })));
    const refused = outcomes.filter(({ status }) => status === 'rejected').map(({ reason }) => reason.name);
    assert.deepEqual([refused.length, ...new Set(refused)], [29, 'SequelizeUniqueConstraintError']);
    await models.Interaction.bulkCreate([event, event]);
    const [{ n }] = await sequelize.query(COUNT, { type: QueryTypes.SELECT });
    assert.equal(n, 3);
  });

  shopTest('fifty concurrent transactions succeed beside fifty single writes', async ({ open }) => {
    const sequelize = open({ acquireMs: 60_000 }); // of the hundred, some wait for nine tenths of the others
    const models = defineModels(sequelize);
    const event = (productId) => ({ userId: 1, productId, actionCode: 'view' });
    const inTransaction = (n) =>
      sequelize.transaction(async (transaction) => {
        await models.Interaction.create(event(n), { transaction });
        await models.Interaction.create(event(100 + n), { transaction });
      });
    const numbers = Array.from({ length: 50 }, (_, n) => n);
    await Promise.all(numbers.flatMap((n) => [inTransaction(n), models.Interaction.create(event(200 + n))]));
    const [{ n }] = await sequelize.query(COUNT, { type: QueryTypes.SELECT });
    assert.equal(n, 150);
  });

  shopTest('a failed transaction changes nothing, and the next one succeeds', async ({ models, sequelize }) => {
    const event = { userId: 1, productId: 2, actionCode: 'view', eventId: 'twice' };
    const failing = sequelize.transaction(async (transaction) => {
      await models.Interaction.create(event, { transaction });
      await models.Interaction.create(event, { transaction });
    });
    await assert.rejects(failing, { name: 'SequelizeUniqueConstraintError' });
    await sequelize.transaction((transaction) => models.Interaction.create(event, { transaction }));
    const [{ n }] = await sequelize.query(COUNT, { type: QueryTypes.SELECT });
    assert.equal(n, 1);
  });

  shopTest('findOrCreate, which opens its own transaction, makes one row', async ({ models, sequelize }) => {
    const where = { email: 'one@example.org' };
    const made = await Promise.all([1, 2, 3, 4].map(() => models.User.findOrCreate({ where })));
    assert.equal(new Set(made.map(([user]) => user.id)).size, 1);
    const [{ n }] = await sequelize.query('SELECT COUNT(*) AS n FROM Users', { type: QueryTypes.SELECT });
    assert.equal(n, 1);
  });

  shopTest('values are bound unchanged, and whole numbers stay whole', async ({ sequelize }) => {
    const nasty = "'; DROP TABLE Users; -- $x";
    const [row] = await sequelize.query('SELECT $nasty AS nasty, $whole AS whole, $nil AS nil', {
      bind: { nasty, whole: 7, nil: null },
      type: QueryTypes.SELECT,
    });
    assert.deepEqual([row.nasty, Number(row.whole), row.nil], [nasty, 7, null]);
  });

  shopTest('a transaction that waits for itself is refused', async ({ open }) => {
    if (kind !== 'SQLite') return;
    const sequelize = open({ busyMs: 50 });
    const nested = sequelize.transaction(() => sequelize.transaction(async () => {}));
    await assert.rejects(nested, { name: 'SequelizeTimeoutError', message: /should end their transactions within 50 ms/ });
    assert.equal(await sequelize.transaction(async () => 'well'), 'well');
  });

  shopTest('an unmanaged transaction releases its turn in any case', async ({ sequelize, models }) => {
    for (const end of ['commit', 'rollback', 'commit']) {
      const transaction = await sequelize.transaction();
      await models.Interaction.create({ userId: 1, productId: 2, actionCode: 'view' }, { transaction });
      await transaction[end]();
    }
    const [{ n }] = await sequelize.query(COUNT, { type: QueryTypes.SELECT });
    assert.equal(n, 2);
  });
});

test('SQLite: a write waits for another program’s lock, and reads do not', { timeout: 60_000 }, async () => {
  const server = await newDatabase('sqlite');
  try {
    const url = await server.emptyShop();
    const [one, other] = [connectDatabase({ databaseUrl: url }), connectDatabase({ databaseUrl: url })];
    await migrate(url);
    const transaction = await one.transaction();
    const waiting = defineModels(other).Interaction.create({ userId: 1, productId: 2, actionCode: 'view' });
    const [{ n }] = await other.query(COUNT, { type: QueryTypes.SELECT }); // reading is possible
    assert.equal(n, 0);
    await transaction.commit();
    await waiting;
    const held = await one.transaction();
    const impatient = connectDatabase({ databaseUrl: url }, { busyMs: 30 });
    const refused = defineModels(impatient).Interaction.create({ userId: 1, productId: 2, actionCode: 'view' });
    await assert.rejects(refused, { name: 'SequelizeTimeoutError' });
    await held.rollback();
    for (const sequelize of [one, other, impatient]) await sequelize.close();
  } finally {
    await server.close();
  }
});

test('SQLite: a file that is missing, moved or invalid is reported, and found again', { timeout: 60_000 }, async () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'recsys-core-'));
  const server = await newDatabase('sqlite');
  try {
    const file = placeOf(await server.emptyShop()).file;
    const sequelize = connectDatabase({ databaseUrl: `sqlite:///${file}` });
    await migrate(`sqlite:///${file}`);
    const away = path.join(folder, 'away.sqlite');
    await sequelize.query('PRAGMA wal_checkpoint(TRUNCATE)');
    renameSync(file, away);
    for (const beside of ['-wal', '-shm']) rmSync(file + beside);
    await assert.rejects(sequelize.query(COUNT), /should be the shop's database. Received: no such file/);
    writeFileSync(file, 'no database at all '.repeat(100));
    await assert.rejects(sequelize.query(COUNT), /not a database/);
    renameSync(away, file);
    const [{ n }] = await sequelize.query(COUNT, { type: QueryTypes.SELECT });
    assert.equal(n, 0);
    await sequelize.close();
  } finally {
    await server.close();
    rmSync(folder, { recursive: true, force: true });
  }
});

test('SQLite: a missing folder is a database failure, and is not created', async () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'recsys-core-'));
  try {
    writeFileSync(path.join(folder, 'file'), '');
    for (const parent of ['file', 'absent']) {
      const sequelize = connectDatabase({ databaseUrl: `sqlite:///${path.join(folder, parent, 'deeper', 'shop.sqlite')}` });
      for (const ask of [() => sequelize.query(COUNT), () => sequelize.transaction(() => sequelize.query(COUNT))]) {
        const error = await ask().catch((thrown) => thrown);
        assert.ok(isOfDatabase(error), error?.stack);
      }
      await sequelize.close();
    }
    assert.deepEqual(readdirSync(folder), ['file']);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test('SQLite: a value of an unknown type is refused', async () => {
  const server = await newDatabase('sqlite');
  try {
    const sequelize = connectDatabase({ databaseUrl: await server.emptyShop() });
    for (const value of [Symbol('x'), { toString: () => '1' }, NaN, Infinity]) {
      await assert.rejects(sequelize.query('SELECT $value', { bind: { value } }), /should be a text, number, boolean, Buffer or null/);
    }
    const [row] = await sequelize.query('SELECT $yes AS yes', { bind: { yes: true }, type: QueryTypes.SELECT });
    assert.equal(row.yes, 1);
    await sequelize.close();
  } finally {
    await server.close();
  }
});

test('MariaDB: a statement that hangs is ended with its connection', { timeout: 60_000 }, async (t) => {
  const server = await newDatabase('mariadb');
  try {
    if (server.missing) return t.skip(server.missing);
    const sequelize = connectDatabase({ databaseUrl: await server.emptyShop() }, { statementMs: 300 });
    const idOf = async () => (await sequelize.query('SELECT CONNECTION_ID() AS id', { type: QueryTypes.SELECT }))[0].id;
    const first = await idOf();
    await assert.rejects(sequelize.query('SELECT SLEEP(30)'), /should answer within 300 ms/);
    assert.notEqual(await idOf(), first);
    await sequelize.close();
  } finally {
    await server.close();
  }
});

test('a URL is read as on the Python side, other texts are refused', () => {
  assert.deepEqual(placeOf('mysql+pymysql://a%40b:p%2Fw@db.example:3307/sh%20op'), {
    host: 'db.example', port: 3307, user: 'a@b', password: 'p/w', name: 'sh op', socket: null, certificate: null,
  });
  assert.equal(placeOf('mysql://localhost/shop').user, 'root');
  assert.equal(placeOf('sqlite:////srv/shop.sqlite').file, '/srv/shop.sqlite');
  assert.equal(placeOf('sqlite:///data/demo.sqlite').file, path.join(REPOSITORY, 'data/demo.sqlite'));
  for (const wrong of ['', 'sqlite:///', 'sqlite:///:memory:', 'postgresql://h/x', 'mysql://h', undefined, 'shop']) {
    assert.throws(() => placeOf(wrong), { name: 'SettingsError' }, String(wrong));
  }
});

for (const [what, error, expected] of [
  ['a table that is missing', new DatabaseError(failure('ER_NO_SUCH_TABLE')), true],
  ['a file without the table', new DatabaseError(failure('SQLITE_ERROR', 'no such table: rec_lists')), true],
  ['a database of `own_tables` that is missing, in MySQL 8', new DatabaseError(failure('ER_BAD_DB_ERROR')), true],
  ['a database of DATABASE_URL that is missing', new ConnectionError(failure('ER_BAD_DB_ERROR')), false],
  ['a column that is missing', new DatabaseError(failure('ER_BAD_FIELD_ERROR')), false],
]) {
  test(`${what} is ${expected ? '' : 'no '}missing table`, () => assert.equal(isMissingTable(error), expected));
}

function failure(code, message = code) {
  return Object.assign(new Error(message), { code, sql: 'SELECT 1' });
}
