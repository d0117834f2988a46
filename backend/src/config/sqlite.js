/** libsql in the shape of the `sqlite3` package, for Sequelize. */
import { statSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

import Libsql from 'libsql';
import { LRUCache } from 'lru-cache';

/** @typedef {{file: string, name: string}} Attached A second file, and its name in statements. */

const RETRY_MS = { least: 2, most: 25 }; // between attempts on a locked database, doubled each time
const STATEMENTS = 200; // prepared statements that each open file keeps
const SPARE = 2; // open files kept for the next transactions
const PRAGMAS = [
  'journal_mode = WAL', // readers continue during a write; the mode is stored in the file, also in an attached one
  'synchronous = FULL', // committed rows survive a power failure
  'foreign_keys = ON',
];

/**
 * Return a module that Sequelize takes for the `sqlite3` package. It uses libsql, a prebuilt binary, so that no compiler is needed.
 *
 * libsql is synchronous. Waiting for a lock inside it would block the process, so a statement on a locked database is repeated after a while.
 *
 * @param {{busyTimeoutMs: number, attached?: Attached}} options `busyTimeoutMs`: how long a statement may wait for a lock.
 */
export function sqliteModule({ busyTimeoutMs, attached }) {
  const files = new OpenFiles(attached);
  class Connection extends SqliteConnection {
    constructor(file, mode, callback) {
      super(file, files, busyTimeoutMs);
      process.nextTick(callback, null); // opening is part of the first statement
    }
  }
  return { Database: Connection, OPEN_READONLY: 1, OPEN_READWRITE: 2, OPEN_CREATE: 4 };
}

/**
 * Opens files and keeps a few open for reuse. Sequelize opens a connection for each transaction, and libsql releases a file only when it
 * is garbage collected.
 */
class OpenFiles {
  /** @type {OpenFile[]} */
  #spare = [];
  #used = 0;
  #attached;

  /** @param {Attached} [attached] */
  constructor(attached) {
    this.#attached = attached;
  }

  /**
   * Return what tells a file from another one that takes its place; the attached file counts, too.
   *
   * @param {string} file
   * @throws {Error} There is no such file.
   */
  identityOf(file) {
    const identities = [identityOf(file)];
    if (identities[0] === null) throw failure('SQLITE_CANTOPEN', `${file} should be the shop's database. Received: no such file.`);
    if (this.#attached) identities.push(identityOf(this.#attached.file));
    if (identities.includes(null)) throw failure('SQLITE_CANTOPEN', `${this.#attached?.file} should be the file of \`own_tables\`, which training makes. Received: no such file.`);
    return identities.join();
  }

  take(file, identity) {
    const index = this.#spare.findIndex((spare) => spare.identity === identity);
    const opened = index < 0 ? new OpenFile(file, identity, this.#attached) : this.#spare.splice(index, 1)[0];
    this.#used += 1;
    return opened;
  }

  /** Return a file after use. When no file is in use, all are closed. */
  giveBack(opened, { isGood }) {
    this.#used -= 1;
    opened.undo();
    if (isGood && this.#used > 0 && this.#spare.length < SPARE) this.#spare.push(opened);
    else opened.close();
    if (this.#used === 0) for (const spare of this.#spare.splice(0)) spare.close();
  }
}

/** An open file with its prepared statements. */
class OpenFile {
  /** @type {Libsql.Database} */
  #database;
  /** @type {LRUCache<string, Libsql.Statement>} */
  #statements = new LRUCache({ max: STATEMENTS });

  /**
   * @param {string} file
   * @param {string} identity What `identityOf` returned.
   * @param {Attached} [attached]
   */
  constructor(file, identity, attached) {
    this.identity = identity;
    // With `rw`, a file that has just been moved away is not made anew: SQLite would remove the log beside it, and its committed rows.
    this.#database = new Libsql(`${pathToFileURL(file).href}?mode=rw`);
    try {
      if (attached) {
        this.#database.prepare(`ATTACH DATABASE ? AS ${attached.name}`).run(`${pathToFileURL(attached.file).href}?mode=rw`);
        this.#database.prepare(`PRAGMA ${attached.name}.synchronous = FULL`).all({});
      }
      for (const pragma of PRAGMAS) this.#database.prepare(`PRAGMA ${pragma}`).all({});
    } catch (error) {
      this.close();
      throw error;
    }
  }

  get inTransaction() {
    return this.#database.inTransaction;
  }

  prepared(sql) {
    const statement = this.#statements.get(sql) ?? this.#database.prepare(sql);
    this.#statements.set(sql, statement);
    return statement;
  }

  undo() {
    if (this.inTransaction) this.#database.exec('ROLLBACK');
  }

  close() {
    this.#statements.clear();
    this.#database.close();
  }
}

/** The outcome of a statement. Sequelize recognises the outcome of an insertion of many rows by the name of this class. */
class Statement {
  lastID = 0;
  changes = 0;
}

/** One connection in the shape of the `sqlite3` package: callbacks, whose `this` is the outcome. */
class SqliteConnection {
  /** @type {OpenFiles} */
  #files;
  #busyTimeoutMs;
  /** @type {OpenFile | null} */
  #opened = null;

  /**
   * @param {string} filename
   * @param {OpenFiles} files
   * @param {number} busyTimeoutMs
   */
  constructor(filename, files, busyTimeoutMs) {
    this.filename = filename;
    this.#files = files;
    this.#busyTimeoutMs = busyTimeoutMs;
  }

  serialize(work) {
    work();
  }

  run(sql, ...rest) {
    const callback = rest.pop() ?? (() => {}); // before it, the parameters may be left out
    return this.#execute(sql, rest[0] ?? {}, callback);
  }

  all(sql, ...rest) {
    return this.run(sql, ...rest);
  }

  /** Close the connection; an open transaction is rolled back. */
  close(callback) {
    this.#giveBack({ isGood: true });
    if (callback) process.nextTick(callback, null);
  }

  /**
   * @param {string} sql
   * @param {Record<string, any>} parameters
   * @param {(this: Statement, error: Error | null, rows?: unknown[]) => void} callback
   */
  #execute(sql, parameters, callback) {
    const endsAt = performance.now() + this.#busyTimeoutMs;
    const attempt = (waitMs) => {
      const statement = new Statement();
      let rows;
      try {
        rows = this.#step(sql, parameters, statement);
      } catch (cause) {
        const error = withCode(cause);
        if (error.code !== 'SQLITE_BUSY' || performance.now() + waitMs > endsAt) process.nextTick(() => callback.call(statement, error));
        else setTimeout(attempt, waitMs, Math.min(2 * waitMs, RETRY_MS.most));
        return;
      }
      process.nextTick(() => callback.call(statement, null, rows));
    };
    attempt(RETRY_MS.least);
    return this;
  }

  #step(sql, parameters, statement) {
    const opened = this.#open();
    if (sql.startsWith('ROLLBACK;') && !opened.inTransaction) return []; // the transaction could not begin
    const prepared = opened.prepared(sql);
    const values = boundValues(parameters);
    if (prepared.reader) return prepared.all(values);
    const { changes, lastInsertRowid } = prepared.run(values);
    Object.assign(statement, { changes, lastID: Number(lastInsertRowid) });
    return [];
  }

  /**
   * Return the open file, opened again if another one has taken its place. Otherwise writes would go to the old file.
   *
   * @returns {OpenFile}
   */
  #open() {
    let identity;
    try {
      identity = this.#files.identityOf(this.filename);
    } catch (error) {
      this.#giveBack({ isGood: false });
      throw error;
    }
    if (this.#opened !== null && identity === this.#opened.identity) return this.#opened;
    const isInterrupted = this.#opened?.inTransaction === true;
    this.#giveBack({ isGood: false });
    if (isInterrupted) throw failure('SQLITE_ABORT', `${this.filename} should stay in its place during a transaction. Received: another one.`);
    this.#opened = this.#files.take(this.filename, identity);
    return this.#opened;
  }

  #giveBack({ isGood }) {
    if (this.#opened !== null) this.#files.giveBack(this.#opened, { isGood });
    this.#opened = null;
  }
}

/** Return the device and inode of a file, or null if there is none. A missing file is never created. */
function identityOf(file) {
  const status = statSync(file, { throwIfNoEntry: false });
  return status === undefined ? null : `${status.dev}:${status.ino}`;
}

/** Return bound values by their names without `$`, each of a type that libsql knows. Other types would end the process. */
function boundValues(parameters) {
  return Object.fromEntries(Object.entries(parameters).map(([name, value]) => [name.replace(/^\$/, ''), bindable(name, value)]));
}

function bindable(name, value) {
  if (value === null || value === undefined) return null;
  if (Number.isSafeInteger(value)) return BigInt(value); // a number would be bound as a float: 7.0
  if (typeof value === 'boolean') return value ? 1n : 0n;
  const isKnown = typeof value === 'string' || Number.isFinite(value) || Buffer.isBuffer(value) || isInt64(value);
  if (!isKnown) throw new TypeError(`\`${name}\` should be a text, number, boolean, Buffer or null. Received: ${typeof value}.`);
  return value;
}

function isInt64(value) {
  return typeof value === 'bigint' && BigInt.asIntN(64, value) === value;
}

function failure(code, message) {
  return Object.assign(new Error(message), { code });
}

/**
 * Set the code of an error that Sequelize reads.
 *
 * @param {NodeJS.ErrnoException} error
 */
function withCode(error) {
  if (error.code?.startsWith('SQLITE_BUSY')) error.code = 'SQLITE_BUSY';
  else if (error instanceof Error && error.code === '') error.code = 'SQLITE_CANTOPEN'; // libsql sets no code if it cannot open a file
  return error;
}
