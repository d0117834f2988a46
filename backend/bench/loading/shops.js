/** Copies of a shop to put under load, one on SQLite and one on MariaDB. The shop itself is never changed. */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import bcrypt from '@node-rs/bcrypt';
import { QueryTypes } from 'sequelize';

import { connectDatabase } from '../../src/config/database.js';
import { readSettings } from '../../src/config/settings.js';
import { newDatabase } from '../../test/core/databases.js';
import { PYTHON } from '../../test/harness.js';
import { TinyShop } from '../../test/tinyShop.js';
import { SECRET } from '../../test/web/stage.js';

const COPY = fileURLToPath(new URL('copy_shop.py', import.meta.url));
const PATIENT_MS = 60_000; // for statements outside of requests, such as deleting a large cache
const run = promisify(execFile);

/** The kinds of databases, in the order in which they are measured. */
export const KINDS = Object.freeze(['sqlite', 'mariadb']);

/**
 * Return the source of the copies: a tiny shop, or the shop that the environment and `.env` name.
 *
 * @param {'tiny' | undefined} name
 * @param {Record<string, string | undefined>} environ
 * @returns {Promise<{label: string, databaseUrl: string, modelsDir: string, toml: string | undefined, remove: () => void}>}
 */
export async function sourceShop(name, environ) {
  if (name === 'tiny') {
    const tiny = await TinyShop.make();
    return { ...tinySource(tiny), label: 'a tiny shop', remove: () => tiny.remove() };
  }
  const { databaseUrl, modelsDir } = readSettings({ ...environ, JWT_SECRET: SECRET });
  return { label: 'the shop of `make demo`', databaseUrl: databaseUrl.reveal(), modelsDir, toml: environ.RECSYS_TOML, remove: () => {} };
}

/** Return the source of copies of a tiny shop. */
export function tinySource({ variables }) {
  return { databaseUrl: variables.DATABASE_URL, modelsDir: variables.MODELS_DIR, toml: undefined };
}

/**
 * Copy a shop into a database of its own.
 *
 * @param {{databaseUrl: string, modelsDir: string, toml: string | undefined}} source
 * @param {string} kind One of `KINDS`.
 * @returns {Promise<BenchShop | {missing: string}>} `missing` says why the database is not available.
 */
export async function copiedShop({ databaseUrl, modelsDir, toml }, kind) {
  const folder = mkdtempSync(path.join(tmpdir(), 'load-'));
  const server = kind === 'mariadb' ? await newDatabase('mariadb') : null;
  const remove = async () => {
    await server?.close();
    rmSync(folder, { recursive: true, force: true });
  };
  if (server?.missing) {
    await remove();
    return { missing: server.missing };
  }
  try {
    const url = server === null ? `sqlite:///${path.join(folder, 'shop.sqlite')}` : (await server.emptyShop()).replace(/^mysql:/, 'mysql+pymysql:');
    await run(PYTHON, [COPY, databaseUrl, url]);
    const empty = path.join(folder, 'recsys.toml');
    writeFileSync(empty, '');
    const variables = { DATABASE_URL: url, MODELS_DIR: modelsDir, SPOOL_DIR: path.join(folder, 'spool'), RECSYS_TOML: toml ?? empty };
    return await new BenchShop({ folder, variables, remove }).look();
  } catch (error) {
    await remove();
    throw error;
  }
}

/** A copy of a shop: its users and products, and the content of its cache. */
class BenchShop {
  /** The environment variables of its server. */
  variables;
  folder;
  /** Ids of the users with an open account. */
  users = [];
  /** Ids of the active products. */
  active = new Set();

  #sequelize;
  #remove;

  constructor({ folder, variables, remove }) {
    Object.assign(this, { folder, variables });
    this.#remove = remove;
    this.#sequelize = connectDatabase({ databaseUrl: variables.DATABASE_URL }, { statementMs: PATIENT_MS, busyMs: PATIENT_MS });
  }

  async look() {
    const ids = async (sql) => (await this.#rows(sql)).map(({ id }) => id);
    this.users = await ids("SELECT id FROM Users WHERE statusId = 'S1' OR statusId IS NULL ORDER BY id");
    this.active = new Set(await ids("SELECT id FROM Products WHERE statusId = 'S1'"));
    return this;
  }

  /** Delete all cached lists and runs. */
  async emptyCache() {
    for (const table of ['rec_lists', 'recommendations', 'model_runs']) await this.#sequelize.query(`DELETE FROM ${table}`);
  }

  /** Return the active products of each cached list, in order, by user. */
  async lists() {
    const rows = await this.#rows('SELECT userId, productId FROM recommendations ORDER BY id');
    const lists = new Map();
    for (const { userId, productId } of rows) {
      if (!this.active.has(productId)) continue;
      if (lists.has(userId)) lists.get(userId).push(productId);
      else lists.set(userId, [productId]);
    }
    return lists;
  }

  /** Set a product's status: `S1` is active. */
  async setStatus(id, statusId) {
    await this.#sequelize.query('UPDATE Products SET statusId = $statusId WHERE id = $id', { bind: { id, statusId } });
  }

  /** Give every user the address made of their id, and one password. */
  async openAccounts(password, addressOf) {
    const hash = bcrypt.hashSync(password, 4); // bcrypt's least cost, because logins are not measured
    for (const id of this.users) {
      await this.#sequelize.query('UPDATE Users SET email = $email, password = $hash WHERE id = $id', { bind: { id, email: addressOf(id), hash } });
    }
  }

  /** Return all interactions with an event id. */
  async events() {
    return this.#rows('SELECT eventId, userId, productId, actionCode FROM Interactions WHERE eventId IS NOT NULL');
  }

  async remove() {
    await this.#sequelize.close();
    await this.#remove();
  }

  #rows(sql) {
    return this.#sequelize.query(sql, { type: QueryTypes.SELECT });
  }
}
