import { readFileSync } from 'node:fs';

import mysql2 from 'mysql2';
import { ConnectionError, Sequelize, TimeoutError, Transaction } from 'sequelize';

import { Semaphore } from '../concurrency/semaphore.js';
import { placeOf } from './databaseUrl.js';
import { SettingsError } from './settingsError.js';
import { sqliteModule } from './sqlite.js';

export { placeOf };

const CONNECT_MS = 2000; // a server that takes longer to greet is not one that a page can wait for
const ACQUIRE_MS = 1500; // for a free connection of the pool
const BUSY_MS = 5000; // for SQLite's write lock; an importer holds it for one chunk of rows
const STATEMENT_MS = 5000; // after it the server counts as hanging, and the connection is given up
const OLDEST_MYSQL = '8.0.0'; // told, or Sequelize would ask on a connection of its own that nothing limits, and everybody wait for the answer
const PREPARED = 200; // of each connection; the server holds some 16,000 of all
const POOL = { max: 10, min: 0, idle: 30_000, evict: 10_000 };

/**
 * Connect to the shop's database. Nothing is sent before the first statement, so that the backend starts without a database, too.
 *
 * @param {{databaseUrl?: string | Secret | object}} settings `databaseUrl` in the forms that Python reads: `sqlite:///path`,
 *   `mysql+pymysql://…`, `mysql://…`; or its parts, `{host, port, name, user, password}`.
 * @param {{log?: object, statementMs?: number, acquireMs?: number, busyMs?: number}} [options]
 * @returns {Sequelize}
 * @throws {SettingsError} It is none of these.
 */
export function connectDatabase({ databaseUrl }, { log, statementMs = STATEMENT_MS, acquireMs = ACQUIRE_MS, busyMs = BUSY_MS } = {}) {
  const place = placeOf(databaseUrl);
  const logging = log?.trace ? (sql) => log.trace({ sql }, 'statement') : false;
  const common = { logging, retry: { max: 1 }, timezone: '+00:00', define: { freezeTableName: true } };
  return place.file === undefined ? onMysql(place, common, { statementMs, acquireMs }) : onSqlite(place.file, common, busyMs);
}

function onSqlite(file, common, busyMs) {
  const dialectModule = sqliteModule({ busyTimeoutMs: busyMs });
  const dialectOptions = { mode: dialectModule.OPEN_READWRITE }; // nothing is made, not even the folder, where Sequelize would fail in its own way
  const options = { ...common, dialect: 'sqlite', storage: file, dialectModule, dialectOptions };
  const sequelize = new SqliteSequelize({ ...options, transactionType: Transaction.TYPES.IMMEDIATE });
  sequelize.patienceMs = busyMs;
  const manager = sequelize.connectionManager;
  manager.destroyConnection = async (connection) => manager.releaseConnection(connection); // Sequelize would look for it in a pool
  return sequelize;
}

/** SQLite has one writer. Transactions that wait for their turn all succeed; those that fight for the lock mostly do not. */
class SqliteSequelize extends Sequelize {
  #turns = new Semaphore(1);

  async transaction(...args) {
    const [options, work] = typeof args[0] === 'function' ? [undefined, args[0]] : args;
    if (options?.transaction) return super.transaction(options, work);
    const release = await this.#turns.acquire(this.patienceMs).catch(() => {
      throw new TimeoutError(new Error(`The others should end their transactions within ${this.patienceMs} ms. Received: one that is still open.`));
    });
    if (work === undefined) return releasedAfter(() => super.transaction(options), release);
    try {
      return await super.transaction(options, work);
    } finally {
      release();
    }
  }
}

/** Return a transaction whose turn ends when it does. */
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

function onMysql({ host, port, user, password, name, socket, certificate }, common, { statementMs, acquireMs }) {
  const sequelize = new Sequelize(name, user, password || null, {
    ...common,
    dialect: 'mysql',
    dialectModule: mysql2,
    host,
    port,
    pool: { ...POOL, acquire: acquireMs },
    databaseVersion: OLDEST_MYSQL,
    keepDefaultTimezone: true, // `prepare` sets it, where a server that does not answer is given up
    dialectOptions: {
      charset: 'utf8mb4',
      connectTimeout: CONNECT_MS,
      multipleStatements: false,
      maxPreparedStatements: PREPARED,
      typeCast: true, // mysql2's own reading of rows, ten times as fast as Sequelize's; the same values but for
      dateStrings: ['DATE'], // days, which have no time zone
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

/** Make a new connection as strict as Python's: its times are in UTC; what does not fit is refused, not cut; and no lock is taken on gaps between rows. */
async function prepare(connection, statementMs) {
  limitStatements(connection, statementMs);
  for (const sql of [
    "SET time_zone = '+00:00'",
    "SET sql_mode = CONCAT(@@sql_mode, ',STRICT_TRANS_TABLES')",
    'SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED',
  ]) {
    await new Promise((resolve, reject) => {
      connection.query(sql, (error) => (error ? reject(error) : resolve()));
    }).catch((error) => {
      connection.destroy(); // nobody else knows it yet
      throw new ConnectionError(error);
    });
  }
}

/** mysql2 waits for ever for a server that hangs: the connection is given up instead, and with it its place in the pool freed. */
function limitStatements(connection, limitMs) {
  for (const method of ['query', 'execute']) {
    const send = connection[method].bind(connection);
    connection[method] = (...args) => {
      const callback = args.pop();
      let isSettled = false;
      const settle = (...outcome) => {
        if (isSettled) return;
        isSettled = true;
        clearTimeout(timer);
        callback(...outcome);
      };
      const timer = setTimeout(() => {
        connection.destroy();
        settle(Object.assign(new Error(`The database should answer within ${limitMs} ms. Received: nothing.`), { code: 'ETIMEDOUT' }));
      }, limitMs);
      return send(...args, settle);
    };
  }
}
