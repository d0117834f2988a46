/** The server's process: refused starts, and the shutdown. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';

import pino from 'pino';

import { finished, httpServer, listening } from '../../src/httpServer.js';
import { END_MS, gracefulShutdown, shutdownSteps } from '../../src/shutdown.js';
import { migrate } from '../core/migrate.js';
import { eventually } from '../harness.js';
import { rawClient } from './rawClient.js';
import { endServers, spawnServer, startServerProcess } from './serverProcess.js';
import { listeningLog, stage, tokenOf } from './stage.js';

const FOLDER = mkdtempSync(path.join(tmpdir(), 'server-'));
const FILE = path.join(FOLDER, 'shop.sqlite');
const NEEDED = {
  DATABASE_URL: `sqlite:///${FILE}`,
  MODELS_DIR: path.join(FOLDER, 'models'),
  SPOOL_DIR: path.join(FOLDER, 'spool'),
  PYTHON_BIN: path.join(FOLDER, 'no-python'),
};
const LIST = '/api/recommendations/list';

closeSync(openSync(FILE, 'w'));
await migrate(NEEDED.DATABASE_URL);
after(endServers);
after(() => rmSync(FOLDER, { recursive: true, force: true }));


for (const [what, change, message] of [
  ['no secret', { JWT_SECRET: '' }, /^server: JWT_SECRET should have at least 32 bytes\. Received: 0\. `openssl/],
  ['a short secret', { JWT_SECRET: 'secret' }, /^server: JWT_SECRET .*Received: 6\./],
  ['the sample secret', { JWT_SECRET: 'replace-this-by-the-output-of-openssl-rand-hex-32' }, /^server: JWT_SECRET .*sample/],
  ['another kind of database', { DATABASE_URL: 'oracle://h/n' }, /^server: DATABASE_URL should be .*Received: oracle:…/],
  ['a port that is none', { PORT: 'http' }, /^server: PORT should be a whole number/],
]) {
  test(`with ${what} it exits with 78 and one line`, async () => {
    const server = spawnServer({ ...NEEDED, ...change });
    const [code] = await server.ended;

    assert.equal(code, 78);
    assert.match(server.stderr, message);
    assert.equal(server.stderr.trim().split('\n').length, 1);
  });
}

test('on a port in use it exits with 1 and one line', async () => {
  const other = net.createServer().listen(0, '127.0.0.1');
  await once(other, 'listening');
  const { port } = other.address();
  const server = spawnServer({ ...NEEDED, PORT: String(port) });
  const [code] = await server.ended;
  other.close();

  assert.equal(code, 1);
  assert.match(server.stderr, new RegExp(`^server: PORT should be free\\. Received: ${port}`));
});

for (const signal of ['SIGTERM', 'SIGINT']) {
  test(`F41 on ${signal} it exits with 0, despite open connections and requests`, async () => {
    const server = await startServerProcess(NEEDED);
    assert.deepEqual((await server.get('/health')).body, { status: 'up' }); // fetch keeps this connection
    const slow = net.connect(server.port, '127.0.0.1').on('error', () => {});
    slow.write('GET /health HTTP/1.1\r\nHost: shop\r\nX-A: ');
    await once(slow, 'connect');

    assert.equal(await server.stop(signal), 0, JSON.stringify(server.lines.slice(-3)));
    assert.equal(server.stderr, '');
  });
}

test('the process’s log has no token', async () => {
  const server = await startServerProcess(NEEDED);
  const { status, body } = await server.get(LIST, { as: 7 });
  await server.stop();

  assert.equal(status, 404); // the shop has no users
  assert.equal(body.errCode, 404);
  assert.ok(!JSON.stringify(server.lines).includes(tokenOf(7).split('.')[1]));
});

test('requests under way are answered, later ones are not', async () => {
  let answer;
  const services = { recommendations: { listForUser: () => new Promise((resolve) => (answer = resolve)) } };
  const { app } = stage({ services });
  const server = httpServer(app);
  const { port } = await listening(server, { host: '127.0.0.1', port: 0 });
  const asked = fetch(`http://127.0.0.1:${port}${LIST}`, { headers: { Authorization: `Bearer ${tokenOf(7)}` } });
  await eventually(() => assert.ok(answer));
  const end = finished(server, 60_000);
  await eventually(() => assert.rejects(once(net.connect(port, '127.0.0.1'), 'connect'), { code: 'ECONNREFUSED' }));
  answer({ data: [], source: 'model', fallbackReason: null, modelVersion: 'v1' });

  assert.equal((await asked).status, 200);
  await end;
});

const HEALTH = 'GET /health HTTP/1.1\r\nHost: shop\r\n\r\n';
const isAnswered = (text) => /^HTTP\/1\.1 200 OK\r\n/.test(text) && text.endsWith('{"status":"up"}');
const isLast = (text) => /\r\nConnection: close\r\n/i.test(text);

/** Return a server that listens, and raw clients of it. */
async function rawStage(count, services) {
  const server = httpServer(stage({ services }).app);
  const { port } = await listening(server, { host: '127.0.0.1', port: 0 });
  return { server, port, clients: await Promise.all(Array.from({ length: count }, () => rawClient(port))) };
}

test('a request that crosses the shutdown is answered, the last of its connection', async () => {
  const { server, clients } = await rawStage(20);
  for (const client of clients) client.write(HEALTH);
  await Promise.all(clients.map((client) => client.until(/\{"status":"up"\}$/)));
  for (const client of clients.slice(0, 10)) client.write(HEALTH); // the server has not read it yet
  const end = finished(server, 60_000);
  for (const client of clients.slice(10)) client.write(HEALTH); // sent before the client could know
  const texts = await Promise.all(clients.map((client) => client.all()));
  await end;

  for (const text of texts) {
    const second = text.slice(text.lastIndexOf('HTTP/1.1 '));
    assert.deepEqual([text.split('HTTP/1.1 ').length, isAnswered(second), isLast(second)], [3, true, true], text);
  }
});

test('connections accepted before the shutdown are answered', async () => {
  const { server, port } = await rawStage(0);
  const sockets = Array.from({ length: 50 }, () => net.connect(port, '127.0.0.1'));
  const told = sockets.map(async (socket) => {
    let text = '';
    for await (const bytes of socket) text += bytes;
    return text;
  });
  for (const socket of sockets) socket.write(HEALTH);
  await once(sockets[0], 'connect'); // the others are with the system
  await finished(server, 60_000);

  for (const text of await Promise.all(told)) assert.ok(isAnswered(text) && isLast(text), text);
});

test('an answer begun before the shutdown says that it is the last', async () => {
  let answer;
  const services = { recommendations: { listForUser: () => new Promise((resolve) => (answer = resolve)) } };
  const { server, clients: [client] } = await rawStage(1, services);
  client.write(`GET ${LIST} HTTP/1.1\r\nHost: shop\r\nAuthorization: Bearer ${tokenOf(7)}\r\n\r\n`);
  await eventually(() => assert.ok(answer));
  const end = finished(server, 60_000);
  answer({ data: [], source: 'model', fallbackReason: null, modelVersion: 'v1' });
  const text = await client.all();
  await end;

  assert.match(text, /^HTTP\/1\.1 200 OK\r\n/);
  assert.ok(isLast(text), text);
});

test('an idle connection does not delay the shutdown', async () => {
  const { server, clients: [client] } = await rawStage(1);
  client.write(HEALTH);
  await client.until(/\{"status":"up"\}$/);
  await finished(server, 60_000, { quietMs: 1 });

  assert.ok(isAnswered(await client.all()));
});

test('requests beyond the time limit are cut off', async () => {
  const services = { recommendations: { listForUser: () => new Promise(() => {}) } };
  const server = httpServer(stage({ services }).app);
  const { port } = await listening(server, { host: '127.0.0.1', port: 0 });
  const asked = fetch(`http://127.0.0.1:${port}${LIST}`, { headers: { Authorization: `Bearer ${tokenOf(7)}` } });
  const [settled] = await Promise.allSettled([asked, once(server, 'request').then(() => finished(server, 50))]);

  assert.equal(settled.status, 'rejected');
});

test('a step that fails or hangs does not prevent the next ones', async () => {
  const { log, lines } = listeningLog();
  const done = [];
  const step = (name, work) => ({ name, ms: 50, work });
  const isWell = await gracefulShutdown(
    [
      step('fails', async () => {
        throw new Error('a defect');
      }),
      step('hangs', () => new Promise(() => {})),
      step('works', async () => done.push('works')),
    ],
    { log },
  );

  assert.equal(isWell, false);
  assert.deepEqual(done, ['works']);
  assert.deepEqual(lines.map((line) => line.step), ['fails', 'hangs']);
  const silent = { log: pino({ level: 'silent' }) };
  assert.equal(await gracefulShutdown([step('works', async () => {})], silent), true);
  assert.equal(await gracefulShutdown([{ ...step('hangs', () => new Promise(() => {})), isOptional: true }], silent), true);
});

test('optional steps may hang, and all steps fit the time limit', async () => {
  const stuck = { close: () => new Promise(() => {}) };
  const ended = { close: async () => {} };
  const server = httpServer(stage().app);
  await listening(server, { host: '127.0.0.1', port: 0 });
  const services = { server, interactions: ended, recommendations: stuck, answerCounts: stuck, python: ended, sequelize: ended };
  const { log, lines } = listeningLog();
  assert.equal(await gracefulShutdown(shutdownSteps(services), { log }), true);
  assert.deepEqual(lines.map(({ step }) => step), ['lists', 'counts']);
  const again = httpServer(stage().app);
  await listening(again, { host: '127.0.0.1', port: 0 });
  assert.equal(await gracefulShutdown(shutdownSteps({ ...services, server: again, interactions: { close: async () => assert.fail() } }), { log }), false);
  assert.ok(shutdownSteps(services).reduce((sum, { ms }) => sum + ms, 0) < END_MS);
});
