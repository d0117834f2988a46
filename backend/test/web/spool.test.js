/** The spool: acknowledged records are on the disk, despite failures and kills. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import nodeFs from 'node:fs/promises';
import { appendFileSync, mkdtempSync, readFileSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import { spawn } from 'node:child_process';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { decodeRecords, encodeRecord, openSpool, SpoolClosed, SpoolFailed } from '../../src/services/spool/spool.js';
import { listeningLog } from './stage.js';

const ROOT = mkdtempSync(path.join(tmpdir(), 'spool-'));
const WRITER = fileURLToPath(new URL('spoolWriter.js', import.meta.url));
const MANY = 1 << 20;
const IN_FULL = 'all of them';

const newFolder = () => mkdtempSync(path.join(ROOT, 'folder-'));
const open = (folder, options) => openSpool({ folder, maxBytes: MANY, log: listeningLog().log, ...options });
const segments = (folder) => readdirSync(folder).filter((name) => name.endsWith('.spool')).sort();

/** Return the records that a spool gives away, in their order. */
async function drained(spool) {
  const records = [];
  await spool.drain(async (record) => {
    records.push(record);
    return 'stored';
  });
  return records;
}

test('records come out in order, once', async () => {
  const folder = newFolder();
  const spool = await open(folder);
  for (let number = 0; number < 50; number += 1) await spool.append(`key ${number}`, { number });
  assert.equal(spool.pending, 50);

  assert.deepEqual((await drained(spool)).map(({ number }) => number), [...Array(50).keys()]);
  assert.deepEqual(await drained(spool), []);
  assert.deepEqual([spool.pending, spool.stats().bytes, segments(folder)], [0, 0, []]);
  await spool.close();
});

test('concurrent records share a sync, and are acknowledged after it', async () => {
  const { fs, calls } = watchedFs();
  const spool = await open(newFolder(), { fs });
  await Promise.all(Array.from({ length: 200 }, (_, number) => spool.append(`key ${number}`, { number })));

  assert.ok(calls.filter((name) => name === 'datasync').length <= 3, String(calls));
  assert.equal((await drained(spool)).length, 200);
  await spool.close();
});

test('of two records with one key the first is kept, also during its write', async () => {
  const spool = await open(newFolder());
  const [one, other] = await Promise.all([spool.append('key', { number: 1 }), spool.append('key', { number: 2 })]);

  assert.deepEqual([one, other], [{ number: 1 }, { number: 1 }]);
  assert.deepEqual(spool.get('key'), { number: 1 });
  assert.deepEqual(await drained(spool), [{ number: 1 }]);
  assert.equal(spool.get('key'), undefined);
  await spool.close();
});

test('remaining records are loaded, and drained while others are added', async () => {
  const folder = newFolder();
  const first = await open(folder);
  await first.append('a', { number: 1 });
  await first.append('b', { number: 2 });
  await first.close();
  const second = await open(folder);
  await second.append('c', { number: 3 });
  const seen = [];
  await second.drain(async (record) => {
    seen.push(record.number);
    if (record.number === 1) await second.append('d', { number: 4 });
    return 'stored';
  });
  await second.drain(async (record) => {
    seen.push(record.number);
    return 'stored';
  });

  assert.deepEqual(seen, [1, 2, 3, 4]);
  await second.close();
});

test('a record that cannot be stored yet stays the first', async () => {
  const folder = newFolder();
  const spool = await open(folder);
  for (const number of [1, 2, 3]) await spool.append(`key ${number}`, { number });
  const stored = [];
  const store = async (record) => {
    if (record.number === 2 && stored.length === 1) throw new Error('away');
    stored.push(record.number);
    return 'stored';
  };
  await assert.rejects(spool.drain(store), /away/);
  assert.equal(spool.pending, 2);
  stored.push(IN_FULL);
  await spool.drain(store);

  assert.deepEqual(stored, [1, IN_FULL, 2, 3]);
  await spool.close();
});

test('a rejected record is set aside and counted, and the next ones are stored', async () => {
  const folder = newFolder();
  const spool = await open(folder);
  for (const number of [1, 2]) await spool.append(`key ${number}`, { number });
  const done = await spool.drain(async ({ number }) => (number === 1 ? 'rejected' : 'stored'));

  assert.deepEqual(done, { stored: 1, duplicate: 0, rejected: 1 });
  assert.equal(spool.stats().rejected, 1);
  assert.deepEqual(JSON.parse(readFileSync(path.join(folder, 'rejected.jsonl'), 'utf8')), { key: 'key 1', record: { number: 1 } });
  await spool.close();
});

test('a truncation of the last record costs only that record', async () => {
  const lines = [1, 2, 3].map((number) => encodeRecord({ key: `key ${number}`, record: { number, name: 'é🍯' } }));
  const whole = Buffer.concat(lines);
  const before = lines[0].length + lines[1].length;
  for (let length = before; length < whole.length; length += 1) {
    const { records, damaged } = decodeRecords(whole.subarray(0, length));
    assert.deepEqual([records.map(({ key }) => key), damaged], [['key 1', 'key 2'], length > before ? 1 : 0], `cut at ${length}`);
  }
});

test('a flipped bit costs only its record', () => {
  const lines = [1, 2, 3].map((number) => encodeRecord({ key: `key ${number}`, record: { number } }));
  for (let at = 0; at < lines[1].length - 1; at += 1) {
    const bytes = Buffer.concat(lines);
    bytes[lines[0].length + at] ^= 4; // makes no line end of anything there is
    const { records, damaged } = decodeRecords(bytes);
    assert.deepEqual([records.map(({ key }) => key), damaged], [['key 1', 'key 3'], 1], `byte ${at}`);
  }
});

test('a torn segment of an earlier process is read and logged', async () => {
  const folder = newFolder();
  const first = await open(folder);
  await first.append('a', { number: 1 });
  await first.close();
  appendFileSync(path.join(folder, segments(folder)[0]), 'half a rec');
  const { log, lines } = listeningLog();
  const second = await openSpool({ folder, maxBytes: MANY, log });

  assert.equal(second.stats().damaged, 1);
  assert.ok(lines.some(({ damaged, records }) => damaged === 1 && records === 1));
  assert.deepEqual(await drained(second), [{ number: 1 }]);
  await second.close();
});

test('segments of ended processes are taken over, by one process only', async () => {
  const folder = newFolder();
  const living = await open(folder);
  await living.append('a', { number: 1 });
  const beside = await open(folder);
  assert.equal(beside.pending, 0);
  await living.close();

  const [name] = segments(folder);
  const dead = await pidOfTheDead();
  renameSync(path.join(folder, name), path.join(folder, name.replace(`-${process.pid}-`, `-${dead}-`)));
  const heirs = await Promise.all([open(folder), open(folder), open(folder)]);
  assert.deepEqual(heirs.map(({ pending }) => pending).sort(), [0, 0, 1]);
  for (const spool of [beside, ...heirs]) await spool.close();
});

test('other files in the folder are ignored', async () => {
  const folder = newFolder();
  writeFileSync(path.join(folder, 'README.spool'), 'hello');
  const spool = await open(folder);
  assert.equal(spool.pending, 0);
  assert.deepEqual(readdirSync(folder), ['README.spool']);
  await spool.close();
});

test('a full spool refuses records until it is drained', async () => {
  const spool = await open(newFolder(), { maxBytes: 200 });
  await spool.append('a', { text: 'x'.repeat(60) });
  await assert.rejects(spool.append('b', { text: 'x'.repeat(60) }), SpoolFailed);
  assert.equal(spool.get('b'), undefined);
  await drained(spool);
  await spool.append('b', { text: 'x'.repeat(60) });

  assert.equal(spool.pending, 1);
  await spool.close();
});

test('a closed spool refuses records', async () => {
  const spool = await open(newFolder());
  await spool.close();
  await assert.rejects(spool.append('a', {}), SpoolFailed);
});

test('a spool closed during a drain keeps the rest for the next time', async () => {
  const folder = newFolder();
  const spool = await open(folder);
  for (const number of [1, 2, 3]) await spool.append(`key ${number}`, { number });
  const stored = [];
  let closing;
  const drain = spool.drain(async ({ number }) => {
    closing ??= spool.close(); // it waits for this one
    stored.push(number);
    return 'stored';
  });
  await assert.rejects(drain, SpoolClosed);
  await closing;
  assert.deepEqual([stored, spool.pending, segments(folder).length], [[1], 2, 1]);

  const heir = await open(folder);
  assert.deepEqual((await drained(heir)).map(({ number }) => number), [1, 2, 3]); // the first once more: its event id is known
  await heir.close();
});

// The N-th call of the file system fails, for N = 1, 2, 3 …, until a run needs fewer calls than that.
for (const code of ['ENOSPC', 'EIO']) {
  test(`with ${code} at any call, acknowledged records come out once`, async () => {
    for (let failing = 1; ; failing += 1) {
      const folder = newFolder();
      const { fs, calls } = watchedFs({ failing, code });
      const acknowledged = await acknowledgedBy(folder, fs);
      const out = [];
      const heir = await open(folder);
      await heir.drain(async ({ number }) => {
        out.push(number);
        return 'stored';
      });
      await heir.close();

      assert.deepEqual(out.filter((number) => acknowledged.includes(number)), acknowledged, `call ${failing}: ${calls[failing - 1]}`);
      assert.equal(new Set(out).size, out.length, `call ${failing}`);
      if (calls.length < failing) break;
      assert.ok(failing < 200);
    }
  });
}

test('a partial write does not damage later records', async () => {
  const folder = newFolder();
  const { fs } = watchedFs({ failing: 1, code: 'ENOSPC', only: 'appendFile', partial: true });
  const spool = await open(folder, { fs });
  await assert.rejects(spool.append('a', { number: 1 }), { name: 'SpoolFailed', message: /no room/ });
  await spool.append('b', { number: 2 });
  await spool.close();
  const heir = await open(folder);

  assert.deepEqual(await drained(heir), [{ number: 2 }]);
  assert.equal(heir.stats().damaged, 1);
  await heir.close();
});

test('on a full disk nothing is acknowledged', { skip: process.platform !== 'linux' && 'there is no /dev/full' }, async () => {
  const full = { ...nodeFs, open: (file, flags, mode) => nodeFs.open(file.endsWith('.spool') ? '/dev/full' : file, flags.replace('ax', 'a'), mode) };
  const spool = await open(newFolder(), { fs: full });

  await assert.rejects(spool.append('a', { number: 1 }), { name: 'SpoolFailed', message: /ENOSPC/ });
  assert.equal(spool.pending, 0);
  await spool.close();
});

test('after ten kills, no acknowledged record is lost or doubled', async () => {
  const folder = newFolder();
  const acknowledged = [];
  for (let life = 0; life < 10; life += 1) {
    const writer = spawn(process.execPath, [WRITER, folder, String(life)], { stdio: ['ignore', 'pipe', 'inherit'] });
    const dies = once(writer, 'exit');
    const enough = 20 + 37 * life; // another moment each time
    for await (const line of createInterface({ input: writer.stdout })) {
      acknowledged.push(line);
      if (acknowledged.length % 500 === enough % 500) writer.kill('SIGKILL');
    }
    writer.kill('SIGKILL');
    await dies;
  }
  const spool = await open(folder);
  const out = (await drained(spool)).map(({ name }) => name);
  await spool.close();

  const kept = new Set(out);
  assert.equal(kept.size, out.length);
  assert.deepEqual(acknowledged.filter((name) => !kept.has(name)), []);
  assert.ok(acknowledged.length > 200, `${acknowledged.length} acknowledged`);
});

/** Write ten records, two of them at once, and drain in the middle; return the numbers that were acknowledged and not drained. */
async function acknowledgedBy(folder, fs) {
  const numbers = [];
  let spool;
  try {
    spool = await open(folder, { fs });
  } catch {
    return numbers;
  }
  const note = (number) => spool.append(`key ${number}`, { number }).then(() => numbers.push(number), () => {});
  for (const number of [1, 2, 3]) await note(number);
  await Promise.all([note(4), note(5)]);
  await spool
    .drain(async ({ number }) => {
      numbers.splice(numbers.indexOf(number), 1);
      return 'stored';
    })
    .catch(() => {});
  for (const number of [6, 7, 8]) await note(number);
  await spool.close().catch(() => {});
  return numbers;
}

/** Return a file system that counts its calls and fails at one of them. */
function watchedFs({ failing = Infinity, code = 'EIO', only, partial = false } = {}) {
  const calls = [];
  let counted = 0;
  const guard = (target, name) => async (...args) => {
    calls.push(name);
    if (only === undefined || name === only) counted += 1;
    if (counted === failing && (only === undefined || name === only)) {
      counted = Infinity;
      if (partial) await target[name](args[0].subarray(0, args[0].length / 2));
      throw Object.assign(new Error(`${code}: no room, ${name}`), { code });
    }
    const result = await target[name](...args);
    return name === 'open' ? guarded(result, ['appendFile', 'datasync', 'sync', 'close']) : result;
  };
  const guarded = (target, names) => Object.fromEntries(names.map((name) => [name, guard(target, name)]));
  return { calls, fs: guarded(nodeFs, ['mkdir', 'readdir', 'rename', 'open', 'readFile', 'rm']) };
}

async function pidOfTheDead() {
  const child = spawn(process.execPath, ['-e', '0']);
  await once(child, 'exit');
  return child.pid;
}
