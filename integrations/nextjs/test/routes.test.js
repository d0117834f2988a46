/** The routes over HTTP: who asks, the names on both sides, and what happens while the service fails. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { KEY, Storefront, sessionOf } from './storefront.js';

const LIST = '/api/recommendations';
const TRACK = '/api/recommendations/track';
const NONE = { recommendations: [], algorithm: 'none', cached: false, recommendationId: null };
const KEPT = { success: false, logged_locally: true };
const GUEST = `guest_${'0123456789abcdef'.repeat(2)}`;
const VIEW = { interactionType: 'view', productId: 101, eventId: 'e-1' };
const FAILURES = ['away', 'forbidden', 'garbage', 'hangs'];
const HOUR_S = 3600;
const now = () => Math.floor(Date.now() / 1000);

/** @type {Storefront} */
let shop;
before(async () => {
  shop = await Storefront.start();
});
after(() => shop?.stop());
beforeEach(() => shop.reset());

async function get(path, cookie = '') {
  const response = await fetch(shop.url + path, { headers: { cookie } });
  return { status: response.status, cache: response.headers.get('cache-control'), body: await response.json() };
}

async function track(body, { cookie = '', type = 'application/json' } = {}) {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const response = await fetch(shop.url + TRACK, { method: 'POST', headers: { cookie, 'content-type': type }, body: text });
  return { status: response.status, cookies: response.headers.getSetCookie(), body: await response.json() };
}

const signedIn = (claims, options) => `_medusa_jwt=${sessionOf(claims, options)}`;
const userAsked = () => shop.service.asked.at(-1)?.query.user_id ?? null;

test('names are camelCase for the browser and snake_case for the service, which gets the key', async () => {
  const { status, cache, body } = await get(`${LIST}?context=product_page&productId=101&productHandle=tea&sessionId=s1&limit=3`, signedIn({ sub: '7' }));

  const [{ query, path, authorization }] = shop.service.asked;
  assert.deepEqual(query, { user_id: '7', session_id: 's1', product_id: '101', product_handle: 'tea', context: 'product_page', limit: '3' });
  assert.deepEqual([path, authorization], ['/recommendations', `Bearer ${KEY}`]);
  assert.deepEqual([status, cache, body.algorithm, body.recommendationId], [200, 'private, no-store', 'ENCM', 'rec_1']);
  const expected = { id: 101, handle: null, title: 'Tea 101', thumbnail: null, price: 5.5, currency: null, score: 0.9, reason: { code: 'viewed', itemId: 7 } };
  assert.deepEqual(body.recommendations[0], expected);
  assert.equal(JSON.stringify(body).includes('_id'), false);
});

test('who asks comes from the session cookie alone', async () => {
  const claims = { iat: now(), exp: now() + HOUR_S };
  const medusa = { actor_type: 'customer', actor_id: 'cus_1' };
  const cases = [
    ['a customer', signedIn({ sub: '7' }), '7'],
    ['a number', signedIn({ sub: 7 }), '7'],
    ['a customer of Medusa', signedIn(medusa), 'cus_1'],
    ['an administrator of Medusa', signedIn({ ...medusa, actor_type: 'user', sub: '7' }), null],
    ['nobody', '', null],
    ['a guest', `recsys_guest_id=${GUEST}`, GUEST],
    ['a customer who was a guest', `recsys_guest_id=${GUEST}; ${signedIn({ sub: '7' })}`, '7'],
    ['a guest who claims to be a customer', 'recsys_guest_id=cus_1', null],
    ['a customer with the id of a guest', signedIn({ sub: GUEST }), null],
    ['another secret', signedIn({ sub: '7' }, { secret: 'x'.repeat(32) }), null],
    ['no algorithm', signedIn({ sub: '7' }, { header: { alg: 'none' } }), null],
    ['an extension', signedIn({ sub: '7' }, { header: { alg: 'HS256', crit: ['x'] } }), null],
    ['expired', signedIn({ sub: '7', exp: now() - 1 }), null],
    ['too old', signedIn({ sub: '7', iat: now() - 25 * HOUR_S, exp: now() + HOUR_S }), null],
    ['of the future', signedIn({ sub: '7', iat: now() + HOUR_S, exp: now() + 2 * HOUR_S }), null],
    ['not yet', signedIn({ sub: '7', nbf: now() + HOUR_S }), null],
    ['no moment', signedIn({ sub: '7', iat: null }), null],
    ['a list', signedIn({ ...claims, sub: ['7'] }), null],
    ['no token', '_medusa_jwt=7', null],
    ['damaged', `${signedIn({ sub: '7' })}x`, null],
  ];
  for (const [what, cookie, user] of cases) {
    await get(`${LIST}?userId=8&user_id=8`, cookie);
    assert.equal(userAsked(), user, what);
  }
});

test('a service that fails is an empty list, at once and with 200', async () => {
  for (const mode of FAILURES) {
    shop.service.mode = mode;
    for (const path of [LIST, `${LIST}/similar?productId=101`]) {
      const { status, body } = await get(path);
      assert.deepEqual({ mode, path, status, body }, { mode, path, status: 200, body: NONE });
    }
  }
});

test('a request that is wrong is told so with the names of the browser; an unknown product has an empty list', async () => {
  const missing = await get(`${LIST}/similar`);
  assert.deepEqual([missing.status, missing.body.error.message], [400, '`productId` should be given. Received: nothing.']);
  assert.equal(shop.service.asked.length, 0);

  shop.service.mode = 'refused';
  const refused = await get(`${LIST}?productId=x`);
  assert.deepEqual([refused.status, refused.body.error.message], [400, '`productId` should be an id of the shop. Received: another text.']);

  shop.service.mode = 'unknown';
  const unknown = await get(`${LIST}/similar?productId=999`);
  assert.deepEqual([unknown.status, unknown.body], [200, NONE]);
});

test('similar products are asked for without a user', async () => {
  const { body } = await get(`${LIST}/similar?productId=101&limit=4&userId=8`, signedIn({ sub: '7' }));

  assert.deepEqual([shop.service.asked[0].path, shop.service.asked[0].query], ['/api/v1/recommendations/similar', { product_id: '101', limit: '4' }]);
  assert.equal(body.recommendations.length, 8);
});

test('an event is stored for whoever has the cookie', async () => {
  const sent = { ...VIEW, sessionId: 's1', recommendationId: 'rec_1', position: 2, metadata: { price: 5 }, userId: 8, user_id: 8 };
  const { status, cookies, body } = await track(sent, { cookie: signedIn({ sub: '7' }) });

  assert.deepEqual([status, cookies, body], [200, [], { success: true, interactionId: 'int_1' }]);
  const fields = { event_id: 'e-1', session_id: 's1', recommendation_id: 'rec_1', position: 2, metadata: { price: 5 } };
  assert.deepEqual(shop.service.events(), [{ user_id: '7', interaction_type: 'view', product_id: 101, ...fields }]);
});

test('the first event of a guest sets a cookie that scripts cannot read, a list sets none', async () => {
  assert.equal((await fetch(shop.url + LIST)).headers.getSetCookie().length, 0);
  const first = await track(VIEW);

  const [{ user_id: user }] = shop.service.events();
  assert.match(user, /^guest_[0-9a-f]{32}$/);
  assert.match(first.cookies[0], new RegExp(`^recsys_guest_id=${user}; Path=/; .*HttpOnly; SameSite=lax$`, 'i'));
  await track(VIEW, { cookie: `recsys_guest_id=${user}` });
  assert.equal(shop.service.events()[1].user_id, user);
});

test('the first events of a visit are of one guest, whichever answer comes first', async () => {
  const [one, other] = ['1', '2'].map((digit) => `session_${digit.repeat(32)}`);
  for (const sessionId of [one, one, other, 'short', 'short', undefined]) await track({ ...VIEW, sessionId });

  const users = shop.service.events().map(({ user_id: user }) => user);
  assert.equal(users[0], users[1]);
  assert.equal(new Set(users).size, 5);
  for (const user of users) assert.match(user, /^guest_[0-9a-f]{32}$/);
});

test('an event that cannot be stored is kept by the browser', async () => {
  for (const mode of FAILURES) {
    shop.service.mode = mode;
    const { status, body } = await track(VIEW);
    assert.deepEqual({ mode, status, body }, { mode, status: 200, body: KEPT });
  }
});

test('an event that no attempt would mend is refused', async () => {
  const cases = [
    ['no JSON', '{', {}, 400],
    ['a list', '[]', {}, 400],
    ['nothing', 'null', {}, 400],
    ['a form, which other sites may send', VIEW, { type: 'text/plain' }, 415],
    ['too long', { ...VIEW, metadata: { text: 'x'.repeat(20_000) } }, {}, 413],
  ];
  for (const [what, body, options, status] of cases) {
    const answer = await track(body, options);
    assert.deepEqual([what, answer.status, answer.body.success, answer.body.logged_locally], [what, status, false, false]);
  }
  assert.equal(shop.service.asked.length, 0);

  for (const [mode, status] of [['refused', 400], ['unknown', 404]]) {
    shop.service.mode = mode;
    const answer = await track(VIEW);
    assert.deepEqual([answer.status, answer.body.logged_locally], [status, false]);
  }
});

test('an event that waited for its owner is never counted for somebody else', async () => {
  const tagIn = async (cookie) => /\\?"visitor\\?":\\?"([0-9a-z]+)/.exec(await (await fetch(shop.url, { headers: { cookie } })).text())?.[1];
  const [seven, eight] = [signedIn({ sub: '7' }), signedIn({ sub: '8' })];
  const visitor = await tagIn(seven);
  assert.match(visitor, /^[0-9a-f]{16}$/);
  assert.equal(await tagIn(''), 'guest');
  assert.notEqual(await tagIn(eight), visitor);
  shop.reset();

  for (const cookie of [eight, '', `recsys_guest_id=${GUEST}`]) {
    const { status, body } = await track({ ...VIEW, visitor }, { cookie });
    assert.deepEqual([status, body], [200, KEPT]);
  }
  assert.equal(shop.service.asked.length, 0);
  await track({ ...VIEW, visitor }, { cookie: seven });
  await track({ ...VIEW, visitor: 'guest' }, { cookie: `${seven}; recsys_guest_id=${GUEST}` });
  assert.deepEqual(shop.service.events().map(({ user_id: user }) => user), ['7', '7']); // a guest's is the customer's who has signed in since
});

test('what a guest did joins the customer who signs in, once, and again while the service is away', async () => {
  const both = `${signedIn({ sub: '7' })}; recsys_guest_id=${GUEST}`;
  const joins = () => shop.service.asked.filter(({ path }) => path === '/track/join').map(({ body }) => body);
  const cases = [[both, 'answers', 1, true], [both, 'away', 1, false], [signedIn({ sub: '7' }), 'answers', 0, false], [`recsys_guest_id=${GUEST}`, 'answers', 0, false]];
  for (const [cookie, mode, nJoins, isEnded] of cases) {
    shop.reset();
    shop.service.mode = mode;
    const { cookies } = await track(VIEW, { cookie });
    assert.deepEqual(joins(), Array(nJoins).fill({ guest_id: GUEST, user_id: '7' }));
    assert.equal(cookies.some((one) => /^recsys_guest_id=;.*Max-Age=0/i.test(one)), isEnded, `${cookie} ${mode} ${cookies}`);
  }
});
