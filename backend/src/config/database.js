/** Connections to the shop's database, over MySQL, MariaDB or SQLite. */
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';

import mysql2 from 'mysql2';
import { ConnectionError, Sequelize, TimeoutError, Transaction } from 'sequelize';

import { Semaphore } from '../concurrency/sharing.js';
import { placeOf } from './databaseUrl.js';
import { SettingsError } from './secrets.js';
import { sqliteModule } from './sqlite.js';

/**
 * @import { Logger } from 'pino'
 * @import { FilePlace, Place, ServerPlace } from './databaseUrl.js'
 * @import { Secret } from './secrets.js'
 */

export { placeOf };

const CONNECT_MS = 2000; // a page cannot wait longer for a connection
const ACQUIRE_MS = 1500; // for a free connection of the pool
const BUSY_MS = 5000; // for SQLite's write lock, which an import holds for one chunk of rows
const STATEMENT_MS = 5000; // after this time the connection is given up
const OLDEST_MYSQL = '8.0.0'; // set here, because Sequelize would query it first, on a connection without a time limit
const PREPARED = 200; // statements of each connection; the server keeps about 16,000 in all
const POOL = { max: 10, min: 0, idle: 30_000, evict: 10_000 };

const ATTACHED = 'recsys'; // the name of the file of our own tables in SQLite's statements
/** @type {WeakMap<Sequelize, string>} */
const PLACES = new WeakMap(); // where our own tables lie, where that is not the place of the shop's

/**
 * Connect to the shop's database. The first statement opens the connection, so that the backend starts without a database, too.
 *
 * @param {{databaseUrl?: string | Secret | Place, ownTables?: string}} settings `databaseUrl` as on the Python side: `sqlite:///path`,
 *   `mysql+pymysql://…` or `mysql://…`; or its parts, `{host, port, name, user, password}`. `ownTables`: where our own tables lie, the
 *   absolute path of a file for SQLite, or a database of the same server; empty for the place of the shop's.
 * @param {{log?: Logger, statementMs?: number, acquireMs?: number, busyMs?: number}} [options]
 * @returns {Sequelize}
 * @throws {SettingsError} The URL has another form.
 */
export function connectDatabase({ databaseUrl, ownTables = '' }, { log, statementMs = STATEMENT_MS, acquireMs = ACQUIRE_MS, busyMs = BUSY_MS } = {}) {
  const place = placeOf(databaseUrl);
  const logging = log?.trace ? (sql) => log.trace({ sql }, 'statement') : false;
  const common = { logging, retry: { max: 1 }, timezone: '+00:00', define: { freezeTableName: true } };
  const sequelize = place.file === undefined ? onMysql(place, common, { statementMs, acquireMs }) : onSqlite(place.file, common, busyMs, ownTables);
  if (ownTables !== '') {
    PLACES.set(sequelize, place.file === undefined ? ownTables : ATTACHED);
    const { dialect } = /** @type {any} */ (sequelize);
    dialect.supports = { ...dialect.supports, schemas: true }; // else Sequelize takes the place for a part of a table's name
  }
  return sequelize;
}

/**
 * Return the name of the place of our own tables, without quotes; empty for the place of the shop's.
 *
 * @param {Sequelize} sequelize
 */
export function ownPlace(sequelize) {
  return PLACES.get(sequelize) ?? '';
}

/**
 * Return the name of one of our own tables as statements have it.
 *
 * @param {Sequelize} sequelize
 * @param {`rec_${string}`} name
 */
export function ownTable(sequelize, name) {
  const place = ownPlace(sequelize);
  return place === '' ? name : `\`${place}\`.${name}`;
}

function onSqlite(file, common, busyMs, ownFile) {
  const attached = ownFile === '' ? undefined : { file: ownFile, name: ATTACHED };
  const dialectModule = sqliteModule({ busyTimeoutMs: busyMs, attached });
  const dialectOptions = { mode: dialectModule.OPEN_READWRITE }; // neither the file nor its folder is created
  const options = { ...common, dialect: 'sqlite', storage: file, dialectModule, dialectOptions };
  const sequelize = new SqliteSequelize({ ...options, transactionType: Transaction.TYPES.IMMEDIATE });
  sequelize.busyMs = busyMs;
  const manager = sequelize.connectionManager;
  manager.destroyConnection = async (connection) => manager.releaseConnection(connection); // Sequelize would search a pool for it
  return sequelize;
}

/** Runs transactions one after the other, because SQLite has one writer. Concurrent attempts to lock the file would mostly fail. */
class SqliteSequelize extends Sequelize {
  busyMs = BUSY_MS;
  #turns = new Semaphore(1);

  async transaction(...args) {
    const [options, work] = typeof args[0] === 'function' ? [undefined, args[0]] : args;
    if (options?.transaction) return super.transaction(options, work);
    const release = await this.#turns.acquire(this.busyMs).catch(() => {
      // @ts-expect-error Sequelize's types demand a statement, and there is none yet.
      throw new TimeoutError(new Error(`The others should end their transactions within ${this.busyMs} ms. Received: one that is still open.`));
    });
    if (work === undefined) return releasedAfter(() => super.transaction(options), release);
    try {
      return await super.transaction(options, work);
    } finally {
      release();
    }
  }
}

/** Begin a transaction that calls `release` when it ends. */
async function releasedAfter(begin, release) {
  try {
    const transaction = await begin();
    for (const method of ['cleanup', 'forceCleanup']) {
      const end = transaction[method].bind(transaction);
      transaction[method] = () => {
        release();
        return end();
      };
    }
    return transaction;
  } catch (error) {
    release();
    throw error;
  }
}

/** @param {ServerPlace} place */
function onMysql({ host, port, user, password, name, socket, certificate }, common, { statementMs, acquireMs }) {
  const sequelize = new Sequelize(name, user, password, {
    ...common,
    dialect: 'mysql',
    dialectModule: mysql2,
    host,
    port,
    pool: { ...POOL, acquire: acquireMs },
    databaseVersion: OLDEST_MYSQL,
    keepDefaultTimezone: true, // `prepare` sets it, with a time limit
    dialectOptions: {
      charset: 'utf8mb4',
      connectTimeout: CONNECT_MS,
      multipleStatements: false,
      maxPreparedStatements: PREPARED,
      typeCast: true, // mysql2 parses rows, ten times as fast as Sequelize; the values are the same except for
      dateStrings: ['DATE'], // dates, which have no time zone
      ...(socket && { socketPath: socket }),
      ...(certificate && { ssl: { ca: certificateOf(certificate), rejectUnauthorized: true } }),
    },
  });
  sequelize.addHook('afterConnect', (connection) => prepare(connection, statementMs));
  return sequelize;
}

function certificateOf(file) {
  try {
    return readFileSync(file);
  } catch (error) {
    throw new SettingsError(`\`ssl_ca\` of DATABASE_URL should name a file that can be read. Received: ${error.code}.`, { cause: error });
  }
}

/** Set up a new connection as Python does: times in UTC, values that do not fit are refused, and no locks on gaps between rows. */
async function prepare(connection, statementMs) {
  limitStatements(connection, statementMs);
  const query = promisify(connection.query);
  try {
    await query("SET time_zone = '+00:00'");
    await query("SET sql_mode = CONCAT(@@sql_mode, ',STRICT_TRANS_TABLES')");
    await query('SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED');
  } catch (error) {
    connection.destroy(); // the pool does not know it yet
    throw new ConnectionError(error);
  }
}

/** Give a connection up if a statement takes too long, which frees its place in the pool. mysql2 itself would wait for ever. */
function limitStatements(connection, limitMs) {
  for (const method of ['query', 'execute']) {
    const send = connection[method].bind(connection);
    connection[method] = (...args) => {
      const callback = args.pop();
      let isFinished = false;
      const finish = (...outcome) => {
        if (isFinished) return;
        isFinished = true;
        clearTimeout(timer);
        callback(...outcome);
      };
      const timer = setTimeout(() => {
        connection.destroy();
        finish(Object.assign(new Error(`The database should answer within ${limitMs} ms. Received: nothing.`), { code: 'ETIMEDOUT' }));
      }, limitMs);
      return send(...args, finish);
    };
  }
}
