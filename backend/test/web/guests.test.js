/** Guests over HTTP: their cookie, their interactions, and the login that makes them customers. */
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

import { ConnectionRefusedError } from 'sequelize';

import { GUEST_MS, GuestCookie } from '../../src/middlewares/guestCookie.js';
import { GuestEvents } from '../../src/services/guestEvents.js';
import { InteractionService } from '../../src/services/interactionService.js';
import { SpoolFailed, openSpool } from '../../src/services/spool/spool.js';
import { VisitorHistory } from '../../src/services/visitorHistory.js';
import { onBothDatabases } from '../core/databases.js';
import { eventually } from '../harness.js';
import { PRODUCT, SECRET, listeningLog, settingsWith, stage, tokenOf } from './stage.js';

const ROOT = mkdtempSync(path.join(tmpdir(), 'guests-'));
const LIST = '/api/recommendations/list';
const GUEST = '0123456789abcdef0123456789abcdef';
const OTHER = 'fedcba9876543210fedcba9876543210';
const VIEW = { productId: 110, actionCode: 'view', eventId: 'event-0001' };
const LATE = new Date(Date.now() - 86_400_000);

/** Return the text of a cookie that the server has signed. */
function cookieOf(id, { now = Date.now(), secret = SECRET } = {}) {
  let text = '';
  new GuestCookie(settingsWith({ JWT_SECRET: secret }), () => now).set({ secure: false }, { cookie: (name, value) => (text = `${name}=${value}`) }, id);
  return text;
}

const [NAME, VALUE] = cookieOf(GUEST).split('=');
const [, MOMENT] = VALUE.split('.');
const signedWith = (key) => `${NAME}=${GUEST}.${MOMENT}.${createHmac('sha256', key).update(`${GUEST}.${MOMENT}`).digest('base64url')}`;
for (const [what, cookie, id] of [
  ['ours', cookieOf(GUEST), GUEST],
  ['ours, between others', `a=b; ${cookieOf(GUEST)}; c="d;e"`, GUEST],
  ['ours, behind one that is forged', `${NAME}=x; ${cookieOf(GUEST)}`, GUEST],
  ['almost too old', cookieOf(GUEST, { now: Date.now() - GUEST_MS + 60_000 }), GUEST],
  ['too old', cookieOf(GUEST, { now: Date.now() - GUEST_MS }), null],
  ['of another server', cookieOf(GUEST, { secret: 'another secret that is long enough as well' }), null],
  ['of another guest with this signature', cookieOf(GUEST).replace(GUEST, OTHER), null],
  ['of another moment with this signature', cookieOf(GUEST).replace(`.${MOMENT}.`, `.${Number(MOMENT) + 1}.`), null],
  ['signed with the secret of the tokens itself', signedWith(SECRET), null],
  ['without a signature', `${NAME}=${GUEST}.${MOMENT}.`, null],
  ['cut off', cookieOf(GUEST).slice(0, -1), null],
  ['a token', `${NAME}=${tokenOf(7)}`, null],
  ['empty', `${NAME}=`, null],
  ['a name alone', NAME, null],
  ['16 KB', `${NAME}=${'x'.repeat(16_000)}`, null],
  ['behind hundreds of others', `${'a=b; '.repeat(500)}${cookieOf(GUEST)}`, null],
  ['with a name that only ends like ours', `not_${cookieOf(GUEST)}`, null],
  ['none', undefined, null],
]) {
  test(`a cookie that is ${what} ${id === null ? 'names nobody, and is no error' : 'names the guest'}`, async () => {
    const { agent, asked } = stage();
    const answer = await agent.get(LIST).set(cookie === undefined ? {} : { Cookie: cookie }).expect(200);

    assert.deepEqual(asked.map(([name, guestId]) => [name, guestId]), [['listForGuest', id]]);
    assert.equal(answer.headers['set-cookie'], undefined);
    assert.equal(answer.headers['cache-control'], 'private, no-store');
  });
}

test('a guest gets a cookie with the first interaction that is kept, and the same id with the next', async () => {
  const { agent, asked } = stage();
  const first = await agent.post('/api/interaction').send(VIEW).expect(201);
  const [cookie, ...attributes] = first.headers['set-cookie'][0].split('; ');
  await agent.post('/api/interaction').set('Cookie', cookie).send(VIEW).expect(201);
  await agent.get('/api/viewed?limit=3').set('Cookie', cookie).expect(200);
  await agent.get('/api/cart').set('Cookie', cookie).expect(200);
  await agent.get('/api/recommendations/similar/110').set('Cookie', cookie).expect(200);
  await agent.post('/api/recommendations/init?device=mobile').set('Cookie', cookie).expect(200);

  const [[, { guestId, ...interaction }]] = asked;
  assert.match(guestId, /^[0-9a-f]{32}$/);
  assert.deepEqual(interaction, VIEW);
  assert.deepEqual(attributes.map((text) => text.replace(/Expires=.*/, 'Expires')).sort(), ['Expires', 'HttpOnly', 'Max-Age=2592000', 'Path=/', 'SameSite=Lax']);
  assert.deepEqual(asked.slice(1), [
    ['record', { ...VIEW, guestId }],
    ['viewed', { userId: null, guestId }, 3],
    ['cart', { userId: null, guestId }],
    ['similar', 110, { limit: 10, userId: null, guestId }],
    ['listForGuest', guestId, { limit: 10, device: 'mobile', isNew: true }],
  ]);
});

test('over https the cookie is only for https', async () => {
  const { agent } = stage({ variables: { TRUST_PROXY: '1' } });
  const secure = await agent.post('/api/interaction').set('X-Forwarded-Proto', 'https').send(VIEW);
  const forged = await stage().agent.post('/api/interaction').set('X-Forwarded-Proto', 'https').send(VIEW);

  assert.match(secure.headers['set-cookie'][0], /; Secure/);
  assert.doesNotMatch(forged.headers['set-cookie'][0], /; Secure/); // no proxy is trusted
});

test('an interaction that is not kept brings no cookie, nor does a user’s', async () => {
  const interactions = { record: async () => Promise.reject(new SpoolFailed('full')) };
  const lost = await stage({ services: { interactions } }).agent.post('/api/interaction').send(VIEW).expect(503);
  const { agent, as, asked } = stage();
  const refused = await agent.post('/api/interaction').send({ ...VIEW, userId: 7 }).expect(403);
  const own = await agent.post('/api/interaction').set(as(7)).set('Cookie', cookieOf(GUEST)).send(VIEW).expect(201);

  for (const { headers } of [lost, refused, own]) assert.equal(headers['set-cookie'], undefined);
  assert.deepEqual(asked, [['record', { ...VIEW, userId: 7 }]]);
});

test('what a user sees is the user’s, whatever the cookie says', async () => {
  const { agent, as, asked } = stage();
  const viewed = await agent.get('/api/viewed').set(as(7)).set('Cookie', cookieOf(GUEST)).expect(200);
  await agent.get('/api/cart').set(as(7)).set('Cookie', cookieOf(GUEST)).expect(200);

  assert.deepEqual(viewed.body, { errCode: 0, data: [PRODUCT] });
  assert.deepEqual(asked, [['viewed', { userId: 7, guestId: null }, 10], ['cart', { userId: 7, guestId: null }]]);
});

test('each guest has a limit, and those without a cookie only that of the address', async () => {
  const { agent } = stage({ variables: { RATE_LIMIT_USER: '1' } });
  for (const [cookie, status] of [[GUEST, 200], [GUEST, 429], [OTHER, 200]]) await agent.get(LIST).set('Cookie', cookieOf(cookie)).expect(status);
  for (let n = 0; n < 5; n += 1) await agent.get(LIST).expect(200);
});

const EXPIRED = tokenOf(7, { exp: Math.floor(Date.now() / 1000) - 1 });
for (const [what, token, headers, status] of [
  ['a token in the body', tokenOf(7), {}, 201],
  ['an expired token in the body', EXPIRED, {}, 403],
  ['an expired token in the header', undefined, { Authorization: `Bearer ${EXPIRED}` }, 403],
  ['a closed account’s token in the body', tokenOf(9), {}, 403],
  ['an empty token in the body', '', {}, 401],
  ['a number as token', 7, {}, 401],
  ['a list as token', [tokenOf(7)], {}, 401],
  ['null as token', null, {}, 401],
  ['a token in the body and one in the header', tokenOf(7), { Authorization: `Bearer ${tokenOf(7)}` }, 401],
  ['an empty header and a token in the body', tokenOf(7), { Authorization: '' }, 401],
]) {
  test(`an interaction with ${what} is answered with ${status}`, async () => {
    const { agent, asked, lines } = stage();
    const answer = await agent.post('/api/interaction').set(headers).send({ ...VIEW, token });

    assert.equal(answer.status, status);
    assert.deepEqual(asked, status === 201 ? [['record', { ...VIEW, userId: 7 }]] : []);
    assert.equal(answer.headers['set-cookie'], undefined);
    if (String(token).length > 20) assert.ok(!`${answer.text}${JSON.stringify(lines)}`.includes(String(token)));
  });
}

test('no other route takes a token in the body', async () => {
  const { agent, asked } = stage();
  const answer = await agent.post('/api/auth/login').send({ email: 'a', password: 'b', token: tokenOf(7) }).expect(400);

  assert.doesNotMatch(answer.text, /eyJ/);
  assert.deepEqual(asked, []);
});

test('a form of another site can do nothing in a guest’s name', async () => {
  const { agent, asked } = stage();
  for (const type of ['application/x-www-form-urlencoded', 'multipart/form-data; boundary=x', 'text/plain']) {
    await agent.post('/api/interaction').set('Cookie', cookieOf(GUEST)).set('Content-Type', type).send(JSON.stringify(VIEW)).expect(415);
    await agent.post('/api/auth/login').set('Cookie', cookieOf(GUEST)).set('Content-Type', type).send('{"email":"a","password":"b"}').expect(415);
  }
  assert.deepEqual(asked, []);
});

const ACCOUNT = { token: tokenOf(7), expiresIn: 60, user: { id: 7, email: 'a@b.example', roleId: 'R2' } };
const login = (services, cookie) => {
  const staged = stage({ services: { auth: { login: async () => ACCOUNT }, ...services } });
  const asking = staged.agent.post('/api/auth/login').set(cookie ? { Cookie: cookie } : {});
  return asking.send({ email: 'a@b.example', password: 'x' }).then((answer) => ({ ...staged, answer }));
};

for (const [what, cookie, joined, isCleared] of [
  ['a guest’s', cookieOf(GUEST), [['join', GUEST, 7]], true],
  ['a forged', `${NAME}=x`, [], true],
  ['no', undefined, [], false],
]) {
  test(`a login with ${what} cookie ${joined.length > 0 ? 'joins what the guest did' : 'joins nothing'}`, async () => {
    const { answer, asked } = await login({}, cookie);

    assert.deepEqual([answer.status, answer.body.data.token, asked], [200, ACCOUNT.token, joined]);
    assert.equal(/^recsys_guest=;.*Expires=Thu, 01 Jan 1970/.test(answer.headers['set-cookie']?.[0] ?? ''), isCleared);
  });
}

test('F65 a login succeeds if nothing can join, and the guest stays a guest', async () => {
  for (const failure of [new SpoolFailed('full'), new Error('a defect')]) {
    const { answer, lines } = await login({ interactions: { join: async () => Promise.reject(failure) } }, cookieOf(GUEST));

    assert.deepEqual([answer.status, answer.body.data.token, answer.headers['set-cookie']], [200, ACCOUNT.token, undefined]);
    assert.ok(lines.some(({ msg }) => /could not join/.test(msg)));
  }
});

test('a wrong password joins nothing', async () => {
  const { answer, asked } = await login({ auth: { login: async () => null } }, cookieOf(GUEST));
  assert.deepEqual([answer.status, answer.headers['set-cookie'], asked], [401, undefined, []]);
});

/** Return the services of interactions, with a spool of their own. */
async function servicesOf({ models, sequelize }, { folder = mkdtempSync(path.join(ROOT, 'spool-')), ...more } = {}) {
  const { log, lines } = listeningLog();
  const guests = new GuestEvents({ sequelize, models, log });
  const joined = [];
  const onJoined = async (userId) => void joined.push(userId);
  const spool = await openSpool({ folder, maxBytes: 1 << 20, log });
  const interactions = new InteractionService({ models, spool, guests, onJoined, log, ...more });
  return { guests, interactions, spool, folder, joined, lines, history: new VisitorHistory({ sequelize, guests }) };
}

const away = () => Promise.reject(new ConnectionRefusedError(Object.assign(new Error('ECONNREFUSED'), { code: 'ECONNREFUSED' })));
const absent = (models) => ({ ...models, Product: { findByPk: away }, GuestEvent: { create: away }, Interaction: { create: away } });

onBothDatabases((shopTest) => {
  const guestTest = (sentence, scenario) =>
    shopTest(sentence, async (shop) => {
      const product = (id, statusId = 'S1') => ({ id, name: `Tea ${id}`, statusId, view: id });
      await shop.models.Product.bulkCreate([product(110), product(111), product(112), product(113, 'S2')]);
      await scenario({ ...shop, ...(await servicesOf(shop)) });
    });

  guestTest('a guest’s interaction is stored once, and belongs to the guest who sent it last', async ({ interactions, models }) => {
    const one = { ...VIEW, guestId: GUEST, device: 'mobile', timestamp: LATE };
    const answers = [await interactions.record(one), await interactions.record(one), await interactions.record({ ...one, guestId: OTHER })];
    const rows = await models.GuestEvent.findAll({ raw: true });
    await assert.rejects(interactions.record({ ...one, actionCode: 'cart' }), { name: 'EventConflict' });
    await assert.rejects(interactions.record({ ...one, productId: 4711, eventId: 'event-0002' }), { name: 'UnknownProduct' });

    assert.deepEqual(answers.map(({ stored, duplicate }) => [stored, duplicate]), [[true, false], [false, true], [false, true]]);
    assert.deepEqual(rows.map(({ guestId, productId, device_type: device }) => [guestId, productId, device]), [[OTHER, 110, 'mobile']]);
    assert.equal(await models.Interaction.count(), 0);
    await interactions.close();
  });

  guestTest('what was viewed and lies in the cart, of guests and of users', async ({ interactions, history }) => {
    const acts = ['view 110', 'view 111', 'cart 110', 'view 113', 'cart 113', 'cart 111', 'cart 112', 'uncart 112', 'view 112', 'view 110'];
    for (const owner of [{ guestId: GUEST }, { userId: 7 }]) {
      for (const [n, act] of acts.entries()) {
        const [actionCode, id] = act.split(' ');
        const event = { actionCode, productId: Number(id), eventId: `event-${owner.userId}-${n}`, timestamp: new Date(LATE.getTime() + 1000 * n) };
        await interactions.record({ ...event, ...owner });
      }
      const visitor = { userId: null, guestId: null, ...owner };
      const ids = (products) => products.map(({ id }) => id);

      assert.deepEqual(ids(await history.viewed(visitor, 10)), [110, 112, 111]);
      assert.deepEqual(ids(await history.viewed(visitor, 2)), [110, 112]);
      assert.deepEqual(ids(await history.cart(visitor)), [111, 110]);
      assert.equal((await history.cart(visitor))[0].name, 'Tea 111');
      await interactions.record({ actionCode: 'purchase', productId: 111, eventId: `event-${owner.userId}-p`, ...owner });
      assert.deepEqual(ids(await history.cart(visitor)), [110]);
    }
    for (const visitor of [{ userId: 8, guestId: null }, { userId: null, guestId: OTHER }, { userId: null, guestId: null }]) {
      assert.deepEqual([await history.viewed(visitor, 10), await history.cart(visitor)], [[], []]);
    }
    await interactions.close();
  });

  guestTest('a cart of more than 30 days is forgotten', async ({ history, models }) => {
    const row = { userId: 7, actionCode: 'cart' };
    const before = (days) => new Date(Date.now() - days * 86_400_000);
    await models.Interaction.bulkCreate([{ ...row, productId: 110, timestamp: before(31) }, { ...row, productId: 111, timestamp: before(29) }]);
    assert.deepEqual((await history.cart({ userId: 7, guestId: null })).map(({ id }) => id), [111]);
  });

  guestTest('F65 what a guest did during an outage joins after the outage, in order, once', async ({ models, sequelize }) => {
    const during = await servicesOf({ models: absent(models), sequelize });
    assert.equal((await during.interactions.record({ ...VIEW, guestId: GUEST })).spooled, true);
    await during.interactions.join(GUEST, 7); // the event waits, and so does the join
    await during.interactions.join(GUEST, 7);
    assert.equal((await during.interactions.record({ ...VIEW, userId: 7 })).duplicate, true); // from the page, with the token
    await during.interactions.close();
    assert.equal(await models.Interaction.count(), 0);

    const after = await servicesOf({ models, sequelize }, { folder: during.folder });
    assert.equal(after.spool.pending, 3); // each join comes after what waited before it
    assert.deepEqual(await after.interactions.drain(), { stored: 3, duplicate: 0, rejected: 0 });
    const rows = await models.Interaction.findAll({ raw: true });
    assert.deepEqual(rows.map(({ userId, eventId }) => [userId, eventId]), [[7, VIEW.eventId]]);
    assert.deepEqual([await models.GuestEvent.count(), after.joined], [0, [7]]);
    assert.equal((await after.interactions.record({ ...VIEW, userId: 7 })).duplicate, true);
    await after.interactions.close();
  });

  guestTest('F65 an event that is stored after the login of its guest joins, too', async ({ models, sequelize }) => {
    const { interactions, joined } = await servicesOf({ models, sequelize });
    await interactions.join(GUEST, 7);
    assert.equal(interactions.hasJoined(GUEST), true);
    await interactions.record({ ...VIEW, guestId: GUEST }); // it was under way at the login
    await eventually(async () => assert.equal(await models.Interaction.count({ where: { userId: 7 } }), 1));
    await eventually(() => assert.deepEqual(joined, [7]));
    await interactions.close();
  });

  guestTest('F65 a join that fails in the database waits in the spool', async ({ models, sequelize }) => {
    const failing = await servicesOf({ models, sequelize }, { guests: { join: away } });
    await failing.interactions.record({ ...VIEW, guestId: GUEST });
    await failing.interactions.join(GUEST, 7);
    assert.equal(failing.spool.pending, 1);
    await failing.interactions.close();

    const after = await servicesOf({ models, sequelize }, { folder: failing.folder });
    after.interactions.start();
    await eventually(async () => assert.equal(await models.Interaction.count({ where: { userId: 7 } }), 1));
    await eventually(() => assert.deepEqual(after.joined, [7]));
    await after.interactions.close();
  });

  guestTest('a user without a guest’s events keeps the list', async ({ interactions, joined }) => {
    await interactions.join(GUEST, 7);
    assert.deepEqual(joined, []);
    await interactions.close();
  });

  guestTest('F66 before the table is made, a guest’s interaction is not acknowledged, and delays no user’s', async ({ interactions, models, sequelize, folder, spool }) => {
    await spool.append('event-0009', { ...VIEW, guestId: GUEST, eventId: 'event-0009', device: null, timestamp: LATE.toISOString() });
    await sequelize.query('ALTER TABLE rec_guest_events RENAME TO rec_guest_events_kept');
    try {
      await assert.rejects(interactions.record({ ...VIEW, guestId: GUEST }), { name: 'SpoolFailed', message: /train\.py/ });
      assert.equal((await interactions.record({ ...VIEW, userId: 7 })).stored, true);
      assert.equal((await interactions.drain()).rejected, 1);
    } finally {
      await sequelize.query('ALTER TABLE rec_guest_events_kept RENAME TO rec_guest_events');
    }
    assert.match(readFileSync(path.join(folder, 'rejected.jsonl'), 'utf8'), /event-0009/);
    assert.equal(await models.Interaction.count(), 1);
    await interactions.close();
  });
});
