/** Invalid requests. Numbers 101 to 107 of the corpus are in auth.test.js, the others here. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';
import { test } from 'node:test';

import { httpServer, listening } from '../../src/httpServer.js';
import { stage, tokenOf } from './stage.js';

const LIST = '/api/recommendations/list';
const ONE = { productId: 110, actionCode: 'view' };

for (const [query, message] of [
  ['108 limit=1&limit=2', /`limit` should be a whole number from 1 to 100\. Received: \["1","2"\]\./],
  ['108 user_id=a&user_id=b', /nothing but `limit`, `device`\. Received: `user_id`/],
  ['109 limit[$gt]=1', /Received: `limit\[\$gt\]`/],
  ['109 limit[]=1', /Received: `limit\[\]`/],
  ['__proto__[limit]=1', /Received: `__proto__\[limit\]`/],
  ['__proto__=1', /Received: `__proto__`/],
  ['constructor=1', /Received: `constructor`/],
  ['limit=', /`limit` should be/],
  ['limit=0', /Received: 0\./],
  ['limit=101', /Received: 101\./],
  ['limit=-1', /Received: -1\./],
  ['limit=1.5', /Received: 1\.5\./],
  ['limit=1e1', /Received: 1e1\./],
  ['limit=NaN', /Received: NaN\./],
  ['limit=0x10', /Received: 0x10\./],
  ['limit=%00', /`limit` should be/],
  ['limit=١', /`limit` should be/],
  ['limit=10;DROP TABLE Users', /`limit` should be/],
  ['device=fridge', /`device` should be one of desktop, mobile, tablet\. Received: fridge\./],
  [`device=${'x'.repeat(5000)}`, /Received: x{60}…\./],
]) {
  test(`?${query.slice(0, 40)} is refused`, async () => {
    const { agent, as, asked } = stage();
    const { status, body } = await agent.get(`${LIST}?${query.replace(/^\d{3} /, '')}`).set(as(7));

    assert.equal(status, 400);
    assert.match(body.message, message);
    assert.deepEqual(asked, []);
  });
}

for (const [path, status] of [
  ['/api/recommendations/similar/7abc', 400],
  ['/api/recommendations/similar/-1', 400],
  ['/api/recommendations/similar/007', 400],
  ['/api/recommendations/similar/9007199254740993', 400],
  ['/api/recommendations/similar/%2e%2e%2f%2e%2e', 400],
  ['114 /api/recommendations/similar/%252e%252e%252fetc', 400],
  ['114 /api/recommendations/%2573imilar/7', 404],
  ['114 /api/%252e%252e/internal/recommendations', 404],
  ['114 /internal%252frecommendations', 404],
  ['/internal%2frecommendations', 404],
  ['/API/recommendations/list', 404],
  ['/api/recommendations/similar/%zz', 400],
  ['/api/recommendations/similar/%00', 400],
  ['/api/recommendations/similar/%ff', 400],
  [`/api/recommendations/similar/${'9'.repeat(4000)}`, 400],
  ['/api/recommendations/similar/', 404],
  ['/api/recommendations/together', 400],
  ['/api/recommendations/together?items=', 400],
  ['/api/recommendations/together?items=1,', 400],
  ['/api/recommendations/together?items=1,,2', 400],
  ['/api/recommendations/together?items=01', 400],
  ['/api/recommendations/together?items=-1', 400],
  ['/api/recommendations/together?items=1;2', 400],
  ['/api/recommendations/together?items=1&items=2', 400],
  ['/api/recommendations/together?items=9007199254740993', 400],
  [`/api/recommendations/together?items=${Array(51).fill(1)}`, 400],
  ['/api/recommendations/together?items=1&complementary=1', 400],
  ['/api/recommendations/trending?items=1', 400],
  ['/api/recommendations/again?userId=7', 400],
  ['/api/recommendations/again?limit=0', 400],
  ['//evil.example/..', 404],
]) {
  test(`${path.slice(0, 60)} is answered with ${status}`, async () => {
    const { app, asked } = stage();
    const answer = await raw(app, { path: path.replace(/^\d{3} /, '') });

    assert.equal(answer.status, status);
    assert.equal(JSON.parse(answer.text).errCode, status);
    assert.doesNotMatch(answer.text, /at .*\.js|node_modules/);
    assert.deepEqual(asked, []);
  });
}

for (const [what, body, type, status] of [
  ['111 no type', JSON.stringify(ONE), undefined, 415],
  ['111 text', JSON.stringify(ONE), 'text/plain', 415],
  ['111 a form', 'productId=110&actionCode=view', 'application/x-www-form-urlencoded', 415],
  ['111 XML', '<a/>', 'application/xml', 415],
  ['111 something that ends like JSON', JSON.stringify(ONE), 'application/jsonx', 415],
  ['112 UTF-7', '+AHs-+AH0-', 'application/json; charset=utf-7', 415],
  ['112 UTF-16', Buffer.from(JSON.stringify(ONE), 'utf16le'), 'application/json; charset=utf-16', 415],
  ['112 two charsets', JSON.stringify(ONE), 'application/json; charset=utf-8; charset=utf-7', 415],
  ['nothing', '', 'application/json', 400],
  ['half of JSON', '{"productId": 110', 'application/json', 400],
  ['a text', '"x"', 'application/json', 400],
  ['a list', '[]', 'application/json', 400],
  ['null', 'null', 'application/json', 400],
  ['NaN', '{"productId": NaN, "actionCode": "view"}', 'application/json', 400],
  ['1e999', '{"productId": 1e999, "actionCode": "view"}', 'application/json', 400],
  ['bytes that are no UTF-8 in a name', Buffer.from('7b22ff223a317d', 'hex'), 'application/json', 400],
  ['33 levels', `${'['.repeat(33)}${']'.repeat(33)}`, 'application/json', 400],
  ['15,000 levels', '['.repeat(15_000), 'application/json', 400],
  ['32 KB and more', `{"productId":"${'1'.repeat(33_000)}"}`, 'application/json', 413],
  ['a prototype', '{"productId":110,"actionCode":"view","__proto__":{"userId":8}}', 'application/json', 400],
  ['a constructor', '{"productId":110,"actionCode":"view","constructor":{"prototype":{}}}', 'application/json', 400],
  ['a toJSON', '{"productId":110,"actionCode":"view","toJSON":1}', 'application/json', 400],
]) {
  test(`a body of ${what} is answered with ${status}`, async () => {
    const { app, asked } = stage();
    const answer = await raw(app, { method: 'POST', path: '/api/interaction', body, headers: { ...(type && { 'Content-Type': type }) } });

    assert.equal(answer.status, status, answer.text);
    assert.equal(JSON.parse(answer.text).errCode, status);
    assert.deepEqual(asked, []);
    assert.equal({}.userId, undefined);
  });
}

for (const change of [
  { productId: null },
  { productId: true },
  { productId: 7.5 },
  { productId: '7abc' },
  { productId: 2 ** 53 },
  { productId: [110] },
  { actionCode: 'refund' },
  { actionCode: 'VIEW' },
  { actionCode: 1 },
  { device: 'unknown' },
  { eventId: '' },
  { eventId: 'short' },
  { eventId: 'x'.repeat(129) },
  { eventId: 'blank space' },
  { eventId: "'; DROP TABLE Interactions--" },
  { eventId: 12_345_678 },
  { timestamp: 1_764_547_200_000 },
  { timestamp: -1 },
  { timestamp: 1.5 },
  { timestamp: '2026-02-30T00:00:00Z' },
  { timestamp: '2026-11-21 09:30' },
  { timestamp: '2026-11-21T09:30:00' },
  { timestamp: null },
  { rating: 5 },
]) {
  test(`an interaction with ${JSON.stringify(change).slice(0, 50)} is refused by name`, async () => {
    const { agent, as, asked } = stage();
    const { status, body } = await agent.post('/api/interaction').set(as(7)).send({ ...ONE, ...change });

    assert.equal(status, 400);
    assert.equal(body.field, Object.keys(change)[0]);
    assert.deepEqual(asked, []);
  });
}

test('110 a body on GET is refused, and the connection with it', async () => {
  const { app, asked } = stage();
  const { status, headers } = await raw(app, { path: LIST, body: '{"user_id":8}', headers: { 'Content-Type': 'application/json' } });

  assert.deepEqual([status, headers.connection], [400, 'close']);
  assert.deepEqual(asked, []);
});

test('a compressed body is refused', async () => {
  const headers = { 'Content-Type': 'application/json', 'Content-Encoding': 'gzip' };
  const { status } = await raw(stage().app, { method: 'POST', path: '/api/interaction', body: Buffer.from('1f8b08', 'hex'), headers });
  assert.equal(status, 415);
});

test('a body with charset=utf-8 is accepted', async () => {
  const headers = { 'Content-Type': 'Application/JSON; Charset="UTF-8"' };
  const { status } = await raw(stage().app, { method: 'POST', path: '/api/interaction', body: JSON.stringify(ONE), headers });
  assert.equal(status, 201);
});

test('113 a chunked body that stops is answered 408 when its time is up', async () => {
  const { app, asked } = stage();
  await serving(app, async (port) => {
    const socket = net.connect(port, '127.0.0.1');
    const head = ['POST /api/interaction HTTP/1.1', 'Host: shop', 'Content-Type: application/json', `Authorization: Bearer ${tokenOf(7)}`];
    socket.write(`${[...head, 'Transfer-Encoding: chunked'].join('\r\n')}\r\n\r\n5\r\n{"pro\r\n`);
    assert.match(await everythingFrom(socket), /^HTTP\/1\.1 408 /);
  });
  assert.deepEqual(asked, []);
});

test('headers that never end are answered 408 when their time is up', async () => {
  await serving(stage().app, async (port) => {
    const socket = net.connect(port, '127.0.0.1');
    socket.write('GET /health HTTP/1.1\r\nHost: shop\r\nX-A: ');
    assert.match(await everythingFrom(socket), /^HTTP\/1\.1 408 /);
  });
});

test('107 headers of 20 KB are answered 431', async () => {
  await serving(stage().app, async (port) => {
    const socket = net.connect(port, '127.0.0.1');
    socket.write(`GET /health HTTP/1.1\r\nHost: shop\r\nAuthorization: Bearer ${'x'.repeat(20_000)}\r\n\r\n`);
    assert.match(await everythingFrom(socket), /^HTTP\/1\.1 431 /);
  });
});

test('F46 a client that disconnects during a request leaves nothing behind', async () => {
  let answer;
  let count = 0;
  const services = {
    recommendations: {
      listForUser: () => {
        count += 1;
        return new Promise((resolve) => (answer = resolve));
      },
    },
  };
  const { app, lines } = stage({ services });
  const thrown = [];
  const note = (error) => thrown.push(error);
  process.on('uncaughtExceptionMonitor', note).on('unhandledRejection', note);
  await serving(app, async (port, server) => {
    const asked = http.get({ port, host: '127.0.0.1', path: LIST, headers: { Authorization: `Bearer ${tokenOf(7)}` } }).on('error', () => {});
    const [, res] = await once(server, 'request');
    while (answer === undefined) await new Promise(setImmediate);
    asked.destroy();
    await once(res, 'close');
    answer({ data: [], source: 'model', fallbackReason: null, modelVersion: 'v1' });
    await new Promise(setImmediate);
  });
  process.off('uncaughtExceptionMonitor', note).off('unhandledRejection', note);

  assert.equal(count, 1);
  assert.deepEqual(thrown, []);
  assert.deepEqual(lines.filter(({ level, err }) => level >= 50 && err?.code === 'ERR_STREAM_WRITE_AFTER_END'), []);
});

/** Serve with limits that tests can wait for. */
async function serving(app, scenario) {
  const server = httpServer(app, { requestMs: 300, checkMs: 20 });
  const { port } = await listening(server, { host: '127.0.0.1', port: 0 });
  try {
    await scenario(port, server);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

/** Ask with a path and a body as they are. */
async function raw(app, { method = 'GET', path, headers = {}, body }) {
  const server = http.createServer(app).listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    const asked = http.request({ port: server.address().port, host: '127.0.0.1', method, path: encodeURI(path).replaceAll('%25', '%'), headers: { Authorization: `Bearer ${tokenOf(7)}`, ...headers } });
    if (body !== undefined) asked.setHeader('Content-Length', Buffer.byteLength(body));
    asked.end(body);
    const [answer] = await once(asked, 'response');
    let text = '';
    for await (const piece of answer.setEncoding('utf8')) text += piece;
    return { status: answer.statusCode, headers: answer.headers, text };
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

async function everythingFrom(socket) {
  let text = '';
  socket.on('error', () => {}); // cut off while we were still there
  for await (const piece of socket.setEncoding('latin1')) text += piece;
  return text;
}
