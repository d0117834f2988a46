/** Copies of a shop to put under load, one on SQLite and one on MariaDB: whatever is done to them, the shop itself stays as it is. */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import bcrypt from 'bcryptjs';
import { QueryTypes } from 'sequelize';

import { connectDatabase } from '../../src/config/database.js';
import { readSettings } from '../../src/config/settings.js';
import { newDatabase } from '../../test/core/databases.js';
import { PYTHON } from '../../test/harness.js';
import { TinyShop } from '../../test/tinyShop.js';
import { SECRET } from '../../test/web/stage.js';

const COPY = fileURLToPath(new URL('copy_shop.py', import.meta.url));
const PATIENT_MS = 60_000; // emptying a large cache is no request
const run = promisify(execFile);

/** The databases there are, in the order in which they are measured. */
export const KINDS = Object.freeze(['sqlite', 'mariadb']);

/**
 * Return where the shop is that copies are made of: a tiny one, or the one that the environment and `.env` name.
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

/** Return what copies of a tiny shop are made of. */
export function tinySource({ variables }) {
  return { databaseUrl: variables.DATABASE_URL, modelsDir: variables.MODELS_DIR, toml: undefined };
}

/**
 * Copy a shop into a database of its own.
 *
 * @param {{databaseUrl: string, modelsDir: string, toml: string | undefined}} source
 * @param {string} kind One of `KINDS`.
 * @returns {Promise<BenchShop | {missing: string}>} `missing` says why there is no such database.
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

/** A copy: what is in it, and what its cache holds. */
class BenchShop {
  /** What a server has to be told. */
  variables;
  folder;
  /** Ids of everybody with an open account. */
  customers = [];
  /** Ids of products that may be shown. */
  sold = new Set();

  #sequelize;
  #remove;

  constructor({ folder, variables, remove }) {
    Object.assign(this, { folder, variables });
    this.#remove = remove;
    this.#sequelize = connectDatabase({ databaseUrl: variables.DATABASE_URL }, { statementMs: PATIENT_MS, busyMs: PATIENT_MS });
  }

  async look() {
    const ids = async (sql) => (await this.#rows(sql)).map(({ id }) => id);
    this.customers = await ids("SELECT id FROM Users WHERE statusId = 'S1' OR statusId IS NULL ORDER BY id");
    this.sold = new Set(await ids("SELECT id FROM Products WHERE statusId = 'S1'"));
    return this;
  }

  /** Forget all lists. */
  async emptyCache() {
    for (const table of ['rec_lists', 'recommendations', 'model_runs']) await this.#sequelize.query(`DELETE FROM ${table}`);
  }

  /** Return the products of every stored list that may be shown, in order, by customer. */
  async lists() {
    const rows = await this.#rows('SELECT userId, productId FROM recommendations ORDER BY id');
    const lists = new Map();
    for (const { userId, productId } of rows) {
      if (!this.sold.has(productId)) continue;
      if (lists.has(userId)) lists.get(userId).push(productId);
      else lists.set(userId, [productId]);
    }
    return lists;
  }

  /** Let a product be sold, `S1`, or not. */
  async setStatus(id, statusId) {
    await this.#sequelize.query('UPDATE Products SET statusId = $statusId WHERE id = $id', { bind: { id, statusId } });
  }

  /** Give everybody the address that is made of the id, and one password. */
  async openAccounts(password, addressOf) {
    const hash = bcrypt.hashSync(password, 4); // bcrypt's least: what passwords cost is no part of this
    for (const id of this.customers) {
      await this.#sequelize.query('UPDATE Users SET email = $email, password = $hash WHERE id = $id', { bind: { id, email: addressOf(id), hash } });
    }
  }

  /** Return all interactions that came with an event id. */
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
