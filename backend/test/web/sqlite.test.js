/** SQLite through libsql: a file that is moved away at any moment is not made anew, and loses nothing. */
import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

import Libsql from 'libsql';

import { sqliteModule } from '../../src/config/sqlite.js';

const { Database, OPEN_READWRITE } = sqliteModule({ busyTimeoutMs: 1000 });

/** Run one statement on a connection of its own. Resolves to its rows, or to null where it failed. */
async function runOnce(file, sql) {
  const connection = new Database(file, OPEN_READWRITE, () => {});
  const rows = await new Promise((resolve) => connection.all(sql, {}, (error, found) => resolve(error === null ? found : null)));
  connection.close();
  return rows;
}

test('F67 a file that is moved away while it is opened is not made anew, and keeps what was stored', async (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'recsys-sqlite-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = path.join(folder, 'a shop, 100% #1?.sqlite');
  const mover = fork(new URL('./fileMover.js', import.meta.url), [file]);
  const [{ n }] = await once(mover, 'message'); // the file is there
  const other = new Libsql(file); // another program's connection; it keeps the log from being written back
  await runOnce(file, 'CREATE TABLE events (id INTEGER PRIMARY KEY)');
  assert.equal(n, 0);

  const stored = [];
  const ended = once(mover, 'exit');
  const finished = once(mover, 'message');
  mover.send('begin');
  for (let id = 1; mover.exitCode === null; id += 1) {
    if ((await runOnce(file, `INSERT INTO events VALUES (${id})`)) !== null) stored.push({ id });
    await new Promise(setImmediate);
  }
  const [{ n: nMade }] = await finished;
  await ended;

  assert.equal(nMade, 0, 'an empty file in place of the one that was away');
  assert.ok(stored.length > 0);
  assert.deepEqual(await runOnce(file, 'SELECT id FROM events ORDER BY id'), stored);
  other.close();
});
