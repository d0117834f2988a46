/** A spool belongs to one database: others are only reported, and nothing is stored before the server listens. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import nodeFs from 'node:fs/promises';
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';

import { nameOf } from '../../src/config/databaseUrl.js';
import { SettingsError } from '../../src/config/settings.js';
import { logger } from '../../src/monitoring/logging.js';
import { spoolOf } from '../../src/server.js';
import { folderOf, waitingElsewhere } from '../../src/services/spool/databases.js';
import { openSpool } from '../../src/services/spool/spool.js';
import { migrate } from '../core/migrate.js';
import { eventually } from '../harness.js';
import { endServers, failedStart, startServerProcess } from './serverProcess.js';
import { fillUsers, withModels } from './shops.js';
import { listeningLog } from './stage.js';

const ROOT = mkdtempSync(path.join(tmpdir(), 'databases-'));
const EVENT = { productId: 110, actionCode: 'view', eventId: 'event-0001' };
after(endServers);
after(() => rmSync(ROOT, { recursive: true, force: true }));

/** Return an empty SQLite file's URL. */
function newFile(name) {
  const file = path.join(mkdtempSync(path.join(ROOT, 'shop-')), name);
  closeSync(openSync(file, 'w'));
  return `sqlite:///${file}`;
}

/** Return the URL of a shop with the default schema, user 7 and product 110. */
async function newShop(name) {
  const url = newFile(name);
  await migrate(url);
  await fillUsers(url);
  await withModels(url, ({ Product }) => Product.create({ id: 110, name: 'Nord tea' }));
  return url;
}

const variablesOf = (url, spoolDir) => ({ DATABASE_URL: url, SPOOL_DIR: spoolDir, MODELS_DIR: path.join(ROOT, 'models'), PYTHON_BIN: path.join(ROOT, 'none') });
const eventsOf = (url) => withModels(url, ({ Interaction }) => Interaction.findAll({ raw: true }));
const newSpoolDir = () => mkdtempSync(path.join(ROOT, 'spool-'));

/** Let a server that has no tables acknowledge an event, and end; what it acknowledged stays on the disk. */
async function leaveBehind(url, spoolDir) {
  const server = await startServerProcess(variablesOf(url, spoolDir));
  const { status } = await server.post('/api/interaction', { as: 7, body: EVENT });
  await server.stop();
  assert.equal(status, 202);
}

test('records of one database are reported by another, and stored by their own', async () => {
  const spoolDir = newSpoolDir();
  const [one, other] = [newFile('one.sqlite'), await newShop('other.sqlite')];
  await leaveBehind(one, spoolDir);

  const server = await startServerProcess(variablesOf(other, spoolDir));
  const named = server.lines.find(({ database }) => database !== undefined);
  const elsewhere = await server.metric('spool_elsewhere');
  const overview = await server.get('/internal/recommendations', { as: 1 });
  assert.equal(await server.stop(), 0);
  assert.deepEqual([named.database, named.files, elsewhere], [one, 1, 1]);
  assert.match(named.msg, /start the backend with that database, or move the folder away/);
  assert.deepEqual(overview.body.data.spool.elsewhere.map(({ database }) => database), [one]);
  assert.deepEqual(await eventsOf(other), []);

  await migrate(one);
  const again = await startServerProcess(variablesOf(one, spoolDir));
  await eventually(async () => assert.equal(await again.metric('spool_pending'), 0));
  assert.equal(await again.stop(), 0);
  assert.deepEqual((await eventsOf(one)).map(({ eventId }) => eventId), [EVENT.eventId]);
});

test('a start on a port in use stores nothing, the next start does', async () => {
  const spoolDir = newSpoolDir();
  const url = newFile('shop.sqlite');
  await leaveBehind(url, spoolDir);
  await migrate(url);
  const taken = net.createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  const { code } = await failedStart({ ...variablesOf(url, spoolDir), PORT: String(taken.address().port) });
  taken.close();
  assert.equal(code, 1);
  assert.deepEqual(await eventsOf(url), []);

  const server = await startServerProcess(variablesOf(url, spoolDir));
  await eventually(async () => assert.equal(await server.metric('spool_pending'), 0));
  assert.equal(await server.stop(), 0);
  assert.equal((await eventsOf(url)).length, 1);
});

test('backends of two databases share a folder without seeing each other’s records', async () => {
  const spoolDir = newSpoolDir();
  const { log } = listeningLog();
  const opened = [];
  for (const database of ['mysql://localhost:3306/one', 'mysql://localhost:3306/two']) {
    opened.push(await spoolOf({ spoolDir, spoolMaxBytes: 1 << 20, databaseName: database }, log));
  }
  for (const [number, { spool }] of opened.entries()) await spool.append('the same key', { number });
  for (const [number, { spool, elsewhere }] of opened.entries()) {
    const seen = [];
    await spool.drain(async (record) => seen.push(record.number) && 'stored');
    assert.deepEqual([seen, elsewhere()], [[number], []]);
  }
  for (const { spool } of opened) await spool.close();
});

test('records of an older version are reported with advice, and not touched', async () => {
  const spoolDir = newSpoolDir();
  const { log, lines } = listeningLog();
  const former = await openSpool({ folder: spoolDir, maxBytes: 1 << 20, log });
  await former.append('key', { number: 1 });
  await former.close();
  const { spool, elsewhere } = await spoolOf({ spoolDir, spoolMaxBytes: 1 << 20, databaseName: 'mysql://localhost:3306/shop' }, log);
  const told = lines.find(({ database }) => database === null);

  assert.equal(spool.pending, 0);
  assert.deepEqual(elsewhere().map(({ folder, database, files }) => [folder, database, files]), [[spoolDir, null, 1]]);
  const own = readdirSync(spoolDir).find((name) => !name.endsWith('.spool'));
  for (const word of ['mysql://localhost:3306/shop', '*.spool', path.join(spoolDir, own)]) assert.ok(told.msg.includes(word), told.msg);
  assert.equal(readdirSync(spoolDir).filter((name) => name.endsWith('.spool')).length, 1);
  await spool.close();

  for (const name of readdirSync(spoolDir).filter((file) => file.endsWith('.spool'))) await nodeFs.rename(path.join(spoolDir, name), path.join(spoolDir, own, name));
  const moved = await spoolOf({ spoolDir, spoolMaxBytes: 1 << 20, databaseName: 'mysql://localhost:3306/shop' }, log);
  assert.deepEqual([moved.spool.pending, moved.elsewhere()], [1, []]);
  await moved.spool.close();
});

test('the folder names its database, without secrets', async () => {
  const spoolDir = newSpoolDir();
  const folder = await folderOf(spoolDir, nameOf('mysql+pymysql://eve:hush@db.example/shop'));

  assert.deepEqual(JSON.parse(readFileSync(path.join(folder, 'database.json'), 'utf8')), { database: 'mysql://db.example:3306/shop' });
  assert.deepEqual(readdirSync(folder), ['database.json']);
  assert.match(path.basename(folder), /^[0-9a-f]{16}$/);
  writeFileSync(path.join(folder, 'database.json'), '{'); // torn
  writeFileSync(path.join(folder, '00000000000001-000001-0123456789ab-999999999-0123456789ab.spool'), 'x');
  assert.deepEqual(waitingElsewhere(spoolDir, 'another').map(({ database, bytes }) => [database, bytes]), [[null, 1]]);
});

for (const [spellings, isSame] of [
  [['mysql://h/a', 'mysql+pymysql://eve:hush@H:3306/a'], true],
  [['mysql://h/a', 'mariadb+pymysql://h/a'], true],
  [['mysql://127.0.0.1/a', 'mysql://localhost/a'], true],
  [['mysql://[::1]/a', 'mysql://localhost/a'], true],
  [['mysql://h/sh%6Fp', 'mysql://h/shop'], true],
  [['mysql://h/a', 'mysql://h/b'], false],
  [['mysql://h/a', 'mysql://h/A'], false],
  [['mysql://h/a', 'mysql://h:3307/a'], false],
  [['mysql://h/a', 'mysql://i/a'], false],
  [['mysql://h/a', 'mysql://h/a?unix_socket=/run/one'], false],
  [['mysql://h/a?unix_socket=/run/one', 'mysql://i/a?unix_socket=/run/one'], true],
  [['sqlite:////srv/a/../a.sqlite', 'sqlite:////srv/a.sqlite'], true],
  [['sqlite:////srv/a.sqlite', 'sqlite:////srv/b.sqlite'], false],
]) {
  test(`${spellings.join(' and ')} are ${isSame ? 'one database' : 'two databases'}`, () => {
    const [one, other] = spellings.map(nameOf);
    assert.equal(one === other, isSame, `${one} ${other}`);
    assert.ok(!`${one}${other}`.includes('hush'));
  });
}

test('a SQLite file is named by its path, with links followed', () => {
  const folder = mkdtempSync(path.join(ROOT, 'links-'));
  const link = path.join(folder, 'current.sqlite');
  symlinkSync('one.sqlite', link);
  const away = nameOf(`sqlite:///${link}`);
  writeFileSync(path.join(folder, 'one.sqlite'), '');
  assert.equal(nameOf(`sqlite:///${link}`), away);
  assert.equal(nameOf(`sqlite:///${path.join(folder, 'one.sqlite')}`), away);
  rmSync(link);
  symlinkSync('two.sqlite', link);
  assert.notEqual(nameOf(`sqlite:///${link}`), away);
});

for (const [what, prepare, message] of [
  ['a file', (at) => writeFileSync(at, ''), /Received: (?:EEXIST|ENOTDIR): /],
  ['below a file', (at) => writeFileSync(path.dirname(at), ''), /Received: ENOTDIR: /],
  ['where nothing can be made', () => '/proc/spool', /Received: (?:ENOENT|EACCES|EPERM): /],
]) {
  test(`a SPOOL_DIR that is ${what} is refused with one line and 78`, { skip: what.startsWith('where') && process.platform !== 'linux' && 'there is no /proc' }, async () => {
    const at = path.join(ROOT, `place of ${what}`, 'spool');
    mkdirSync(what === 'a file' ? path.dirname(at) : ROOT, { recursive: true });
    const spoolDir = prepare(at) ?? at;
    const { code, stderr } = await failedStart(variablesOf(newFile('shop.sqlite'), spoolDir));

    assert.equal(code, 78, stderr);
    assert.match(stderr, /^server: SPOOL_DIR should be a folder that can be written to\. Received: /);
    assert.match(stderr, message);
    assert.equal(stderr.trim().split('\n').length, 1);
  });
}

for (const [call, code] of [
  ['mkdir', 'EACCES'],
  ['mkdir', 'EROFS'],
  ['writeFile', 'ENOSPC'],
  ['writeFile', 'EDQUOT'],
  ['writeFile', 'EACCES'],
  ['rename', 'EIO'],
  ['readdir', 'EACCES'],
]) {
  test(`${code} of ${call} at the start is a settings error, and leaves no draft`, async () => {
    const spoolDir = newSpoolDir();
    const fs = { ...nodeFs, [call]: async () => Promise.reject(Object.assign(new Error(`${code}: no way, ${call}`), { code, syscall: call })) };
    const settings = { spoolDir, spoolMaxBytes: 1 << 20, databaseName: 'mysql://localhost:3306/shop' };

    await assert.rejects(spoolOf(settings, logger({ logLevel: 'silent' }), fs), (error) => error instanceof SettingsError && error.message.includes(`Received: ${code}: `));
    assert.ok(!readdirSync(spoolDir, { recursive: true }).some((name) => /database\.json\./.test(name)));
  });
}
