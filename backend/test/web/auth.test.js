/** Tokens, logins, rate limits and permissions. */
import assert from 'node:assert/strict';
import { createHmac, generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import { test } from 'node:test';

import bcrypt from '@node-rs/bcrypt';
import jwt from 'jsonwebtoken';

import { ROUTES } from '../../src/route/web.js';
import { AuthService } from '../../src/services/authService.js';
import { Passwords } from '../../src/services/passwords.js';
import { onBothDatabases } from '../core/databases.js';
import { FakeClock } from '../fakes.js';
import { SECRET, listeningLog, segment, settingsWith, stage, tokenOf } from './stage.js';

const ROUNDS = 4; // bcrypt's least
const PASSWORD = 'open sesame';
const HASH = bcrypt.hashSync(PASSWORD, ROUNDS);
const FOREIGN = HASH.replace('$2b$', '$2x$'); // of PHP's old mistake, which no other program repeats
const PEOPLE = new Map([
  [7, { id: 7, email: 'lan@shop.example', password: HASH, roleId: 'R2', statusId: 'S1', firstName: 'Lan', lastName: 'Trần' }],
  [9, { id: 9, email: 'closed@shop.example', password: HASH, roleId: 'R2', statusId: 'S2' }],
  [5, { id: 5, email: 'nopass@shop.example', password: null, roleId: 'R2', statusId: 'S1' }],
  [6, { id: 6, email: 'foreign@shop.example', password: FOREIGN, roleId: 'R2', statusId: 'S1' }],
  [1, { id: 1, email: 'root@shop.example', password: HASH, roleId: 'R1', statusId: 'S1' }],
]);
const LIST = '/api/recommendations/list';
const { publicKey, privateKey } = generateKeyPairSync('rsa', {
  modulusLength: 2048,
  publicKeyEncoding: { type: 'spki', format: 'pem' },
  privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
});
const now = Math.floor(Date.now() / 1000);
const unsigned = `${segment({ alg: 'none', typ: 'JWT' })}.${segment({ sub: '7', iat: now, exp: now + 3600 })}.`;

const withToken = (token) => ({ Authorization: `Bearer ${token}` });

for (const [what, headers, status] of [
  ['101 an empty header', { Authorization: '' }, 401],
  ['102 Bearer alone', { Authorization: 'Bearer' }, 401],
  ['102 Bearer and blanks', { Authorization: 'Bearer   ' }, 401],
  ['another scheme', { Authorization: `Token ${tokenOf(7)}` }, 401],
  ['two tokens in one header', { Authorization: `Bearer ${tokenOf(7)}, Bearer ${tokenOf(8)}` }, 401],
  ['103 alg none', withToken(unsigned), 403],
  ['103 alg none with a signature', withToken(unsigned + tokenOf(7).split('.')[2]), 403],
  ['103 alg nOnE', withToken(unsigned.replace(/^[^.]+/, segment({ alg: 'nOnE', typ: 'JWT' }))), 403],
  ['104 RS256, with whatever key', withToken(jwt.sign({ sub: '7' }, privateKey, { algorithm: 'RS256' })), 403],
  ['104 HS256 with a public key as secret', withToken(hmacSigned({ sub: '7', iat: now }, publicKey)), 403],
  ['HS512 with the right secret', withToken(tokenOf(7, {}, { algorithm: 'HS512' })), 403],
  ['another secret', withToken(tokenOf(7, {}, { secret: 'another secret that is long enough as well' })), 403],
  ['105 expired by one second', withToken(tokenOf(7, { exp: now - 1 })), 403],
  ['105 not before the next hour', withToken(tokenOf(7, { nbf: now + 3600 })), 403],
  ['105 issued at a text', withToken(hmacSigned({ sub: '7', iat: 'yesterday', exp: now + 3600 }, SECRET)), 403],
  ['105 issued at no time', withToken(tokenOf(7, {}, { noTimestamp: true })), 403],
  ['105 issued two days ago, for ever', withToken(hmacSigned({ sub: '7', iat: now - 2 * 86_400 }, SECRET)), 403],
  ['106 a kid that is a path, signed with that file’s content', withToken(hmacSigned({ sub: '7', iat: now }, '', { kid: '../../../../dev/null' })), 403],
  ['107 8 KB', withToken(tokenOf(7, { padding: 'x'.repeat(6000) })), 403],
  ['no token at all', withToken('x'), 403],
  ['three dots', withToken('...'), 403],
  ['no subject', withToken(jwt.sign({}, SECRET, { expiresIn: 60 })), 403],
  ['a subject that MySQL would read as 7', withToken(tokenOf('7abc')), 403],
  ['a subject with a zero in front', withToken(tokenOf('007')), 403],
  ['a subject beyond exact numbers', withToken(tokenOf('9007199254740993')), 403],
  ['a subject that is an object', withToken(hmacSigned({ sub: { $gt: 0 }, iat: now }, SECRET)), 403],
  ['a subject that is a list', withToken(hmacSigned({ sub: ['7'], iat: now }, SECRET)), 403],
  ['an account that is closed', withToken(tokenOf(9)), 403],
  ['an account that is no more', withToken(tokenOf(12345)), 404],
]) {
  test(`a request with ${what} is answered with ${status}`, async () => {
    const { agent, asked } = stage();
    const answer = await agent.get(LIST).set(headers);

    assert.equal(answer.status, status);
    assert.equal(answer.body.errCode, status);
    assert.deepEqual(asked, []);
    assert.equal(answer.headers['www-authenticate'], status === 401 ? 'Bearer' : undefined);
  });
}

const NOW_S = 1_800_000_000;
const until = NOW_S + 3600;
for (const [what, claims, header, isGood] of [
  ['issued a second ago', { iat: NOW_S - 1, exp: until }, {}, true],
  ['issued by a clock that is a minute ahead', { iat: NOW_S + 60, exp: until }, {}, true],
  ['issued by a clock that is more ahead', { iat: NOW_S + 61, exp: until }, {}, false],
  ['issued in ten years', { iat: NOW_S + 315_360_000, exp: NOW_S + 315_363_600 }, {}, false],
  ['issued in ten years, for ever', { iat: NOW_S + 315_360_000 }, {}, false],
  ['issued at infinity', '{"sub":"7","iat":1e999}', {}, false],
  ['issued at null', { iat: null, exp: until }, {}, false],
  ['issued at no number', '{"sub":"7","iat":NaN}', {}, false],
  ['issued at a text of digits', { iat: `${NOW_S}`, exp: until }, {}, false],
  ['issued at a list', { iat: [NOW_S], exp: until }, {}, false],
  ['that says no end, within the longest life there is', { iat: NOW_S - 86_399 }, {}, true],
  ['that says no end, beyond it', { iat: NOW_S - 86_401 }, {}, false],
  ['that says a far end, beyond the longest life there is', { iat: NOW_S - 86_401, exp: NOW_S + 315_360_000 }, {}, false],
  ['that ends now', { iat: NOW_S - 60, exp: NOW_S }, {}, false],
  ['that ends at infinity', `{"sub":"7","iat":${NOW_S},"exp":1e999}`, {}, false],
  ['that ends at a text', { iat: NOW_S, exp: `${until}` }, {}, false],
  ['that ends at null', { iat: NOW_S, exp: null }, {}, false],
  ['that begins now', { iat: NOW_S, nbf: NOW_S, exp: until }, {}, true],
  ['that begins later', { iat: NOW_S, nbf: NOW_S + 1, exp: until }, {}, false],
  ['that begins at a text', { iat: NOW_S, nbf: `${NOW_S}`, exp: until }, {}, false],
  ['that begins at minus infinity', `{"sub":"7","iat":${NOW_S},"nbf":-1e999}`, {}, false],
  ['whose header demands something', { iat: NOW_S, exp: until }, { crit: ['b64'], b64: false }, false],
  ['whose header demands nothing by name', { iat: NOW_S, exp: until }, { crit: [] }, false],
  ['whose header demands null', { iat: NOW_S, exp: until }, { crit: null }, false],
  ['whose header says more than it demands', { iat: NOW_S, exp: until }, { kid: '1', cty: 'x' }, true],
]) {
  test(`a token ${what} is ${isGood ? 'good' : 'refused'}`, (t) => {
    t.mock.timers.enable({ apis: ['Date'], now: 1000 * NOW_S });
    const auth = new AuthService({ settings: settingsWith(), models: {}, log: listeningLog().log });
    const payload = typeof claims === 'string' ? claims : JSON.stringify({ sub: '7', ...claims });
    const text = `${segment({ alg: 'HS256', typ: 'JWT', ...header })}.${Buffer.from(payload).toString('base64url')}`;
    const token = `${text}.${hmac(text, SECRET)}`;

    if (isGood) assert.equal(auth.subjectOf(token), 7);
    else assert.throws(() => auth.subjectOf(token), { name: 'TokenRefused' });
  });
}

test('101 without a token, what is only for users is answered with 401', async () => {
  const { agent, asked } = stage();
  const answer = await agent.delete('/api/recommendations/clear').expect(401);

  assert.equal(answer.headers['www-authenticate'], 'Bearer');
  assert.deepEqual(asked, []);
});

test('101 two Authorization headers are refused, even if both are valid', async () => {
  const { app, asked } = stage();
  const { status } = await rawGet(app, LIST, ['Authorization', `Bearer ${tokenOf(7)}`, 'authorization', `Bearer ${tokenOf(8)}`]);

  assert.equal(status, 401);
  assert.deepEqual(asked, []);
});

test('106 a token’s kid is ignored', async () => {
  await stage().agent.get(LIST).set(withToken(tokenOf(7, {}, { keyid: '../../secret' }))).expect(200);
});

test('a number is a valid subject, as other backends sign', async () => {
  await stage().agent.get(LIST).set(withToken(hmacSigned({ sub: 7, iat: now }, SECRET))).expect(200);
});

test('a configured issuer and audience are required', async () => {
  const { agent, auth } = stage({ variables: { JWT_ISSUER: 'shop', JWT_AUDIENCE: 'lists' } });
  await agent.get(LIST).set(withToken(tokenOf(7))).expect(403);
  await agent.get(LIST).set(withToken(tokenOf(7, { iss: 'shop', aud: 'others' }))).expect(403);
  await agent.get(LIST).set(withToken(auth.sign(7))).expect(200);
});

test('a login returns a token for the user’s own list', async () => {
  const { agent, asked } = stage({ users: PEOPLE });
  const { status, body } = await agent.post('/api/auth/login').send({ email: 'lan@shop.example', password: PASSWORD });

  assert.equal(status, 200);
  const { token, ...data } = body.data;
  assert.deepEqual(data, { expiresIn: 86_400, user: { id: 7, email: 'lan@shop.example', firstName: 'Lan', lastName: 'Trần', roleId: 'R2', isAdmin: false } });
  const administrator = await agent.post('/api/auth/login').send({ email: 'root@shop.example', password: PASSWORD });
  assert.equal(administrator.body.data.user.isAdmin, true);
  await agent.get(LIST).set(withToken(token)).expect(200);
  assert.equal(asked[0][1], 7);
});

test('unknown address, wrong password and closed account get one answer', async () => {
  const { agent } = stage({ users: PEOPLE, variables: { RATE_LIMIT_LOGIN: '0' } });
  const answers = [];
  for (const [email, password] of [
    ['nobody@shop.example', PASSWORD],
    ['lan@shop.example', 'wrong'],
    ['closed@shop.example', PASSWORD],
    ['nopass@shop.example', PASSWORD],
    ['nopass@shop.example', 'null'],
    ['foreign@shop.example', PASSWORD],
  ]) {
    const { status, body } = await agent.post('/api/auth/login').send({ email, password });
    answers.push([status, body.message]);
  }

  assert.deepEqual(new Set(answers.map(String)).size, 1);
  assert.equal(answers[0][0], 401);
});

test('passwords are compared in another thread, one after the other', async () => {
  const passwords = new Passwords();
  const pairs = [[PASSWORD, HASH], ['wrong', HASH], ['', HASH], ['Mật khẩu 🍯', bcrypt.hashSync('Mật khẩu 🍯', ROUNDS)]];
  const dear = bcrypt.hashSync(PASSWORD, 10);
  assert.deepEqual(await Promise.all(pairs.map((pair) => passwords.compare(...pair))), [true, false, false, true]);
  let turns = 0;
  const counting = setInterval(() => (turns += 1), 1);
  assert.equal(await passwords.compare(PASSWORD, dear), true);
  clearInterval(counting);
  assert.ok(turns > 1, `${turns} turns of the main thread meanwhile`);
});

test('a hash that bcrypt cannot compare does not match, without other failures', async () => {
  const passwords = new Passwords();
  const pairs = [[PASSWORD, HASH], [PASSWORD, HASH.slice(0, -1)], [PASSWORD, HASH.replace('$04$', '$99$')], [7, HASH], [PASSWORD, HASH]];
  assert.deepEqual(await Promise.all(pairs.map((pair) => passwords.compare(...pair))), [true, false, false, false, true]);
});

// Hashes by bcryptjs 3, with 4 rounds; the prefixes differ in nothing else.
const HASH_OF_80_X = '$2b$04$ZwiA6rvqw9BhYNE4X29fPeQg4FrHuaZ522VvXLkemNeqrv8PYkwBi';
for (const [what, password, hash] of [
  ['with $2a$', PASSWORD, '$2a$04$Io93iyrxxueE9dxBAhApzeKDWgPt6VMP2YNOIptq1I5fiF88/J8/C'],
  ['with $2y$, as by PHP', PASSWORD, '$2y$04$KWfcrUKbUxMmqzot9qgWxul5QpmsIVTgv5LGIpqCbCOdarLFtf8D2'],
  ['of other letters and a zero byte', 'Mật khẩu 🍯\0\t', '$2b$04$xxW8vabreYwss1G0BPaBO.u9vvTbrvzrQ8/EZDzYaDkx2Cx8EThvG'],
  ['of 80 bytes, of which 72 count', 'x'.repeat(72), HASH_OF_80_X],
  ['of 80 bytes, with others behind the 72', `${'x'.repeat(72)}y`, HASH_OF_80_X],
]) {
  test(`a password matches a hash ${what}`, async () => {
    const passwords = new Passwords();
    assert.deepEqual([await passwords.compare(password, hash), await passwords.compare(password.slice(1), hash)], [true, false]);
  });
}

test('too many concurrent logins are refused', async () => {
  const passwords = new Passwords();
  const outcomes = Array.from({ length: 101 }, () => passwords.compare('wrong', HASH));
  await assert.rejects(outcomes.pop(), { name: 'TooLate' });
  assert.deepEqual(new Set(await Promise.all(outcomes)), new Set([false]));
});

test('an unknown address takes as long as a known one', async (t) => {
  const compared = t.mock.method(bcrypt, 'compare');
  const { agent } = stage({ users: PEOPLE });
  await agent.post('/api/auth/login').send({ email: 'nobody@shop.example', password: PASSWORD }).expect(401);

  assert.equal(compared.mock.callCount(), 1);
  assert.match(compared.mock.calls[0].arguments[1], /^\$2b\$04\$/);
});

for (const body of [
  {},
  { email: 'lan@shop.example' },
  { email: { $gt: '' }, password: PASSWORD },
  { email: ['lan@shop.example'], password: PASSWORD },
  { email: 'lan@shop.example', password: 'x'.repeat(257) },
  { email: 'lan@shop.example', password: PASSWORD, roleId: 'R1' },
  [],
]) {
  test(`a login of ${JSON.stringify(body).slice(0, 60)} is refused without showing the password`, async () => {
    const { status, text } = await stage({ users: PEOPLE }).agent.post('/api/auth/login').send(body);
    assert.equal(status, 400);
    assert.ok(!text.includes('xxxx') && !text.includes(PASSWORD));
  });
}

test('failed logins limit an address, successful ones do not', async () => {
  const { agent } = stage({ users: PEOPLE, variables: { RATE_LIMIT_LOGIN: '2' } });
  const login = (password) => agent.post('/api/auth/login').send({ email: 'lan@shop.example', password });
  for (let time = 0; time < 4; time += 1) await login(PASSWORD).expect(200);
  await login('wrong').expect(401);
  await login('wrong').expect(401);
  const { status, headers, body } = await login(PASSWORD);

  assert.deepEqual([status, body.errCode], [429, 429]);
  assert.ok(Number(headers['retry-after']) > 0);
});

test('an account is limited over all addresses and spellings', async () => {
  const { agent } = stage({ users: PEOPLE, variables: { RATE_LIMIT_LOGIN: '1', TRUST_PROXY: '1' } });
  const statuses = [];
  for (let address = 1; address <= 6; address += 1) {
    const email = address % 2 ? 'lan@shop.example' : ' LAN@shop.example';
    const { status } = await agent.post('/api/auth/login').set('X-Forwarded-For', `203.0.113.${address}`).send({ email, password: 'wrong' });
    statuses.push(status);
  }

  assert.deepEqual(statuses, [401, 401, 401, 401, 401, 429]);
});

test('each user has their own limit', async () => {
  const { agent, as } = stage({ variables: { RATE_LIMIT_USER: '2' } });
  await agent.get(LIST).set(as(7)).expect(200);
  await agent.get(LIST).set(as(7)).expect(200);
  await agent.get(LIST).set(as(7)).expect(429);
  await agent.get(LIST).set(as(8)).expect(200);
});

test('an address has a limit, monitoring has none', async () => {
  const { agent } = stage({ variables: { RATE_LIMIT_IP: '2' } });
  await agent.get(LIST).expect(200);
  await agent.get(LIST).expect(200);
  await agent.get(LIST).expect(429);
  await agent.get('/health').expect(200);
});

test('a forged X-Forwarded-For does not change the address', async () => {
  const { agent } = stage({ variables: { RATE_LIMIT_IP: '1' } });
  await agent.get(LIST).set('X-Forwarded-For', '203.0.113.1').expect(200);
  await agent.get(LIST).set('X-Forwarded-For', '203.0.113.2').expect(429);
});

test('F55 without a database a valid token is enough, an invalid one is not', async () => {
  const User = { findByPk: async () => Promise.reject(new Error('away')) };
  const { log } = listeningLog();
  const settings = settingsWith();
  const { agent, as, asked } = stage({ services: { auth: new AuthService({ settings, models: { User }, log }) } });
  await agent.get(LIST).set(as(7)).expect(200);
  await agent.get(LIST).set(withToken(unsigned)).expect(403);
  await agent.get('/internal/recommendations').set(as(1)).expect(503);

  assert.deepEqual(asked.map(([name]) => name), ['listForUser']);
});

test('F57 a database that hangs delays a user once, by a quarter of a second', async () => {
  const clock = new FakeClock();
  let lookups = 0;
  const User = {
    findByPk: () => {
      lookups += 1;
      return new Promise(() => {});
    },
  };
  const auth = new AuthService({ settings: settingsWith(), models: { User }, log: listeningLog().log, clock });
  const first = auth.userOf(7);
  await clock.advance(250);

  assert.deepEqual(await first, { id: 7, roleId: null, isActive: true, isVerified: false });
  assert.equal((await auth.userOf(8)).isVerified, false);
  assert.equal(lookups, 1);
  assert.equal(clock.timers, 0);
});

test('a user is looked up every 15 seconds, and a closed account refused', async () => {
  const clock = new FakeClock();
  const row = { id: 7, statusId: 'S1', roleId: 'R2' };
  let lookups = 0;
  const findByPk = async () => {
    lookups += 1;
    return { ...row };
  };
  const auth = new AuthService({ settings: settingsWith(), models: { User: { findByPk } }, log: listeningLog().log, clock });
  assert.equal((await auth.userOf(7)).isActive, true);
  row.statusId = 'S2';
  await clock.advance(14_999);
  assert.equal((await auth.userOf(7)).isActive, true);
  await clock.advance(2);

  assert.equal((await auth.userOf(7)).isActive, false);
  assert.equal(lookups, 2);
});

test('concurrent requests of a user read their row once', async () => {
  let lookups = 0;
  const findByPk = async (id) => {
    lookups += 1;
    return { id, statusId: 'S1', roleId: 'R2' };
  };
  const auth = new AuthService({ settings: settingsWith(), models: { User: { findByPk } }, log: listeningLog().log });
  const users = await Promise.all(Array.from({ length: 100 }, (_, n) => auth.userOf(7 + (n % 2))));

  assert.deepEqual([lookups, users[0].id, users[1].id, users[99].isVerified], [2, 7, 8, true]);
});

onBothDatabases((shopTest) => {
  shopTest('an address is found in any case, but not with other accents', async ({ models }) => {
    await models.User.bulkCreate([{ id: 7, email: 'Lan@Shop.example', password: HASH }, { id: 8, email: 'zoé@shop.example', password: HASH }]);
    const auth = new AuthService({ settings: settingsWith(), models, passwords: bcrypt, log: listeningLog().log });
    const found = [];
    for (const email of ['Lan@Shop.example', 'lan@shop.EXAMPLE', 'lan@shop.example', 'zoé@shop.example', 'ZOé@shop.example', 'làn@shop.example', 'zoe@shop.example']) {
      found.push((await auth.login(email, PASSWORD))?.user.id ?? null);
    }

    assert.deepEqual(found, [7, 7, 7, 8, 8, null, null]);
  });
});

// Every route, asked by 7 in the name of 8: nothing of 8's is touched. Product 8 is everybody's.
const OTHERS = 8;
const USER_ROUTES = ROUTES.filter(({ who }) => who.startsWith('user'));
assert.ok(USER_ROUTES.length > 0);
for (const { method, path, who } of USER_ROUTES) {
  const at = path.replace(':productId', '112');
  for (const [how, ask] of [
    ['a query', (agent) => agent[method.toLowerCase()](`${at}?userId=${OTHERS}`)],
    ['another query', (agent) => agent[method.toLowerCase()](`${at}?user_id=${OTHERS}`)],
    ['a header', (agent) => agent[method.toLowerCase()](at).set('X-User-Id', String(OTHERS))],
    ['a body', (agent) => agent[method.toLowerCase()](at).send({ userId: OTHERS, productId: 110, actionCode: 'view' })],
    ['a path', (agent) => agent[method.toLowerCase()](`${at}/${OTHERS}`)],
  ]) {
    test(`IDOR: ${method} ${path} ignores another user in ${how}`, async () => {
      const { agent, as, asked } = stage();
      const { status } = await ask(agent).set(as(7));
      const named = asked.filter(([name]) => name !== 'product').flatMap(([, ...args]) => args.flatMap((arg) => (typeof arg === 'object' ? [arg?.userId] : [arg])));

      assert.ok(!named.includes(OTHERS), JSON.stringify(asked));
      assert.ok(status < 500);
    });
  }

  if (who !== 'user') continue; // the other routes are for guests, too
  test(`IDOR: ${method} ${path} needs a token`, async () => {
    const { agent, asked } = stage();
    await agent[method.toLowerCase()](at).set('Content-Type', 'application/json').send(method === 'POST' ? '{}' : undefined).expect(401);
    assert.deepEqual(asked, []);
  });
}

test('IDOR: a guest has no user id', async () => {
  const { agent, asked } = stage();
  await agent.get('/api/recommendations/similar/112').set('X-User-Id', '8').expect(200);
  assert.deepEqual(asked, [['similar', 112, { limit: 10, userId: null, guestId: null }]]);
});

test('IDOR: another user’s interaction is refused, and not stored', async () => {
  const { agent, as, asked } = stage();
  const { status } = await agent.post('/api/interaction').set(as(7)).send({ userId: 8, productId: 110, actionCode: 'view' });

  assert.equal(status, 403);
  assert.deepEqual(asked, []);
});

test('IDOR: the administrators’ overview is closed to users and guests', async () => {
  const { agent, as, asked } = stage();
  await agent.get('/internal/recommendations').expect(401);
  await agent.get('/internal/recommendations').set(as(7)).expect(403);
  await agent.get('/internal/recommendations?userId=8').set(as(7)).expect(403);

  assert.deepEqual(asked, []);
});

test('an administrator sees their own list, or a requested one', async () => {
  const { agent, as, asked } = stage();
  await agent.get('/internal/recommendations').set(as(1)).expect(200);
  await agent.get('/internal/recommendations?userId=8&limit=2').set(as(1)).expect(200);

  assert.deepEqual(asked, [['getCachedForUser', 1, { limit: 10 }], ['getCachedForUser', 8, { limit: 2 }]]);
});

test('an administrator may be configured by id', async () => {
  const { agent, as } = stage({ variables: { ADMIN_IDS: '7', ADMIN_ROLES: 'R9' } });
  await agent.get('/internal/recommendations').set(as(7)).expect(200);
  await agent.get('/internal/recommendations').set(as(1)).expect(403);
});

test('an administrator may use address and password', async () => {
  const { agent } = stage({ users: PEOPLE });
  const page = () => agent.get('/internal/recommendations');
  const stranger = await page();
  const known = await page().auth('root@shop.example', PASSWORD);

  assert.equal(stranger.status, 401);
  assert.match(stranger.headers['www-authenticate'], /^Basic /);
  assert.deepEqual([known.status, known.type], [200, 'application/json']);
  await page().auth('root@shop.example', 'wrong').expect(401);
  await page().auth('lan@shop.example', PASSWORD).expect(403);
  await page().auth('', '').expect(401);
});

test('passwords of administrators are limited like logins', async () => {
  const { agent } = stage({ users: PEOPLE, variables: { RATE_LIMIT_LOGIN: '1' } });
  await agent.get('/internal/recommendations').auth('root@shop.example', 'wrong').expect(401);
  await agent.get('/internal/recommendations').auth('root@shop.example', PASSWORD).expect(429);
});

test('logins without an account lock none out, others are limited', async () => {
  const { agent, as } = stage({ users: PEOPLE, variables: { RATE_LIMIT_LOGIN: '1', TRUST_PROXY: '1' } });
  const page = (address) => agent.get('/internal/recommendations').set('X-Forwarded-For', `203.0.113.${address}`);
  for (let address = 1; address <= 6; address += 1) await page(address).expect(401);
  await page(7).auth('root@shop.example', PASSWORD).expect(200);
  await page(7).set(as(1)).expect(200);
  const statuses = [];
  for (let address = 11; address <= 16; address += 1) statuses.push((await page(address).auth('root@shop.example', 'wrong')).status);

  assert.deepEqual(statuses, [401, 401, 401, 401, 401, 429]);
  await page(17).set(as(1)).expect(200); // a token is no guess
  await page(18).auth('ROOT@shop.example', PASSWORD).expect(429);
});

/** Return a token of HS256 with any claims and any key. */
function hmacSigned(claims, key, header = {}) {
  const text = `${segment({ alg: 'HS256', typ: 'JWT', ...header })}.${segment(claims)}`;
  return `${text}.${hmac(text, key)}`;
}

function hmac(text, key) {
  return createHmac('sha256', key).update(text).digest('base64url');
}

/** Ask with headers as they are, twice the same one included. */
async function rawGet(app, path, headers) {
  const server = http.createServer(app).listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    const asked = http.get({ port: server.address().port, host: '127.0.0.1', path, headers: ['Host', 'localhost', ...headers] });
    const [answer] = await once(asked, 'response');
    answer.resume();
    return { status: answer.statusCode };
  } finally {
    server.close();
  }
}
