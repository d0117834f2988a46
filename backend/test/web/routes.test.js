/** Every route: its answers, its permissions, and its calls of the services. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { ConnectionRefusedError, ForeignKeyConstraintError } from 'sequelize';

import { ROUTES, spellingsOf, webRoutes } from '../../src/route/web.js';
import { httpServer, listening } from '../../src/httpServer.js';
import { createMetrics } from '../../src/monitoring/metrics.js';
import { EventConflict, UnknownProduct } from '../../src/services/interactionService.js';
import { SpoolFailed } from '../../src/services/spool/spool.js';
import { rawAnswer } from './rawClient.js';
import { ANSWER, PYTHON, settingsWith, stage } from './stage.js';

const README = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
const NO_VERSION = { ageDays: null, dataAgeDays: null, refused: null };
const BROWSER = 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36';

test('the list is that of the token’s subject', async () => {
  const { agent, as, asked } = stage();
  const { status, body, headers } = await agent.get('/api/recommendations/list?limit=3').set(as(7)).set('User-Agent', BROWSER);

  assert.equal(status, 200);
  assert.deepEqual(body, { errCode: 0, ...ANSWER, recommendation_id: body.recommendation_id, arm: null });
  assert.deepEqual(asked, [['listForUser', 7, { limit: 3, device: 'desktop' }]]);
  assert.equal(headers['cache-control'], 'private, no-store');
  assert.match(headers['x-request-id'], /^[\da-f-]{36}$/);
});

test('user 0 is an ordinary user, and the default limit is ten', async () => {
  const { agent, as, asked } = stage();
  await agent.get('/api/recommend/list').set(as(0)).expect(200);

  assert.deepEqual(asked[0].slice(0, 2), ['listForUser', 0]);
  assert.equal(asked[0][2].limit, 10);
});

for (const [agentName, hint, device] of [
  [BROWSER, undefined, 'desktop'],
  ['Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605 Mobile/15E148', undefined, 'mobile'],
  ['Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 Mobile Safari/537.36', undefined, 'mobile'],
  ['Mozilla/5.0 (Linux; Android 15; SM-X810) AppleWebKit/537.36 Safari/537.36', undefined, 'tablet'],
  ['Mozilla/5.0 (iPad; CPU OS 16_0 like Mac OS X) AppleWebKit/605', undefined, 'tablet'],
  [BROWSER, '?1', 'mobile'],
  ['curl/8.0', undefined, null],
]) {
  test(`${agentName.slice(0, 40)} with hint ${hint} is on ${device}`, async () => {
    const { agent, as, asked } = stage();
    const headers = { ...as(7), 'User-Agent': agentName, ...(hint && { 'Sec-CH-UA-Mobile': hint }) };
    await agent.get('/api/recommendations/list').set(headers).expect(200);

    assert.equal(asked[0][2].device, device);
  });
}

test('the device parameter takes precedence over the browser’s', async () => {
  const { agent, as, asked } = stage();
  await agent.post('/api/recommendations/init?device=tablet').set(as(7)).set('User-Agent', BROWSER).expect(200);

  assert.deepEqual(asked, [['computeRecommendationsForUser', 7, { limit: 10, device: 'tablet' }]]);
});

test('init and clear report what they did', async () => {
  const { agent, as, asked } = stage();
  const init = await agent.post('/api/recommend/init?limit=2').set(as(7));
  const clear = await agent.delete('/api/recommend/clear').set(as(7));

  assert.deepEqual(init.body, { errCode: 0, message: 'initialized', ...ANSWER, recommendation_id: init.body.recommendation_id, arm: null });
  assert.deepEqual(clear.body, { errCode: 0, message: 'cleared', cleared: 3 });
  assert.deepEqual(asked.map(([name, id]) => [name, id]), [['computeRecommendationsForUser', 7], ['clearForUser', 7]]);
});

test('similar products are for guests, too', async () => {
  const { agent, as, asked } = stage();
  await agent.get('/api/recommendations/similar/112?limit=4').expect(200);
  await agent.get('/api/recommendations/similar/112').set(as(7)).expect(200);

  assert.deepEqual(asked, [
    ['similar', 112, { limit: 4, userId: null, guestId: null }],
    ['similar', 112, { limit: 10, userId: 7, guestId: null }],
  ]);
});

test('what is bought together, trending or due again is for guests, too', async () => {
  const { agent, as, asked } = stage();
  await agent.get('/api/recommendations/together?items=112,3,112&limit=4&complementary=true').expect(200);
  await agent.get('/api/recommend/together?items=7').set(as(7)).expect(200);
  await agent.get('/api/recommendations/trending').set(as(7)).expect(200);
  await agent.get('/api/recommendations/again?limit=4').set(as(7)).expect(200);
  await agent.get('/api/recommendations/again').expect(200);

  assert.deepEqual(asked, [
    ['together', [112, 3, 112], { limit: 4, complementary: true, userId: null, guestId: null }],
    ['together', [7], { limit: 10, complementary: false, userId: 7, guestId: null }],
    ['trending', { limit: 10, userId: 7, guestId: null }],
    ['again', { limit: 4, userId: 7, guestId: null }],
    ['again', { limit: 10, userId: null, guestId: null }],
  ]);
});

for (const [outcome, status] of [
  [{ stored: true, duplicate: false, spooled: false }, 201],
  [{ stored: false, duplicate: true, spooled: false }, 200],
  [{ stored: false, duplicate: false, spooled: true }, 202],
  [{ stored: false, duplicate: true, spooled: true }, 202],
]) {
  test(`an interaction with ${JSON.stringify(outcome)} is answered with ${status}`, async () => {
    const services = { interactions: { record: async () => ({ eventId: 'event-0001', ...outcome, clamped: null }) } };
    const { agent, as } = stage({ services });
    const answer = await agent.post('/api/interaction').set(as(7)).send({ productId: 110, actionCode: 'cart' });

    assert.equal(answer.status, status);
    assert.deepEqual(answer.body, { errCode: 0, data: { eventId: 'event-0001', ...outcome } });
  });
}

for (const [error, status, field] of [
  [new UnknownProduct('no such product'), 404, 'productId'],
  [new EventConflict('another one'), 409, 'eventId'],
  [new SpoolFailed('no space left on device'), 503, undefined],
  [new ForeignKeyConstraintError({}), 422, undefined],
]) {
  test(`an interaction that meets ${error.name} is answered with ${status}, and not acknowledged`, async () => {
    const services = { interactions: { record: async () => Promise.reject(error) } };
    const { agent, as, metrics } = stage({ services });
    const answer = await agent.post('/api/interaction').set(as(7)).send({ productId: 110, actionCode: 'cart' });

    assert.deepEqual([answer.status, answer.body.errCode, answer.body.field], [status, status, field]);
    assert.equal(answer.headers['retry-after'], status === 503 ? '5' : undefined);
    assert.match(await metrics.registry.metrics(), new RegExp(`interactions_total{outcome="${status === 503 ? 'lost' : 'refused'}"} 1`));
  });
}

test('a failure of the database is answered as such', async () => {
  const services = { recommendations: { clearForUser: async () => Promise.reject(new ConnectionRefusedError(new Error('secret host'))) } };
  const { agent, as, lines } = stage({ services });
  const { status, text, headers } = await agent.delete('/api/recommendations/clear').set(as(7));

  assert.deepEqual([status, headers['retry-after']], [503, '5']);
  assert.doesNotMatch(text, /secret host/);
  assert.ok(lines.some(({ err }) => err?.message === 'secret host'));
});

test('an interaction has the types of the tables', async () => {
  const { agent, as, asked } = stage();
  const body = { productId: '110', actionCode: 'purchase', device: 'mobile', eventId: 'event-0001', timestamp: 1_764_547_200, userId: 7 };
  await agent.post('/api/interaction').set(as(7)).send(body).expect(201);

  const expected = { productId: 110, actionCode: 'purchase', device: 'mobile', eventId: 'event-0001', timestamp: new Date('2025-12-01T00:00:00Z'), userId: 7 };
  assert.deepEqual(asked, [['record', expected]]);
});

test('health, readiness and metrics are for machines', async () => {
  const { agent, as } = stage();
  assert.deepEqual((await agent.get('/health')).body, { status: 'up' });
  assert.deepEqual((await agent.get('/ready')).body, { status: 'ready', model: NO_VERSION });
  await agent.get('/api/recommendations/list').set(as(7)).expect(200);
  const { text, headers } = await agent.get('/metrics').expect(200);

  assert.match(headers['content-type'], /^text\/plain; version=0\.0\.4/);
  assert.match(text, /recsys_http_request_seconds_count\{method="GET",route="\/api\/recommendations\/list",status="200"\} 1/);
});

for (const [what, services] of [
  ['the database is away', { sequelize: { query: async () => Promise.reject(new Error('away')) } }],
  ['the database hangs', { sequelize: { query: () => new Promise(() => {}) } }],
  ['no worker is ready', { python: { stats: () => ({ workers: [{ state: 'down' }] }) } }],
  ['interactions wait', { interactions: { stats: () => ({ pending: 1 }) } }],
]) {
  test(`F55 while ${what}, the server reports degraded, and no more`, async () => {
    const { status, body } = await stage({ services }).agent.get('/ready');
    assert.deepEqual([status, body], [200, { status: 'degraded', model: NO_VERSION }]);
  });
}

test('readiness and metrics tell how old the version is, and that workers have refused it', async () => {
  const published = { trainedAt: Date.now() - 36 * 3_600_000, dataUntil: Date.now() - 3 * 86_400_000 };
  const refused = { version: '20261121T231800Z-9f8e7d6c', code: 'model_refused', message: 'It is damaged.' };
  const python = { stats: () => ({ ...PYTHON, workers: [{ state: 'ready', refused }, { state: 'ready', refused: null }, { state: 'down', refused }] }) };
  const metrics = createMetrics({ python: python.stats, published: async () => published });
  const { agent } = stage({ services: { python, metrics, snapshot: { current: async () => published } } });
  const { status, model } = (await agent.get('/ready')).body;
  const { text } = await agent.get('/metrics').expect(200);
  const valueOf = (name) => Number(new RegExp(`^recsys_${name} (\\S+)$`, 'm').exec(text)?.[1]);

  assert.deepEqual([status, model.refused], ['ready', 'model_refused']);
  assert.deepEqual([model.ageDays.toFixed(3), model.dataAgeDays.toFixed(3)], ['1.500', '3.000']);
  assert.deepEqual([valueOf('model_age_days').toFixed(3), valueOf('model_data_age_days').toFixed(3)], ['1.500', '3.000']);
  assert.equal(valueOf('python_version_refused'), 1);
});

test('without a version the metrics show no age, instead of 0', async () => {
  const text = await createMetrics({ published: async () => null }).registry.metrics();
  assert.match(text, /^# TYPE recsys_model_age_days gauge$/m);
  assert.doesNotMatch(text, /^recsys_model_age_days /m);
});

test('a server that shuts down reports closing', async () => {
  const { agent } = stage({ services: { isClosing: () => true } });
  const ready = await agent.get('/ready');

  assert.deepEqual([ready.status, ready.body], [503, { status: 'closing' }]);
});

test('metrics with a token need it', async () => {
  const { agent } = stage({ variables: { METRICS_TOKEN: 'scrape-me' } });
  await agent.get('/metrics').expect(401);
  await agent.get('/metrics').set('Authorization', 'Bearer scrape').expect(401);
  await agent.get('/metrics').set('Authorization', 'Bearer scrape-me').expect(200);
});

for (const [what, headers, status] of [
  ['nothing but what any client sends', {}, 200],
  ['what Prometheus sends', { 'User-Agent': 'Prometheus/3.0', 'X-Prometheus-Scrape-Timeout-Seconds': '10', 'Accept-Encoding': 'gzip' }, 200],
  ['what a browser sends', { 'Accept-Language': 'vi', 'Sec-Fetch-Mode': 'navigate', 'Upgrade-Insecure-Requests': '1', 'Sec-CH-UA': '"x"', Cookie: 'a=b' }, 200],
  ['localhost as its host', { Host: 'localhost:6969' }, 200],
  ['the loopback of IPv6 as its host', { Host: '[::1]:6969' }, 200],
  ['another host, as by HAProxy or a page elsewhere', { Host: 'shop.example' }, 403],
  ['a host that begins like this one', { Host: '127.0.0.1.shop.example' }, 403],
  ...[
    'Via', 'Forwarded', 'X-Real-IP', 'X-Forwarded-For', 'X-Forwarded-Host', 'X-Forwarded-Proto', 'X-Forwarded-Port', 'X-Forwarded-Server', 'X-Forwarded',
    'Forwarded-For', 'CF-Connecting-IP', 'CF-Ray', 'CDN-Loop', 'True-Client-IP', 'X-Client-IP', 'X-Cluster-Client-IP', 'X-Original-URL', 'X-Original-Forwarded-For',
    'X-Envoy-External-Address', 'X-Amzn-Trace-Id', 'X-Amz-Cf-Id', 'Fastly-Client-IP', 'Fly-Client-IP', 'X-Azure-ClientIP', 'X-Appengine-User-IP', 'X-ARR-LOG-ID',
    'X-Request-Id', 'X-Varnish', 'X-Scheme', 'Proxy-Connection', 'Max-Forwards',
  ].map((name) => [`the header ${name}, as by a proxy`, { [name]: '1' }, 403]),
]) {
  test(`metrics without a token are ${status === 200 ? 'shown to' : 'kept from'} a request from here with ${what}`, async () => {
    await stage().agent.get('/metrics').set(headers).expect(status);
  });
}

test('metrics without a token are refused to nginx, which uses HTTP/1.0', async () => {
  const server = httpServer(stage().app);
  const { port } = await listening(server, { host: '127.0.0.1', port: 0 });
  const answers = await Promise.all(['1.0', '1.1'].map((version) => rawAnswer(port, `GET /metrics HTTP/${version}\r\nHost: 127.0.0.1:${port}\r\nConnection: close\r\n\r\n`)));
  server.close();

  assert.deepEqual(answers.map((answer) => answer.split(' ')[1]), ['403', '200']);
});

test('behind a configured proxy, only a token opens the metrics', async () => {
  const { agent } = stage({ variables: { METRICS_TOKEN: 'scrape-me' } });
  await agent.get('/metrics').set({ Via: '1.1 proxy', Authorization: 'Bearer scrape-me' }).expect(200);
  await agent.get('/metrics').set({ Via: '1.1 proxy' }).expect(401);
});

test('an unknown path is answered in JSON', async () => {
  const { agent } = stage();
  const { status, body, headers } = await agent.get('/nowhere');

  assert.equal(status, 404);
  assert.deepEqual(body, { errCode: 404, message: 'There should be a resource at this path. Received: /nowhere.', requestId: headers['x-request-id'] });
});

test('another method is refused with the allowed one', async () => {
  const { status, headers, body } = await stage().agent.put('/api/recommendations/list');
  assert.deepEqual([status, headers.allow, body.errCode], [405, 'GET', 405]);
});

test('a defect’s stack trace is in the log only', async () => {
  const services = { recommendations: { listForUser: async () => Promise.reject(new Error('a secret inside')) } };
  const { agent, as, lines } = stage({ services });
  const { status, body, text } = await agent.get('/api/recommendations/list').set(as(7));

  assert.equal(status, 500);
  assert.deepEqual(Object.keys(body), ['errCode', 'message', 'requestId']);
  assert.doesNotMatch(text, /secret inside|at .*\.js/);
  const told = lines.find(({ err }) => err?.message === 'a secret inside');
  assert.equal(told.requestId, body.requestId);
});

test('no token, body, query or address is in the log', async () => {
  const { agent, as, lines } = stage();
  const token = as(7);
  await agent.get('/api/recommendations/list?limit=private-query').set(token);
  await agent.post('/api/auth/login').send({ email: 'private@example.com', password: 'private-password' });

  const written = JSON.stringify(lines);
  assert.ok(lines.some(({ req, res }) => req?.path === '/api/auth/login' && res?.statusCode === 401));
  for (const secret of [token.Authorization, 'private-query', 'private@', 'private-password']) assert.ok(!written.includes(secret), secret);
});

test('a request’s id is the proxy’s, if it is safe in a log', async () => {
  const { agent } = stage();
  const id = async (given) => (await agent.get('/health').set('X-Request-Id', given)).headers['x-request-id'];

  assert.equal(await id('proxy-17.b'), 'proxy-17.b');
  assert.notEqual(await id('a b {"level":60}'), 'a b {"level":60}');
});

test('only configured origins may send requests', async () => {
  const open = stage({ variables: { CORS_ORIGIN: 'https://shop.example' } }).agent;
  const asked = await open.options('/api/recommendations/list').set({ Origin: 'https://shop.example', 'Access-Control-Request-Method': 'GET' });
  const stranger = await open.get('/health').set('Origin', 'https://evil.example');
  const closed = await stage().agent.get('/health').set('Origin', 'https://shop.example');

  assert.deepEqual([asked.status, asked.headers['access-control-allow-origin']], [204, 'https://shop.example']);
  assert.equal(asked.headers['access-control-allow-credentials'], undefined);
  assert.equal(stranger.headers['access-control-allow-origin'], undefined);
  assert.equal(closed.headers['access-control-allow-origin'], undefined);
});

test('answers have security headers', async () => {
  const { headers } = await stage().agent.get('/health');

  assert.match(headers['content-security-policy'], /^default-src 'none';/);
  assert.doesNotMatch(headers['content-security-policy'], /unsafe/);
  assert.equal(headers['x-content-type-options'], 'nosniff');
  assert.equal(headers['x-powered-by'], undefined);
});

test('the README has every route', () => {
  const rows = [...README.matchAll(/^\| (GET|POST|DELETE) \| (.*?) \| (.*?) \| (.*?) \|$/gm)].map(([, ...cells]) => cells);
  const code = (path) => `\`${path}\``;
  const expected = ROUTES.map(({ method, path, who, meaning }) => [method, spellingsOf(path).map(code).join('<br>'), who, meaning]);

  assert.deepEqual(rows, expected);
});

test('the router has the routes of the table and no others', () => {
  const { app: _, ...services } = stage();
  const router = webRoutes({ ...services, settings: settingsWith() });
  const served = router.stack.map(({ route }) => route.path);

  assert.deepEqual(served, ROUTES.flatMap(({ path }) => spellingsOf(path)));
});
