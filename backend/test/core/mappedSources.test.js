/** Sources of `recsys.toml` beside `Interactions`: the table of cases that Python's tests use, too, and what they hide on both databases. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { checkMapping, checkSources } from '../../src/config/mapping.js';
import { oneUserSql, partsOf } from '../../src/config/sources.js';
import { Catalogue } from '../../src/services/recommendations/catalogue.js';
import { DEFAULT_RULES } from '../../src/services/recommendations/snapshot.js';
import { onBothDatabases } from './databases.js';
import { Clock, MINUTE_MS, NOW, VERSION, published, serve } from './shop.js';

const CASES = JSON.parse(readFileSync(new URL('../../../tests/store/source_cases.json', import.meta.url), 'utf8'));
const PLAIN = { table: 'Interactions', user: 'userId', item: 'productId', event: 'actionCode', timestamp: 'timestamp' };
const ORDERS = {
  ...{ table: 'wp-orders', user: 'customerId', item: '"the item"', timestamp: 'placedAt', row_id: 'row', where: "note <> '$paid :user_id' -- it's a note" },
  ...{ purchase_when: "state IN ('paid', 'back')", returned_when: "state = 'back' OR pieces <= 0" },
};
const DATABASE = { mysql: { name: 'shop' }, sqlite: { file: '/shop.sqlite' } };

for (const [name, parts] of CASES.names) {
  test(`the name ${JSON.stringify(name)} is ${parts === null ? 'none' : parts.length > 1 ? 'one with a schema' : 'one'}`, () => assert.deepEqual(partsOf(name), parts));
}

for (const { title, source, purchase, one_user: text } of CASES.sources) {
  test(`a source with ${title} is ${text === null ? 'refused' : 'read as in Python'}`, () => {
    if (text === null) assert.throws(() => oneUserSql(source, purchase), /^SettingsError: \[\[sources\]\] of recsys\.toml should /);
    else assert.equal(oneUserSql(source, purchase), text);
  });
}

for (const [what, source, database, isPlain] of [
  ['names in quotes', { ...PLAIN, table: '"Interactions"', user: '`userId`' }, DATABASE.mysql, true],
  ['the name of the database in front', { ...PLAIN, table: 'Shop.`Interactions`' }, DATABASE.mysql, true],
  ['the name that SQLite gives its file', { ...PLAIN, table: 'main.Interactions' }, DATABASE.sqlite, true],
  ['a condition', { ...PLAIN, where: 'device_type IS NULL' }, DATABASE.mysql, false],
  ['a column of quantities', { ...PLAIN, quantity: 'pieces' }, DATABASE.mysql, false],
  ['a text with names in quotes', { since: 'SELECT 1 FROM "Interactions" i', one_user: 'SELECT 1 FROM shop . `Interactions`' }, DATABASE.mysql, false],
]) {
  test(`the default table is known by ${what}`, () => assert.equal(checkMapping({ sources: [source] }, database).isPlain, isPlain));
}

for (const [what, source, database] of [
  ['another database', { ...PLAIN, table: 'old.Interactions' }, DATABASE.mysql],
  ['another name in quotes', { ...PLAIN, table: '"Interactions-old"' }, DATABASE.mysql],
  ['another name in a text', { since: 'SELECT 1 FROM `Interactions-old`', one_user: 'SELECT 1 FROM `Interactions-old`' }, DATABASE.mysql],
  ['a comment', { since: 'SELECT 1 FROM a -- FROM Interactions', one_user: 'SELECT 1 FROM a /* FROM Interactions */' }, DATABASE.sqlite],
]) {
  test(`${what} is not the default table`, () => assert.throws(() => checkMapping({ sources: [source] }, database), /the table Interactions/));
}

onBothDatabases((shopTest, kind) => {
  const database = kind === 'SQLite' ? DATABASE.sqlite : DATABASE.mysql;

  /** Make the table of orders, with a row for each list of values. */
  async function order(sequelize, rows, moment = 'DATETIME') {
    await sequelize.query('DROP TABLE IF EXISTS `wp-orders`');
    await sequelize.query(
      `CREATE TABLE \`wp-orders\` (\`customerId\` VARCHAR(20), \`the item\` VARCHAR(20), \`placedAt\` ${moment}, \`row\` INTEGER, state VARCHAR(9), pieces INTEGER, note VARCHAR(20))`,
    );
    for (const [index, [user, item, state, pieces, note, at]] of rows.entries()) {
      const values = { user, item, at: at ?? new Date(NOW - MINUTE_MS).toISOString().slice(0, 19).replace('T', ' '), row: index, state, pieces, note };
      await sequelize.query('INSERT INTO `wp-orders` VALUES ($user, $item, $at, $row, $state, $pieces, $note)', { bind: values });
    }
  }

  const eligible = async ({ sequelize }, source, sources = [source, PLAIN], userId = 7) => {
    const mapping = checkMapping({ sources }, database);
    await checkSources({ sequelize, sources: mapping.sources });
    const catalogue = new Catalogue(sequelize, new Clock(NOW), mapping);
    return [...(await catalogue.eligible(userId, [1, 2, 3, 4, 5, 6, 7], DEFAULT_RULES)).keys()].sort();
  };

  shopTest('what was bought by a table whose names need quotes is hidden, by its conditions', async (shop) => {
    await shop.models.Product.bulkCreate([1, 2, 3, 4, 5, 6, 7].map((id) => ({ id, name: `Product ${id}` })));
    await order(shop.sequelize, [
      ['7', '1', 'paid', 1, ''],
      ['7', '2', 'back', 1, ''], // came back
      ['7', '3', 'new', 1, ''], // is no purchase yet
      ['7', '4', 'paid', 1, '$paid :user_id'], // left out by its note
      ['7', '5', 'paid', -1, ''],
      ['7a', '6', 'paid', 1, ''], // another user, whom MySQL takes for the number 7
      ['7', 'x-7', 'paid', 1, ''], // no product of this shop
    ]);
    await shop.models.Interaction.create({ userId: 7, productId: 7, actionCode: 'purchase', timestamp: new Date(NOW - MINUTE_MS) });

    assert.deepEqual(await eligible(shop, ORDERS), [2, 3, 4, 5, 6]);
    assert.deepEqual(await eligible(shop, ORDERS, [PLAIN]), [1, 2, 3, 4, 5, 6]);
    assert.deepEqual(await eligible(shop, ORDERS, undefined, 8), [1, 2, 3, 4, 5, 6, 7]);
    const text = { since: 'SELECT 1 FROM Interactions', one_user: oneUserSql(ORDERS) };
    assert.deepEqual(await eligible(shop, text, [text, PLAIN]), [2, 3, 4, 5, 6]);
    assert.deepEqual(await eligible(shop, ORDERS, [ORDERS, { ...PLAIN, where: "productId <> 7 AND actionCode <> ''" }]), [2, 3, 4, 5, 6, 7]);
  });

  for (const type of ['DECIMAL(9,2)', 'VARCHAR(20)']) {
    shopTest(`a cancellation takes back its pieces, which are ${type}`, async (shop) => {
      await shop.models.Product.bulkCreate([1, 2, 3, 4, 5, 6, 7].map((id) => ({ id, name: `Product ${id}` })));
      await shop.sequelize.query('DROP TABLE IF EXISTS returns');
      await shop.sequelize.query(`CREATE TABLE returns (who INTEGER, what INTEGER, did VARCHAR(20), at INTEGER, n ${type})`);
      const rows = [[1, 'purchase', 60, 2], [1, 'cancel', 50, -1], [2, 'purchase', 60, 1], [2, 'purchase', 50, 1], [2, 'cancel', 40, 2], [3, 'purchase', 60, 2], [3, 'cancel', 50, null]];
      for (const [what, did, age, n] of rows) {
        await shop.sequelize.query('INSERT INTO returns VALUES (7, $what, $did, $at, $n)', { bind: { what, did, at: NOW / 1000 - age, n } });
      }
      const returns = { table: 'returns', user: 'who', item: 'what', event: 'did', timestamp: 'at' };

      assert.deepEqual(await eligible(shop, { ...returns, quantity: 'n' }), [2, 3, 4, 5, 6, 7]);
      assert.deepEqual(await eligible(shop, { ...returns, quantity: '0 + n' }), [2, 3, 4, 5, 6, 7]);
      assert.deepEqual(await eligible(shop, returns), [1, 3, 4, 5, 6, 7]); // each is one purchase
    });
  }

  shopTest('moments may be seconds, milliseconds or ISO text', async (shop) => {
    await shop.models.Product.bulkCreate([1, 2, 3, 4, 5, 6, 7].map((id) => ({ id, name: `Product ${id}` })));
    const moments = [String(NOW / 1000), String(NOW), new Date(NOW).toISOString(), '2199-01-01 00:00:00', 'never'];
    await order(shop.sequelize, moments.map((at, index) => ['7', String(index + 1), 'paid', 1, '', at]), 'VARCHAR(40)');

    assert.deepEqual(await eligible(shop, ORDERS), [4, 5, 6, 7]);
  });

  shopTest('a list of the night is not answered after an order in such a table', async (shop) => {
    const { sequelize, models } = shop;
    await models.Product.bulkCreate([1, 2, 3].map((id) => ({ id, name: `Product ${id}` })));
    await order(sequelize, []);
    const made = NOW / 1000 - 3600;
    for (const [position, item] of [1, 2].entries()) {
      const bind = { user: '7', position: position + 1, item: String(item), made, version: VERSION };
      await sequelize.query(
        "INSERT INTO rec_batch_lists (user_id, position, item_id, score, version, model, source, computed_at) VALUES ($user, $position, $item, 0.5, $version, 'BMF', 'model', $made)",
        { bind },
      );
    }
    const settings = { mapping: checkMapping({ sources: [PLAIN, ORDERS] }, database) };
    const answer = async () => (await serve({ sequelize, models }, { settings, version: published() }).service.listForUser(7, { limit: 2 })).source;

    const before = await answer();
    await order(sequelize, [['7', '3', 'paid', 1, '']]);
    await sequelize.query('DELETE FROM rec_lists');
    assert.equal(before, 'cache');
    assert.notEqual(await answer(), 'cache');
  });

  for (const [what, change] of [['a column that is missing', { item: 'itm' }], ['a table that is missing', { table: 'wp-order' }], ['a condition that is no SQL', { where: 'state = = 1' }]]) {
    shopTest(`${what} ends the start by name`, async (shop) => {
      await order(shop.sequelize, []);
      await assert.rejects(eligible(shop, { ...ORDERS, ...change }), /^SettingsError: \[\[sources\]\] of recsys\.toml \(wp-order.*\) should fit/s);
    });
  }
});
