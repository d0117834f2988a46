/** Shops for the tests: the same on SQLite and on MariaDB, a new one for each test. */
import { mkdtempSync, rmSync } from 'node:fs';
import { closeSync, copyFileSync, openSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import mysql2 from 'mysql2/promise';

import { connectDatabase, placeOf } from '../../src/config/database.js';
import { defineModels } from '../../src/models/index.js';
import { migrate } from './migrate.js';

const MYSQL = process.env.RECSYS_TEST_MYSQL ?? 'mysql://root@127.0.0.1:3306';
const CONNECT_MS = 3000; // a local server answers at once or isn't there
const TEST_TIMEOUT_MS = 240_000; // one that hangs fails instead of the whole run
const SHOP_TABLES = ['Allcodes', 'Users', 'Products', 'Productdetails', 'Productimages', 'Interactions', 'Comments'];
const TABLES = [...SHOP_TABLES, 'recommendations', 'model_runs', 'rec_lists', 'rec_guest_events', 'rec_answer_counts', 'rec_batch_lists', 'rec_batch_runs', 'rec_user_interactions', 'rec_analytics', 'rec_user_segments'];

const KINDS = { SQLite: sqliteServer, MariaDB: mariadbServer };

/**
 * Test the same sentences on both databases.
 *
 * @param {(shopTest: (sentence: string, scenario: (shop: object) => Promise<void>) => void, kind: string) => void} define
 */
export function onBothDatabases(define) {
  for (const [kind, makeServer] of Object.entries(KINDS)) {
    describe(kind, () => {
      let server;
      before(async () => {
        server = await makeServer();
      });
      after(() => server?.close());
      const shopTest = (sentence, scenario) =>
        test(sentence, { timeout: TEST_TIMEOUT_MS }, async (t) => {
          if (server.missing) return t.skip(server.missing);
          const url = await server.emptyShop();
          const opened = [];
          const open = (options) => {
            const sequelize = connectDatabase({ databaseUrl: url }, options);
            opened.push(sequelize);
            return sequelize;
          };
          try {
            const sequelize = open();
            await scenario({ kind, url, open, sequelize, models: defineModels(sequelize), t });
          } finally {
            for (const sequelize of opened) await sequelize.close();
          }
        });
      define(shopTest, kind);
    });
  }
}

/** Return the URL of a new, empty database, and what throws it away; or why there is none. */
export async function newDatabase(kind) {
  return KINDS[kind === 'sqlite' ? 'SQLite' : 'MariaDB']({ bare: true });
}

async function sqliteServer({ bare = false } = {}) {
  const folder = mkdtempSync(path.join(tmpdir(), 'recsys-core-'));
  const template = path.join(folder, 'template.sqlite');
  closeSync(openSync(template, 'w'));
  const url = (file) => `sqlite:///${file}`;
  if (!bare) await migrate(url(template));
  let made = 0;
  return {
    emptyShop: async () => {
      made += 1;
      const file = path.join(folder, `shop-${made}.sqlite`);
      copyFileSync(template, file);
      return url(file);
    },
    close: async () => rmSync(folder, { recursive: true, force: true }),
  };
}

async function mariadbServer({ bare = false } = {}) {
  const { host, port, user, password } = placeOf(`${MYSQL}/mysql`);
  let connection;
  try {
    connection = await mysql2.createConnection({ host, port, user, password, connectTimeout: CONNECT_MS });
  } catch (error) {
    return { missing: `no database at ${host}:${port}: ${error.message || error.code}`, close: async () => {} };
  }
  const name = `recsys_core_${randomBytes(6).toString('hex')}`;
  await connection.query(`CREATE DATABASE ${name} CHARACTER SET utf8mb4`);
  const url = `${MYSQL}/${name}`;
  if (!bare) await migrate(url);
  return {
    emptyShop: async () => {
      if (!bare) for (const table of TABLES) await connection.query(`DELETE FROM ${name}.${table}`);
      return url;
    },
    close: async () => {
      await connection.query(`DROP DATABASE ${name}`);
      await connection.end();
    },
  };
}
