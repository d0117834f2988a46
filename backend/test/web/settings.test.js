/** What the server is told from outside, and what it makes of it. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

import { SettingsError, VARIABLES, readSettings } from '../../src/config/settings.js';

const ROOT = mkdtempSync(path.join(tmpdir(), 'settings-'));
const NEEDED = { DATABASE_URL: 'sqlite:///data/shop.sqlite', JWT_SECRET: 's'.repeat(32) };
const README = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
const SAMPLE = readFileSync(new URL('../../../.env.example', import.meta.url), 'utf8');

/** Return a folder with these files. */
function folderWith(files) {
  const folder = mkdtempSync(path.join(ROOT, 'folder-'));
  for (const [name, text] of Object.entries(files)) writeFileSync(path.join(folder, name), text);
  return folder;
}

test('with the least it can be told, everything has its default', () => {
  const settings = readSettings(NEEDED, ROOT);

  assert.equal(settings.databaseUrl.reveal(), `sqlite:///${ROOT}/data/shop.sqlite`);
  assert.equal(settings.modelsDir, path.join(ROOT, 'models'));
  assert.deepEqual([settings.host, settings.port], ['127.0.0.1', 6969]);
  assert.deepEqual(settings.python, { bin: null, size: 2, timeoutMs: 800 });
  assert.deepEqual(settings.admins, { roles: ['R1'], ids: [] });
  assert.equal(settings.timeZone, 'UTC');
});

test('nothing of it can be changed', () => {
  const settings = readSettings(NEEDED, ROOT);
  assert.throws(() => (settings.jwtSecret = ''), TypeError);
  assert.throws(() => settings.admins.ids.push(7), TypeError);
});

test('the environment goes before .env, which goes before the defaults', () => {
  const root = folderWith({ '.env': 'PORT=1\nHOST=0.0.0.0\nJWT_SECRET=from-the-file-from-the-file-12345\nDATABASE_URL=sqlite:///a.sqlite' });
  const settings = readSettings({ PORT: '2' }, root);

  assert.deepEqual([settings.port, settings.host, settings.logLevel], [2, '0.0.0.0', 'info']);
  assert.equal(settings.databaseUrl.reveal(), `sqlite:///${root}/a.sqlite`);
});

test('an empty variable is one that is not set', () => {
  assert.equal(readSettings({ ...NEEDED, PORT: '', MODELS_DIR: '' }, ROOT).port, 6969);
});

for (const [given, url] of [
  [{ DATABASE_URL: 'sqlite:////srv/shop.sqlite' }, 'sqlite:////srv/shop.sqlite'],
  [{ DATABASE_URL: 'mysql+pymysql://u:p%40@db:3307/shop' }, 'mysql+pymysql://u:p%40@db:3307/shop'],
  [{ DATABASE_URL: 'mysql://u@db/shop' }, 'mysql://u@db/shop'],
  [{ DB_NAME: 'shop' }, 'mysql+pymysql://root:@127.0.0.1:3306/shop'],
  [{ DB_DATABASE_NAME: 'a b', DB_USERNAME: 'ü', DB_PASS: 'p@:/', DB_HOST: 'db', DB_PORT: '3307' }, 'mysql+pymysql://%C3%BC:p%40%3A%2F@db:3307/a%20b'],
]) {
  test(`${JSON.stringify(given)} is ${url}`, () => {
    assert.equal(readSettings({ JWT_SECRET: NEEDED.JWT_SECRET, ...given }, ROOT).databaseUrl.reveal(), url);
  });
}

for (const stored of ['UTC', 'Etc/UTC']) {
  test(`the customers’ time zone comes from recsys.toml, where timestamps are in ${stored}`, () => {
    const root = folderWith({ 'shop.toml': `[shop]\ntime_zone = "Asia/Ho_Chi_Minh"\nstored_time_zone = "${stored}"\n` });

    assert.equal(readSettings({ ...NEEDED, RECSYS_TOML: 'shop.toml' }, root).timeZone, 'Asia/Ho_Chi_Minh');
  });
}

test('a shop whose timestamps Python would read in another zone is refused', () => {
  for (const stored of ['Europe/Berlin', 'Europe/London', 'Mars/Olympus']) {
    const root = folderWith({ 'recsys.toml': `[shop]\nstored_time_zone = "${stored}"\n` });

    assert.throws(() => readSettings(NEEDED, root), (error) => error instanceof SettingsError && error.message.includes(`Received: ${stored}.`));
  }
});

for (const [given, message] of [
  [{ JWT_SECRET: undefined }, /^JWT_SECRET should have at least 32 bytes\. Received: 0\. `openssl/],
  [{ JWT_SECRET: '' }, /Received: 0/],
  [{ JWT_SECRET: 'x'.repeat(31) }, /Received: 31/],
  [{ JWT_SECRET: /^JWT_SECRET=(.*)$/m.exec(SAMPLE)[1] }, /Received: the sample/],
  [{ DATABASE_URL: undefined }, /^DATABASE_URL \(or DB_HOST.*Received: nothing/],
  [{ DATABASE_URL: 'postgresql+psycopg://u:secret@h/n' }, /^DATABASE_URL should be .*Received: postgresql\+psycopg:…$/],
  [{ DATABASE_URL: 'sqlite:///' }, /^DATABASE_URL should be/],
  [{ DATABASE_URL: 'mysql://host' }, /^DATABASE_URL should be/],
  [{ DATABASE_URL: undefined, DB_NAME: 'n', DB_PORT: '70000' }, /^DB_PORT should be a whole number from 1 to 65535\. Received: 70000\.$/],
  [{ PORT: '-1' }, /^PORT should be a whole number from 0 to 65535\. Received: -1\.$/],
  [{ PORT: '1.5' }, /^PORT/],
  [{ PYTHON_POOL_SIZE: '0' }, /^PYTHON_POOL_SIZE should be a whole number from 1/],
  [{ ADMIN_IDS: '1,x' }, /^ADMIN_IDS .*Received: no number\.$/],
  [{ LOG_LEVEL: 'loud' }, /^LOG_LEVEL should be one of .*Received: loud\.$/],
  [{ CORS_ORIGIN: 'https://shop.example/path' }, /^CORS_ORIGIN/],
  [{ CORS_ORIGIN: '*' }, /^CORS_ORIGIN/],
  [{ RECSYS_TOML: 'absent.toml' }, /^RECSYS_TOML should name a file\. Received: absent\.toml\.$/],
]) {
  test(`${JSON.stringify(given)} is refused`, () => {
    assert.throws(() => readSettings({ ...NEEDED, ...given }, ROOT), (error) => error instanceof SettingsError && message.test(error.message));
  });
}

test('a mapping that cannot be read is refused', () => {
  const broken = folderWith({ 'recsys.toml': '[shop' });
  const elsewhere = folderWith({ 'recsys.toml': '[shop]\ntime_zone = "Mars/Olympus"' });

  assert.throws(() => readSettings(NEEDED, broken), /^SettingsError: recsys\.toml should be valid TOML/);
  assert.throws(() => readSettings(NEEDED, elsewhere), /Received: Mars\/Olympus/);
});

test('no message shows a secret', () => {
  for (const given of [{ JWT_SECRET: 'hush' }, { DATABASE_URL: 'oracle://u:hush@h/n' }]) {
    assert.throws(() => readSettings({ ...NEEDED, ...given }, ROOT), (error) => !error.message.includes('hush'));
  }
});

test('the README has every variable with its default', () => {
  const rows = [...README.matchAll(/^\| `([A-Z_]+)` \| (.*?) \| (.*?) \|$/gm)].map(([, ...cells]) => cells);
  const expected = Object.entries(VARIABLES).map(([name, { default: value, meaning }]) => [name, value ? `\`${value}\`` : '', meaning]);

  assert.deepEqual(rows, expected);
});

test('.env.example sets nothing that is not read', () => {
  const named = [...SAMPLE.matchAll(/^#? ?([A-Z_]+)=/gm)].map(([, name]) => name);

  assert.ok(named.includes('JWT_SECRET'));
  assert.deepEqual(named.filter((name) => !(name in VARIABLES)), []);
});
