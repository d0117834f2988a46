/** Databases with outages: SQLite's file is moved, and the connections to MariaDB are cut. */
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import bcrypt from '@node-rs/bcrypt';

import { connectDatabase, placeOf } from '../../src/config/database.js';
import { defineModels } from '../../src/models/index.js';
import { newDatabase } from '../core/databases.js';
import { movableFile } from './movableFile.js';
import { openProxy } from './proxy.js';

export const PASSWORD = 'open sesame';

const HASH = bcrypt.hashSync(PASSWORD, 4); // bcrypt's least, because it is only a test

/**
 * @typedef {object} AwayShop
 * @property {string} url The way that is cut.
 * @property {string} directUrl The way that is not; while SQLite is away, there is none.
 * @property {string | undefined} missing Why there is none at all.
 * @property {() => void} goAway
 * @property {() => void} hang As if the server were stopped; SQLite cannot, and goes away.
 * @property {() => void} comeBack
 * @property {() => Promise<void>} remove
 */

/** Return an empty database, of SQLite or of MariaDB. @returns {Promise<AwayShop>} */
export function awayShop(kind) {
  return kind === 'SQLite' ? onSqlite() : onMariadb();
}

export const KINDS = ['SQLite', 'MariaDB'];

/** Give users an address and a password: 7 is a user, 1 an administrator. */
export async function fillUsers(url, ids = [1, 7, 8, 9]) {
  const rows = ids.map((id) => ({ id, email: `customer${id}@shop.example`, password: HASH, roleId: id === 1 ? 'R1' : 'R2', statusId: 'S1' }));
  await withModels(url, ({ User }) => User.bulkCreate(rows));
}

/** Do something with a database by a connection of its own. */
export async function withModels(url, work, ownTables = '') {
  const sequelize = connectDatabase({ databaseUrl: url, ownTables });
  try {
    return await work(defineModels(sequelize), sequelize);
  } finally {
    await sequelize.close();
  }
}

function onSqlite() {
  const folder = mkdtempSync(path.join(tmpdir(), 'away-'));
  const file = path.join(folder, 'shop.sqlite');
  closeSync(openSync(file, 'w'));
  const url = `sqlite:///${file}`;
  const { takeAway: goAway, bringBack: comeBack } = movableFile(file);
  return { url, directUrl: url, goAway, hang: goAway, comeBack, remove: async () => rmSync(folder, { recursive: true, force: true }) };
}

async function onMariadb() {
  const server = await newDatabase('mariadb');
  if (server.missing) return { missing: server.missing, remove: server.close };
  const directUrl = await server.emptyShop();
  const { host, port, user, password, name } = placeOf(directUrl);
  const proxy = await openProxy({ host, port });
  return {
    url: `mysql+pymysql://${encodeURIComponent(user)}:${encodeURIComponent(password)}@127.0.0.1:${proxy.port}/${name}`,
    directUrl: directUrl.replace(/^mysql:/, 'mysql+pymysql:'),
    goAway: () => proxy.close(),
    hang: () => proxy.freeze(),
    comeBack: () => proxy.open(),
    remove: async () => {
      await proxy.end();
      await server.close();
    },
  };
}
