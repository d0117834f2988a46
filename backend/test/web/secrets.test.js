/** No secret is printed, logged, counted or answered in a hundred failures. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { inspect } from 'node:util';

import { ConnectionError, DatabaseError } from 'sequelize';

import { readSettings } from '../../src/config/settings.js';
import { logger } from '../../src/monitoring/logging.js';
import { migrate } from '../core/migrate.js';
import { newDatabase } from '../core/databases.js';
import { rawAnswer } from './rawClient.js';
import { failedStart, startServerProcess } from './serverProcess.js';
import { fillUsers } from './shops.js';
import { stage } from './stage.js';

const MARKER = 'zq7Marker';
const IN_PASSWORD = `${MARKER}/p?#[]@"%`; // what libraries stumble over, and what URLs and JSON write otherwise
const ENCODED = encodeURIComponent(IN_PASSWORD);
const ROOT = mkdtempSync(path.join(tmpdir(), 'secrets-'));
const SECRETS = { JWT_SECRET: `${MARKER}-signs-everything-that-is-signed`, METRICS_TOKEN: `${MARKER}-scrapes` };
const PLACES = { MODELS_DIR: path.join(ROOT, 'models'), SPOOL_DIR: path.join(ROOT, 'spool'), PYTHON_BIN: path.join(ROOT, 'none'), LOG_LEVEL: 'trace' };
const at = (host, name = 'shop') => `mysql+pymysql://eve:${ENCODED}@${host}/${name}`;
const BROKEN_TOML = path.join(ROOT, 'broken.toml');
const FILE = path.join(ROOT, 'a file');
writeFileSync(BROKEN_TOML, `[shop]\npassword = "${MARKER}`);
writeFileSync(FILE, '');
after(() => rmSync(ROOT, { recursive: true, force: true }));

const assertUnmarked = (text, where) => assert.ok(!text.includes(MARKER), `${where}: ${text.slice(0, 2000)}`);

/** Bad starts: each has the marker in every secret, and in what is wrong with it. */
const STARTS = {
  'a password with /': { DATABASE_URL: `mysql+pymysql://root:${MARKER}/x@127.0.0.1:3306/db` },
  'a password with ?': { DATABASE_URL: `mysql+pymysql://root:${MARKER}?x@127.0.0.1:3306/db` },
  'a password with #': { DATABASE_URL: `mysql+pymysql://root:${MARKER}#x@127.0.0.1:3306/db` },
  'a password that looks like a port and a path': { DATABASE_URL: `mysql+pymysql://root:3306/${MARKER}@127.0.0.1/db` },
  'a password in brackets': { DATABASE_URL: `mysql+pymysql://root:p[${MARKER}]@127.0.0.1/db` },
  'a password for PostgreSQL': { DATABASE_URL: `postgresql+psycopg://root:${MARKER}@127.0.0.1/db` },
  'a password for nothing known': { DATABASE_URL: `oracle://root:${MARKER}@127.0.0.1/db` },
  'a password alone': { DATABASE_URL: MARKER },
  'a password as a parameter': { DATABASE_URL: `mysql://root@127.0.0.1/db?password=${MARKER}` },
  'a password and no name': { DATABASE_URL: `mysql://root:${MARKER}@127.0.0.1` },
  'a password and a port that is none': { DATABASE_URL: `mysql://root:${MARKER}@127.0.0.1:http/db` },
  'a password and a certificate that is none': { DATABASE_URL: `mysql://root:${MARKER}@127.0.0.1/db?ssl_ca=/nowhere` },
  'a URL as a host': { DATABASE_URL: '', DB_NAME: 'shop', DB_PASSWORD: IN_PASSWORD, DB_HOST: `root:${MARKER}@127.0.0.1` },
  'a password as a port': { DATABASE_URL: '', DB_NAME: 'shop', DB_PASSWORD: IN_PASSWORD, DB_PORT: MARKER },
  'pieces without a name': { DATABASE_URL: '', DB_PASSWORD: IN_PASSWORD },
  'a secret that is short': { JWT_SECRET: MARKER },
  'a password as the server’s port': { PORT: MARKER },
  'an origin with an account': { CORS_ORIGIN: `https://eve:${MARKER}@shop.example` },
  'a mapping that is no TOML': { RECSYS_TOML: BROKEN_TOML },
  'a mapping that is absent': { RECSYS_TOML: 'absent.toml' },
  'a level that is none': { LOG_LEVEL: 'loud' },
  'a spool that is a file': { SPOOL_DIR: FILE },
  'a host that is not of this machine': { HOST: '203.0.113.1' },
};
for (const [what, change] of Object.entries(STARTS)) {
  test(`a start with ${what} fails, and prints no secret`, async () => {
    const { code, stdout, stderr } = await failedStart({ DATABASE_URL: at('127.0.0.1:1'), ...SECRETS, ...PLACES, ...change });

    assert.equal(code, what.startsWith('a host that') ? 1 : 78, stderr);
    assert.match(stderr, /^server: .*[Rr]eceived: .*\n$/);
    assertUnmarked(stderr + stdout, what);
  });
}

const BEARER = `Bearer ${MARKER}.${MARKER}.${MARKER}`;
/** Requests that fail: the marker is in whatever of them is secret. */
const REQUESTS = [
  ...['/api/recommendations/list', '/api/recommend/list', '/internal/recommendations', '/api/recommendations/similar/110', '/metrics'].map((url) => ['GET', url, { Authorization: BEARER }]),
  ['GET', '/metrics', { Authorization: `Bearer ${SECRETS.METRICS_TOKEN}x` }],
  ['GET', '/metrics', {}],
  ['GET', '/api/recommendations/list', { Authorization: MARKER }],
  ['GET', '/api/recommendations/list', { Authorization: `${BEARER}, ${BEARER}` }],
  ['GET', '/api/recommendations/list', { Cookie: `session=${MARKER}` }],
  ['GET', `/api/recommendations/list?token=${MARKER}`, {}],
  ['GET', '/internal/recommendations', { Authorization: `Basic ${Buffer.from(`eve@shop.example:${MARKER}`).toString('base64')}` }],
  ['POST', '/api/recommendations/init', { Authorization: BEARER }],
  ['DELETE', '/api/recommendations/clear', { Authorization: BEARER }],
  ['POST', '/api/interaction', { Authorization: BEARER }, { productId: 110, actionCode: 'view' }],
  ['POST', '/api/auth/login', {}, { email: 'eve@shop.example', password: MARKER }],
  ['POST', '/api/auth/login', {}, { email: 'customer7@shop.example', password: MARKER }],
  ['POST', '/api/auth/login', {}, { email: 'eve@shop.example', password: `${MARKER}`.repeat(40) }],
  ['POST', '/api/auth/login', {}, { email: 'eve@shop.example', password: [MARKER] }],
  ['POST', '/api/auth/login', {}, { password: MARKER }],
  ['PUT', '/api/auth/login', {}, { email: 'eve@shop.example', password: MARKER }],
];
const RIGHTS = ['GET /api/recommendations/list', 'POST /api/recommendations/init', 'DELETE /api/recommendations/clear', 'GET /internal/recommendations', 'GET /ready'];

/** Ask everything of a server, end it, and make sure of all that it has said. */
async function assertSilent(url, where) {
  const server = await startServerProcess({ DATABASE_URL: url, ...SECRETS, ...PLACES, SPOOL_DIR: mkdtempSync(path.join(ROOT, 'spool-')) });
  const { auth } = stage({ variables: { JWT_SECRET: SECRETS.JWT_SECRET } });
  const heard = [];
  try {
    for (const [method, at_, headers, body] of REQUESTS) heard.push(JSON.stringify(await asked(server.port, method, at_, headers, body)));
    for (const right of RIGHTS) {
      for (const id of [1, 7]) heard.push(JSON.stringify(await asked(server.port, ...right.split(' '), { Authorization: `Bearer ${auth.sign(id)}` })));
    }
    heard.push(JSON.stringify(await asked(server.port, 'GET', '/metrics', { Authorization: `Bearer ${SECRETS.METRICS_TOKEN}` })));
    heard.push(await rawAnswer(server.port, `GET /health HTTP/1.1\r\nHost: x\r\nAuthorization ${MARKER}\r\n\r\n`));
  } finally {
    await server.stop();
  }
  assert.ok(heard.length > 30 && server.lines.length > 20, `${heard.length} answers, ${server.lines.length} lines`);
  for (const text of heard) assertUnmarked(text, `an answer, ${where}`);
  for (const line of server.lines) assertUnmarked(JSON.stringify(line), `the log, ${where}`);
}

async function asked(port, method, url, headers, body) {
  const options = { method, headers: { ...headers, ...(body && { 'Content-Type': 'application/json' }) }, body: body && JSON.stringify(body) };
  const response = await fetch(`http://127.0.0.1:${port}${url}`, options);
  return [response.status, Object.fromEntries(response.headers), await response.text()];
}

test('a server without its database shows no secret', () => assertSilent(at('127.0.0.1:1'), 'a database that is away'));

test('a server with an unknown database host shows no secret', () => assertSilent(at('no-such-host.invalid'), 'no such host'));

test('a server whose database uses another protocol shows no secret', async () => {
  const other = net.createServer((socket) => socket.on('error', () => {}).end('HTTP/1.1 400 Bad Request\r\n\r\n'));
  await new Promise((resolve) => other.listen(0, '127.0.0.1', resolve));
  await assertSilent(at(`127.0.0.1:${other.address().port}`), 'another language');
  other.close();
});

for (const kind of ['sqlite', 'mariadb']) {
  test(`a server with ${kind} shows no secret`, async (t) => {
    const database = await newDatabase(kind);
    try {
      if (database.missing) {
        t.skip(database.missing);
        return;
      }
      const url = await database.emptyShop();
      await assertSilent(url, 'no tables');
      await migrate(url);
      await fillUsers(url);
      await assertSilent(url, 'a shop');
      if (kind === 'mariadb') await assertSilent(at(new URL(url).host), 'an account that is refused');
    } finally {
      await database.close();
    }
  });
}

test('the log of any error has no secret and no values of statements', () => {
  readSettings({ DATABASE_URL: at('h'), ...SECRETS }, ROOT);
  const lines = [];
  const log = logger({ logLevel: 'trace' }, { write: (line) => lines.push(line) });
  const cause = Object.assign(new Error(`cannot use ${IN_PASSWORD} of ${at('h')}`), { sql: `SELECT '${MARKER}'`, parameters: [MARKER], config: { password: MARKER } });
  for (const error of [cause, new DatabaseError(cause), new ConnectionError(cause), new Error('outer', { cause })]) {
    log.error({ err: error }, 'failed');
    log.warn({ reason: error.message, detail: error.stack }, 'failed');
  }
  log.info({ password: MARKER, token: MARKER, authorization: MARKER, body: { password: MARKER }, headers: { authorization: MARKER } }, 'asked');
  log.info({ settings: readSettings({ DATABASE_URL: at('h'), ...SECRETS }, ROOT) }, 'settings');

  assert.equal(lines.length, 10);
  for (const line of lines) assertUnmarked(line, 'the log');
  assertUnmarked(inspect(readSettings({ DATABASE_URL: at('h'), ...SECRETS }, ROOT), { depth: 9 }), 'the console');
});
