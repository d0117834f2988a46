/** The page's files: which path answers which file, how long it may be kept, and what stays an answer of the server. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { brotliCompressSync, gzipSync } from 'node:zlib';

import { rawAnswer } from './rawClient.js';
import { httpServer, listening } from '../../src/httpServer.js';
import { stage } from './stage.js';

const FOLDER = mkdtempSync(path.join(tmpdir(), 'page-'));
const DIST = path.join(FOLDER, 'dist with 100 % of it');
const INDEX = '<!doctype html><div id="root"></div>';
const SCRIPT = 'console.log("the page");'.repeat(50);
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
const YEAR = 'public, max-age=31536000, immutable';

write('dist/../secret.txt', 'a secret');
write('index.html', INDEX);
write('favicon.svg', '<svg xmlns="http://www.w3.org/2000/svg"/>');
write('.vite/manifest.json', '{}');
write('.env', 'JWT_SECRET=secret');
write('assets/index-Ab_1-.js', SCRIPT);
write('assets/index-Ab_1-.js.br', brotliCompressSync(SCRIPT));
write('assets/index-Ab_1-.js.gz', gzipSync(SCRIPT));
write('assets/plain.css', 'b{}');
mkdirSync(path.join(DIST, 'assets/folder.js'));
after(() => rmSync(FOLDER, { recursive: true, force: true }));

function write(name, content) {
  const file = path.join(DIST, name);
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, content);
}

const shop = (variables = {}) => stage({ variables: { FRONTEND_DIR: DIST, ...variables } });

for (const address of ['/', '/p/7', '/cart', '/login?next=/cart', '/admin', '/nowhere', '/apiary', '/index.html']) {
  test(`${address} answers the page`, async () => {
    const { status, text, headers } = await shop().agent.get(address);

    assert.deepEqual([status, text, headers['content-type']], [200, INDEX, 'text/html; charset=utf-8']);
    assert.deepEqual([headers['cache-control'], headers['content-security-policy']], ['no-cache', POLICY]);
    assert.equal(headers['x-content-type-options'], 'nosniff');
    assert.equal((await shop().agent.get(address).set('If-None-Match', headers.etag)).status, 304);
  });
}

for (const address of [
  '/api', '/api/', '/API/x', '/api/nowhere', '/api/recommendations', '/internal', '/internal/nowhere', '/health/x', '/metrics/x', '/wp-login.php', '/.env',
  '/.vite/manifest.json', '/assets/.env', '/assets/gone.js', '/assets/folder.js', '/assets/../.env', '/assets/%2e%2e/secret.txt', '/..%2fsecret.txt', '/%2e%2e/secret.txt',
  '/assets/x%00.js', '/p/7.json', '/gone.svg',
]) {
  test(`${address} is no file of the page`, async () => {
    const server = httpServer(shop().app);
    const { port } = await listening(server, { host: '127.0.0.1', port: 0 });
    const answer = await rawAnswer(port, `GET ${address} HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n`); // as it stands, without a client that tidies it
    server.close();

    assert.match(answer, /^HTTP\/1\.1 404 /);
    assert.match(answer, /"errCode":404/);
    assert.doesNotMatch(answer, /a secret|JWT_SECRET|manifest\.json":/);
  });
}

for (const [accepted, encoding] of [
  ['gzip, deflate, br, zstd', 'br'],
  ['gzip, deflate', 'gzip'],
  ['br;q=0, gzip', 'gzip'],
  ['identity', undefined],
  ['', undefined],
]) {
  test(`to a client that accepts “${accepted}”, a script is sent ${encoding ?? 'as it is'}`, async () => {
    const { status, text, headers } = await shop().agent.get('/assets/index-Ab_1-.js').set('Accept-Encoding', accepted);

    assert.deepEqual([status, text, headers['content-encoding']], [200, SCRIPT, encoding]);
    assert.deepEqual([headers['content-type'], headers['cache-control']], ['text/javascript; charset=utf-8', YEAR]);
    assert.match(headers.vary, /Accept-Encoding/);
    assert.notEqual(headers['content-security-policy'], POLICY);
  });
}

test('a file without a compressed one is sent as it is', async () => {
  const { text, headers } = await shop().agent.get('/assets/plain.css').set('Accept-Encoding', 'br, gzip');
  assert.deepEqual([text, headers['content-encoding'], headers['content-type']], ['b{}', undefined, 'text/css; charset=utf-8']);
});

test('a compressed file of an earlier build is not sent', async () => {
  write('index.html.br', brotliCompressSync('an older page'));
  utimesSync(path.join(DIST, 'index.html.br'), 1, 1);
  const { text } = await shop().agent.get('/').set('Accept-Encoding', 'br');
  rmSync(path.join(DIST, 'index.html.br'));

  assert.equal(text, INDEX);
});

test('other files may change, and are asked for again', async () => {
  const { status, headers } = await shop().agent.get('/favicon.svg');
  assert.deepEqual([status, headers['content-type'], headers['cache-control']], [200, 'image/svg+xml', 'no-cache']);
});

test('HEAD is answered like GET, without the content', async () => {
  for (const address of ['/', '/p/7', '/assets/index-Ab_1-.js']) {
    const [head, get] = [await shop().agent.head(address).set('Accept-Encoding', 'identity'), await shop().agent.get(address).set('Accept-Encoding', 'identity')];
    assert.deepEqual([head.status, head.text, head.headers['content-length']], [200, undefined, get.headers['content-length']]);
  }
});

test('another method is refused, and a body', async () => {
  for (const [method, address] of [['post', '/'], ['put', '/p/7'], ['delete', '/assets/index-Ab_1-.js']]) {
    const { status, headers, body } = await shop().agent[method](address);
    assert.deepEqual([status, headers.allow, body.errCode, body.message.endsWith(`Received: ${method.toUpperCase()}.`)], [405, 'GET, HEAD', 405, true]);
  }
  assert.equal((await shop().agent.get('/').send('a body')).status, 400);
});

test('pages and files are outside of the limits', async () => {
  const { agent, metrics } = shop({ RATE_LIMIT_IP: '1' });
  for (let n = 0; n < 4; n += 1) for (const address of ['/', '/assets/index-Ab_1-.js', '/favicon.svg']) await agent.get(address).expect(200);

  assert.match(await metrics.registry.metrics(), /route="page: assets",status="200"\} 4/); // one name, however many files
});

test('before it is built, / says how, and the routes answer; after that, there it is', async () => {
  const folder = path.join(FOLDER, 'later');
  const { agent } = stage({ variables: { FRONTEND_DIR: folder } });
  const before = await agent.get('/');
  assert.deepEqual([before.status, before.body.errCode], [404, 404]);
  assert.match(before.body.message, /should have been built, by `npm run build` in frontend\//);
  assert.equal((await agent.get('/cart')).status, 404);
  assert.equal((await agent.get('/health')).status, 200);

  mkdirSync(folder);
  writeFileSync(path.join(folder, 'index.html'), INDEX);

  assert.equal((await agent.get('/cart')).text, INDEX);
});
