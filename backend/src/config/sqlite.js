import { statSync } from 'node:fs';

import Libsql from 'libsql';

const RETRY_MS = { least: 2, most: 25 }; // the next look at a locked database: soon, then ever later
const STATEMENTS = 200; // kept prepared, of each connection
const SPARE = 2; // open files kept for the next transactions
const PRAGMAS = [
  'journal_mode = WAL', // readers go on while somebody writes; it stays with the file
  'synchronous = FULL', // what was acknowledged survives a power cut, too
  'foreign_keys = ON',
];

/**
 * Return what Sequelize takes for the `sqlite3` package, over libsql: a prebuilt binary, so that installing needs no compiler.
 *
 * libsql answers at once or not at all. Waiting for a lock inside of it would stop the whole process, so that a locked database is asked
 * again after a while instead.
 *
 * @param {{busyTimeoutMs: number}} options How long a statement may wait for a lock.
 */
export function sqliteModule({ busyTimeoutMs }) {
  const files = new OpenFiles();
  class Connection extends SqliteConnection {
    constructor(file, mode, callback) {
      super(file, files, busyTimeoutMs);
      process.nextTick(callback, null); // opening is part of the first statement
    }
  }
  return { Database: Connection, OPEN_READONLY: 1, OPEN_READWRITE: 2, OPEN_CREATE: 4 };
}

/**
 * Opens files and keeps some for the next who asks: Sequelize opens a connection for each transaction, and libsql lets go of a file only
 * when its garbage is collected.
 */
class OpenFiles {
  #spare = [];
  #used = 0;

  take(file, identity) {
    const index = this.#spare.findIndex((spare) => spare.identity === identity);
    const opened = index < 0 ? new OpenFile(file, identity) : this.#spare.splice(index, 1)[0];
    this.#used += 1;
    return opened;
  }

  /** Take back a file. With the last one in use the others are closed, too. */
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
  #database;
  #statements = new Map();

  constructor(file, identity) {
    this.identity = identity;
    this.#database = new Libsql(file);
    try {
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
    const held = this.#statements.get(sql) ?? this.#database.prepare(sql);
    this.#statements.delete(sql); // to the end: the first is the one that was not used for longest
    this.#statements.set(sql, held);
    if (this.#statements.size > STATEMENTS) this.#statements.delete(this.#statements.keys().next().value);
    return held;
  }

  undo() {
    if (this.inTransaction) this.#database.exec('ROLLBACK');
  }

  close() {
    this.#statements.clear();
    this.#database.close();
  }
}

/** What a statement has done. Sequelize recognises the outcome of an insertion of many rows by the name of this class. */
class Statement {
  lastID = 0;
  changes = 0;
}

/** One connection in the shape of the `sqlite3` package: callbacks, and their `this` for what was changed. */
class SqliteConnection {
  #files;
  #busyTimeoutMs;
  #opened = null;

  constructor(filename, files, busyTimeoutMs) {
    this.filename = filename;
    this.#files = files;
    this.#busyTimeoutMs = busyTimeoutMs;
  }

  serialize(work) {
    work();
  }

  run(sql, ...rest) {
    return this.#execute(sql, ...withParameters(rest));
  }

  all(sql, ...rest) {
    return this.#execute(sql, ...withParameters(rest));
  }

  /** Close it; an open transaction is undone. */
  close(callback) {
    this.#shut({ isGood: true });
    if (callback) process.nextTick(callback, null);
  }

  #execute(sql, parameters, callback = () => {}) {
    const giveUpAt = performance.now() + this.#busyTimeoutMs;
    const attempt = (waitMs) => {
      const statement = new Statement();
      let rows;
      try {
        rows = this.#step(sql, parameters, statement);
      } catch (cause) {
        const error = readable(cause);
        if (error.code !== 'SQLITE_BUSY' || performance.now() + waitMs > giveUpAt) process.nextTick(() => callback.call(statement, error));
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
    if (sql.startsWith('ROLLBACK;') && !opened.inTransaction) return []; // of a transaction that could not begin
    const prepared = opened.prepared(sql);
    const values = named(parameters);
    if (prepared.reader) return prepared.all(values);
    const { changes, lastInsertRowid } = prepared.run(values);
    Object.assign(statement, { changes, lastID: Number(lastInsertRowid) });
    return [];
  }

  /** Return the open file. One that was moved away or replaced would be written to unnoticed. */
  #open() {
    const identity = identityOf(this.filename);
    if (this.#opened !== null && identity === this.#opened.identity) return this.#opened;
    const isCutOff = this.#opened?.inTransaction === true;
    this.#shut({ isGood: false });
    if (identity === null) throw failure('SQLITE_CANTOPEN', `${this.filename} should be the shop's database. Received: no such file.`);
    if (isCutOff) throw failure('SQLITE_ABORT', `${this.filename} should stay in its place during a transaction. Received: another one.`);
    this.#opened = this.#files.take(this.filename, identity);
    return this.#opened;
  }

  #shut({ isGood }) {
    if (this.#opened !== null) this.#files.giveBack(this.#opened, { isGood });
    this.#opened = null;
  }
}

/** Return what tells one file from another that takes its place, or null where there is none: a mistyped path is no empty shop. */
function identityOf(file) {
  const status = statSync(file, { throwIfNoEntry: false });
  return status === undefined ? null : `${status.dev}:${status.ino}`;
}

/** Parameters may be left out before the callback. */
function withParameters(rest) {
  return typeof rest[0] === 'function' ? [{}, rest[0]] : [rest[0] ?? {}, rest[1]];
}

/** Return bound values under their bare names, each of a kind that libsql knows: others end the process. */
function named(parameters) {
  return Object.fromEntries(Object.entries(parameters).map(([name, value]) => [name.replace(/^\$/, ''), bindable(name, value)]));
}

function bindable(name, value) {
  if (value === null || value === undefined) return null;
  if (Number.isSafeInteger(value)) return BigInt(value); // a number would be bound as a fraction: 7.0
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

/** Return an error with the code that Sequelize looks at. */
function readable(error) {
  if (error.code?.startsWith('SQLITE_BUSY')) error.code = 'SQLITE_BUSY';
  else if (error instanceof Error && error.code === '') error.code = 'SQLITE_CANTOPEN'; // libsql has none where it cannot open a file
  return error;
}
