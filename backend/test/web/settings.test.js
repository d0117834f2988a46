/** The settings: where they come from, and what is refused. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { inspect } from 'node:util';

import { placeOf } from '../../src/config/databaseUrl.js';
import { scrubbed } from '../../src/config/secrets.js';
import { SettingsError, VARIABLES, readSettings } from '../../src/config/settings.js';

const ROOT = mkdtempSync(path.join(tmpdir(), 'settings-'));
const NEEDED = { DATABASE_URL: 'sqlite:///data/shop.sqlite', JWT_SECRET: 's'.repeat(32) };
const README = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
const MAIN_README = readFileSync(new URL('../../../README.md', import.meta.url), 'utf8');
const SAMPLE = readFileSync(new URL('../../../.env.example', import.meta.url), 'utf8');

/** Return a folder with these files. */
function folderWith(files) {
  const folder = mkdtempSync(path.join(ROOT, 'folder-'));
  for (const [name, text] of Object.entries(files)) writeFileSync(path.join(folder, name), text);
  return folder;
}

test('with the required settings only, all others have defaults', () => {
  const settings = readSettings(NEEDED, ROOT);

  assert.equal(settings.databaseUrl.reveal(), `sqlite:///${ROOT}/data/shop.sqlite`);
  assert.equal(settings.modelsDir, path.join(ROOT, 'models'));
  assert.deepEqual([settings.host, settings.port], ['127.0.0.1', 6969]);
  assert.deepEqual(settings.python, { bin: null, size: 2, timeoutMs: 800 });
  assert.deepEqual(settings.admins, { roles: ['R1'], ids: [] });
  assert.equal(settings.timeZone, 'UTC');
});

test('settings are frozen', () => {
  const settings = readSettings(NEEDED, ROOT);
  assert.throws(() => (settings.jwtSecret = ''), TypeError);
  assert.throws(() => settings.admins.ids.push(7), TypeError);
});

test('the environment precedes .env, which precedes the defaults', () => {
  const root = folderWith({ '.env': 'PORT=1\nHOST=0.0.0.0\nJWT_SECRET=from-the-file-from-the-file-12345\nDATABASE_URL=sqlite:///a.sqlite' });
  const settings = readSettings({ PORT: '2' }, root);

  assert.deepEqual([settings.port, settings.host, settings.logLevel], [2, '0.0.0.0', 'info']);
  assert.equal(settings.databaseUrl.reveal(), `sqlite:///${root}/a.sqlite`);
});

test('an empty variable counts as not set', () => {
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
  test(`the time zone comes from recsys.toml, with timestamps in ${stored}`, () => {
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

for (const zone of ['["UTC"]', '{ name = "UTC" }', '7', 'true']) {
  test(`a time zone that is ${zone} is refused`, () => {
    for (const name of ['time_zone', 'stored_time_zone']) {
      const root = folderWith({ 'recsys.toml': `[shop]\n${name} = ${zone}\n` });

      assert.throws(() => readSettings(NEEDED, root), (error) => error instanceof SettingsError && error.message.endsWith('Received: no text.'));
    }
  });
}

test('a mapping that cannot be read is refused', () => {
  const broken = folderWith({ 'recsys.toml': '[shop' });
  const elsewhere = folderWith({ 'recsys.toml': '[shop]\ntime_zone = "Mars/Olympus"' });

  assert.throws(() => readSettings(NEEDED, broken), /^SettingsError: recsys\.toml should be valid TOML/);
  assert.throws(() => readSettings(NEEDED, elsewhere), /Received: Mars\/Olympus/);
});

for (const [url, place] of [
  ['mysql://u:hush@h/n', { host: 'h', port: 3306, user: 'u', password: 'hush', name: 'n' }],
  ['mysql+pymysql://u:hush%2Fx%3Fy%23z%5B%5D%25@h:3307/n', { host: 'h', port: 3307, user: 'u', password: 'hush/x?y#z[]%', name: 'n' }],
  ['mysql://u:hu%zzsh@h/n', { password: 'hu%zzsh' }],
  ['mysql://u:hush%@h/n', { password: 'hush%' }],
  ['mysql://u:hush@x@h/n', { host: 'h', password: 'hush@x' }],
  ['mysql://u:hush:x@h/n', { user: 'u', password: 'hush:x' }],
  ['mysql://u:h%C3%BCsh@h/n', { password: 'hüsh' }],
  ['mysql://u:hush x@h/n', { password: 'hush x' }],
  ['mysql://:hush@h/n', { user: 'root', password: 'hush' }],
  ['mysql://u@h/n', { user: 'u', password: '' }],
  ['mysql:///n', { host: '127.0.0.1', user: 'root' }],
  ['mysql://u:hush@[::1]:3307/n', { host: '::1', port: 3307 }],
  ['MariaDB://h/n', { host: 'h', name: 'n' }],
  ['mysql://h/n?unix_socket=/run/m.sock&ssl_ca=/ca.pem', { socket: '/run/m.sock', certificate: '/ca.pem' }],
]) {
  test(`${url} is read as ${JSON.stringify(place)}`, () => {
    const read = placeOf(url);
    assert.deepEqual(Object.fromEntries(Object.keys(place).map((key) => [key, read[key]])), place);
  });
}

// What may be a password is in each, and in no message.
for (const url of [
  'mysql+pymysql://root:hush/x@127.0.0.1:3306/db',
  'mysql+pymysql://root:hush?x@127.0.0.1:3306/db',
  'mysql+pymysql://root:hush#x@127.0.0.1:3306/db',
  'mysql+pymysql://root:3306/hush@127.0.0.1:3306/db',
  'mysql+pymysql://root:3306?hush@127.0.0.1:3306/db',
  'mysql+pymysql://root:3306#hush@127.0.0.1:3306/db',
  'mysql+pymysql://root:3306/a?hush@127.0.0.1/db',
  'mysql+pymysql://root:a@h:3306/hush@127.0.0.1/db',
  'mysql://root:p[hush]@h/db',
  'mysql://root:[hush@h/db',
  'mysql://root:hush]@h/db',
  'mysql://root:hush@h:port/db',
  'mysql://root:hush@h:0/db',
  'mysql://root:hush@h:65536/db',
  'mysql://root:hush@h:/db',
  'mysql://root:hush@h:33 06/db',
  'mysql://root:hush@h',
  'mysql://root:hush@h/',
  'mysql://root:hush@h/db#hush',
  'mysql://root:hush@h/db?hush=1',
  'mysql://root:hush@h/db?password=hush',
  'mysql:/root:hush@h/db',
  'mysql:root:hush@h/db',
  'mysqlx://root:hush@h/db',
  'postgresql://root:hush@h/db',
  'postgres://root:hush@h/db',
  'postgresql+psycopg://root:hush@h/db',
  'oracle://root:hush@h/db',
  'mysql://root:hush@h/db/x',
  'mysql://root:hush@h x/db',
  'mysql://root:hush@[h]/db',
  'mysql://root:hu%00sh@h/db',
  'mysql://root:hush%ff@h/db',
  'mysql://root:hush\n@h/db',
  'hush',
  'root:hush@h/db',
  'sqlite://hush',
  'sqlite:hush',
  'sqlite:///',
  'sqlite:///:memory:',
]) {
  test(`DATABASE_URL=${url} is refused, and only its scheme shown`, () => {
    assert.throws(
      () => readSettings({ ...NEEDED, DATABASE_URL: url }, ROOT),
      (error) => error instanceof SettingsError && /^DATABASE_URL /.test(error.message) && !/hush|\n/.test(error.message),
    );
  });
}

for (const given of [
  { JWT_SECRET: 'hush' },
  { DATABASE_URL: undefined, DB_NAME: 'n', DB_HOST: 'root:hush@h' },
  { DATABASE_URL: undefined, DB_NAME: 'n', DB_HOST: 'h/hush' },
  { DATABASE_URL: undefined, DB_NAME: 'n', DB_PORT: 'hush' },
  { CORS_ORIGIN: 'https://eve:hush@shop.example' },
  { PORT: 'hush' },
  { RATE_LIMIT_IP: 'hush' },
]) {
  test(`${JSON.stringify(given)} is refused without showing its value`, () => {
    assert.throws(() => readSettings({ ...NEEDED, ...given }, ROOT), (error) => error instanceof SettingsError && !error.message.includes('hush'));
  });
}

test('a secret is *** in texts, in JSON and on the console', () => {
  const settings = readSettings({ DATABASE_URL: 'mysql://eve:hush-hush@h/n', JWT_SECRET: 'hush'.repeat(8), METRICS_TOKEN: 'hush-hush' }, ROOT);

  for (const text of [String(settings.jwtSecret), `${settings.metricsToken}`, JSON.stringify(settings), inspect(settings, { depth: 9, showHidden: true })]) assert.ok(!text.includes('hush'), text);
  assert.equal(settings.metricsToken.reveal(), 'hush-hush');
  assert.equal(settings.databaseUrl.reveal(), 'mysql://eve:hush-hush@h/n');
});

test('secrets are masked in other texts, in all spellings', () => {
  readSettings({ DATABASE_URL: 'mysql://eve:to%2Fhush%22@h/n', JWT_SECRET: NEEDED.JWT_SECRET, METRICS_TOKEN: 'tea' }, ROOT);

  for (const [text, scrubbedText] of [
    ['using to/hush" as a password', 'using *** as a password'],
    ['at mysql://eve:unknown@h/n', 'at mysql://***@h/n'],
    ['to%2Fhush%22', '***'],
    ['{"password":"to/hush\\""}', '{"password":"***"}'],
    ['tea, steam and a teapot', '***, steam and a teapot'], // a short one is masked where it stands alone
    ['mysql://h/n', 'mysql://h/n'],
    ['at mysql://eve:un"kno\'wn@h/n', 'at mysql://***@h/n'],
    ['at mysql://eve:un@known@h/n, a@b', 'at mysql://***@h/n, a@b'],
    ['mysql+pymysql://user:password@host:3306/name', 'mysql+pymysql://user:password@host:3306/name'], // an example of our own
  ]) {
    assert.equal(scrubbed(text), scrubbedText);
  }
});

const EVENTS = 'table = "Interactions"\nuser = "userId"\nitem = "productId"\nevent = "actionCode"\ntimestamp = "timestamp"';
const ORDERS = '[[sources]]\ntable = "orders"\nuser = "userId"\nitem = "productId"\nevent_name = "purchase"\ntimestamp = "placed_at"';
const SQL = (table) => `[[sources]]\nsince = "SELECT 1 FROM ${table} WHERE 1 >= :since"\none_user = "SELECT 1 FROM ${table} WHERE u = :user_id"`;
for (const [what, toml, received] of [
  ['nothing', '', null],
  ['what is no table', '[events]\npurchase = 1.0\n[training]\ndim = 8', null],
  ['the default source', `[[sources]]\n${EVENTS}`, null],
  ['the default source with its context', `[[sources]]\n${EVENTS}\nrow_id = "interId"\ndevice_type = "device_type"`, null],
  ['the default source with sessions', `[[sources]]\n${EVENTS}\nsession = "visitId"`, null],
  ['another source beside it', `[[sources]]\n${EVENTS}\n${ORDERS}`, null],
  ['the default table in SQL', SQL('Interactions'), null],
  ['the default table in SQL, quoted', SQL('`Interactions` i'), null],
  ['other columns of the default products', '[products]\ntable = "Products"\nid = "id"\nactive = "view > 0"', null],
  ['the default products in SQL', '[products]\nquery = "SELECT p.id AS item_id FROM Products p"', null],
  ['an empty table of products', '[products]', null],
  ['another source alone', ORDERS, '[[sources]] of recsys.toml … orders'],
  ['two others', `${ORDERS}\n${ORDERS.replace('"orders"', '"views"')}`, '[[sources]] of recsys.toml … orders, views'],
  ['another table in SQL', SQL('orders'), '[[sources]] of recsys.toml … SQL over other tables'],
  ['a table whose name begins like the default’s', SQL('InteractionsOld'), '[[sources]] of recsys.toml … SQL over other tables'],
  ['another column of users', `[[sources]]\n${EVENTS.replace('"userId"', '"member"')}`, '[[sources]] of recsys.toml … Interactions'],
  ['no source', 'sources = []', '[[sources]] of recsys.toml … none'],
  ['a preset', '[shop]\npreset = "medusa"', '[shop] of recsys.toml … preset medusa'],
  ['other products', '[products]\ntable = "articles"\nid = "sku"', '[products] of recsys.toml … articles'],
  ['another id of products', '[products]\ntable = "Products"\nid = "externalId"', '[products] of recsys.toml … Products'],
  ['other products in SQL', '[products]\nquery = "SELECT a.sku AS item_id FROM articles a"', '[products] of recsys.toml … SQL over other tables'],
]) {
  test(`a mapping with ${what} is ${received === null ? 'served' : 'refused by name'}`, () => {
    const root = folderWith({ 'recsys.toml': toml });
    if (received === null) {
      readSettings(NEEDED, root);
      return;
    }
    const [where, tables] = received.split(' … ');
    assert.throws(() => readSettings(NEEDED, root), (error) => error instanceof SettingsError && error.message.startsWith(where) && error.message.includes(`Received: ${tables};`));
  });
}

test('the prefix of the cache is read, and refused where it is no beginning of a name', () => {
  assert.equal(readSettings(NEEDED, folderWith({})).cachePrefix, '');
  assert.equal(readSettings(NEEDED, folderWith({ 'recsys.toml': '[shop]\ncache_prefix = "recsys_"' })).cachePrefix, 'recsys_');
  for (const prefix of ['"a b"', '"x;"', '7']) {
    assert.throws(() => readSettings(NEEDED, folderWith({ 'recsys.toml': `[shop]\ncache_prefix = ${prefix}` })), /^SettingsError: cache_prefix of \[shop\] should be letters/);
  }
});

test('the place of our own tables is read as Python does, and refused where it is none', () => {
  const place = (value, url = NEEDED.DATABASE_URL) => {
    const root = folderWith({ 'recsys.toml': `[shop]\nown_tables = ${value}` });
    return [readSettings({ ...NEEDED, DATABASE_URL: url }, root).ownTables, root];
  };
  const mysql = 'mysql://root@127.0.0.1/shop';
  const [file, root] = place('"own.sqlite"', 'sqlite:///shop.sqlite');
  assert.equal(file, path.join(root, 'own.sqlite'));
  assert.equal(place('"recsys"', mysql)[0], 'recsys');
  assert.equal(readSettings(NEEDED, folderWith({})).ownTables, '');
  for (const [value, url] of [['"a b"', mysql], ['"a.b"', mysql], ['"a`b"', mysql], ['7', mysql], ['""', mysql], ['" "', 'sqlite:///shop.sqlite']]) {
    assert.throws(() => place(value, url), /^SettingsError: own_tables of \[shop\] should be/);
  }
  assert.throws(() => place('7', mysql), /Received: number\.$/);
});

test('a mapping that is not TOML is refused with the line number', () => {
  const root = folderWith({ 'recsys.toml': '[shop]\npassword = "hush' });
  assert.throws(() => readSettings(NEEDED, root), (error) => error instanceof SettingsError && /in line \d\.$/.test(error.message) && !/hush|\n/.test(error.message));
});

test('a .env that cannot be read is refused', () => {
  const root = folderWith({});
  mkdirSync(path.join(root, '.env'));
  assert.throws(() => readSettings(NEEDED, root), /^SettingsError: \.env should be a file that can be read, or left out\. Received: EISDIR\.$/);
});

test('both READMEs say in a box what the server needs', () => {
  for (const text of [README, MAIN_README]) {
    const box = text.split('\n').filter((line) => line.startsWith('> ')).join(' ');
    for (const word of ['MySQL', 'SQLite', 'default schema', 'whole', 'PostgreSQL', 'text', '78']) assert.ok(box.includes(word), word);
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
  const python = readFileSync(new URL('../../../recsys/settings/settings.py', import.meta.url), 'utf8');
  assert.deepEqual(named.filter((name) => !(name in VARIABLES) && !python.includes(`"${name}"`)), []);
});
