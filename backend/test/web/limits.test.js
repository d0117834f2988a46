/** A shop that this backend cannot serve is refused at the start with what is missing. */
import assert from 'node:assert/strict';
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';

import { checkIds } from '../../src/config/mapping.js';
import { onBothDatabases } from '../core/databases.js';
import { failedStart, startServerProcess } from './serverProcess.js';
import { withModels } from './shops.js';

const ROOT = mkdtempSync(path.join(tmpdir(), 'limits-'));
const FILE = path.join(ROOT, 'shop.sqlite');
const OTHER_TOML = path.join(ROOT, 'other.toml');
const NEEDED = {
  DATABASE_URL: `sqlite:///${FILE}`,
  MODELS_DIR: path.join(ROOT, 'models'),
  SPOOL_DIR: path.join(ROOT, 'spool'),
  PYTHON_BIN: path.join(ROOT, 'none'),
};
const NO_VERSION = { current: async () => null };
closeSync(openSync(FILE, 'w'));
writeFileSync(OTHER_TOML, '[products]\ntable = "articles"\nid = "sku"\n');
after(() => rmSync(ROOT, { recursive: true, force: true }));

async function textShop() {
  const file = path.join(ROOT, 'text.sqlite');
  closeSync(openSync(file, 'w'));
  await withModels(`sqlite:///${file}`, async (_models, sequelize) => {
    for (const table of ['Users', 'Products']) await sequelize.query(`CREATE TABLE ${table} (id VARCHAR(64) PRIMARY KEY)`);
  });
  return `sqlite:///${file}`;
}

for (const [what, variables, message] of [
  ['PostgreSQL', async () => ({ DATABASE_URL: 'postgresql+psycopg://u@127.0.0.1/shop' }), /^server: DATABASE_URL should be of MySQL, MariaDB or SQLite, which this backend needs/],
  ['tables of its own', async () => ({ RECSYS_TOML: OTHER_TOML }), /^server: \[products\] of recsys\.toml should have the table Products, with id, which this backend needs\. Received: articles;/],
  ['ids that are text', async () => ({ DATABASE_URL: await textShop() }), /^server: Ids of customers and products should be whole numbers, which this backend needs\. Received: text, in Users\.id;/],
]) {
  test(`a shop with ${what} is refused with 78 and one line`, async () => {
    const { code, stderr } = await failedStart({ ...NEEDED, ...(await variables()) });

    assert.equal(code, 78, stderr);
    assert.match(stderr, message);
    assert.equal(stderr.trim().split('\n').length, 1);
  });
}

test('a shop without tables yet, or without its database, is served', async () => {
  for (const url of [NEEDED.DATABASE_URL, `sqlite:///${ROOT}/absent.sqlite`]) {
    const server = await startServerProcess({ ...NEEDED, DATABASE_URL: url });
    assert.equal(await server.stop(), 0);
  }
});

onBothDatabases((shopTest) => {
  shopTest('the default schema is served, text ids of a version or column are not', async ({ sequelize }) => {
    await checkIds({ sequelize, snapshot: NO_VERSION });
    await checkIds({ sequelize, snapshot: { current: async () => ({ name: 'v1', hasTextIds: false }) } });
    await assert.rejects(checkIds({ sequelize, snapshot: { current: async () => ({ name: 'v1', hasTextIds: true }) } }), {
      name: 'SettingsError',
      message: /Received: text, in the version v1;/,
    });
  });

  for (const type of ['VARCHAR(64)', 'CHAR(36)', 'VARBINARY(64)']) {
    shopTest(`a column of ${type} is refused as an id`, async ({ sequelize }) => {
      await sequelize.query('ALTER TABLE Products RENAME TO Products_kept');
      try {
        await sequelize.query(`CREATE TABLE Products (id ${type} PRIMARY KEY)`);
        await assert.rejects(checkIds({ sequelize, snapshot: NO_VERSION }), { name: 'SettingsError', message: /Received: text, in Products\.id;/ });
        await sequelize.query('DROP TABLE Products');
      } finally {
        await sequelize.query('ALTER TABLE Products_kept RENAME TO Products');
      }
    });
  }
});
