/** The random requests of a soak, and the statuses they may get. */
import { tokenOf } from '../../test/web/stage.js';

export const PASSWORD = 'open sesame';
const LONGEST = 10; // products of a list; every shop has more
const LIST = '/api/recommendations/list';
const INIT = '/api/recommendations/init';
const CLEAR = '/api/recommendations/clear';
const EVENT = '/api/interaction';
const UNAVAILABLE = 503; // allowed where the database is needed

// [share, kind]
const SHARES = [
  [0.45, 'list'],
  [0.05, 'guest'],
  [0.1, 'init'],
  [0.1, 'similar'],
  [0.12, 'interaction'],
  [0.04, 'clear'],
  [0.04, 'login'],
  [0.1, 'bad'],
];

const MAKERS = {
  list: (random, { user }) => listing('GET', LIST, random, user),
  init: (random, { user }) => listing('POST', INIT, random, user),
  guest: (random) => ({ ...listing('GET', LIST, random), isPersonal: false }),
  similar: (random, { user, product }) => ({ ...listing('GET', `/api/recommendations/similar/${product}`, random, user), isPersonal: false }),
  clear: (_random, { user }) => ({ kind: 'clear', method: 'DELETE', path: CLEAR, as: user, statuses: [200, UNAVAILABLE] }),
  login: (_random, { user }) => ({ ...posting('login', '/api/auth/login', { email: addressOf(user), password: PASSWORD }), user, statuses: [200, UNAVAILABLE] }),
  bad: (random, { user, product }) => pick(random, badRequests(user, product)),
};

/** Return the address with which a user logs in. */
export function addressOf(user) {
  return `customer${user}@shop.example`;
}

/** Return the kind of the next request. */
export function nextKind(random) {
  let rest = random();
  return (SHARES.find(([share]) => (rest -= share) < 0) ?? SHARES[0])[1];
}

/**
 * Return a random request of a kind.
 *
 * @param {string} kind What `nextKind` returns, except `interaction`.
 * @param {() => number} random From 0 to 1.
 * @param {{user: number, product: number}} subject
 */
export function requestOf(kind, random, subject) {
  return MAKERS[kind](random, subject);
}

/** Return a request that stores an interaction. */
export function interactionOf(user, body) {
  return { ...posting('interaction', EVENT, body), as: user, user, statuses: [200, 201, 202, UNAVAILABLE] };
}

export function pick(random, list) {
  return list[Math.floor(random() * list.length)];
}

function listing(method, path, random, user = undefined) {
  const limit = 1 + Math.floor(random() * LONGEST);
  return { kind: 'list', method, path: `${path}?limit=${limit}`, as: user, user, limit, isPersonal: true, statuses: [200] };
}

function posting(kind, path, body) {
  return { kind, method: 'POST', path, body };
}

function badRequests(user, product) {
  const event = { productId: product, actionCode: 'view' };
  const bad = (status, method, path, more = { as: user }) => ({ kind: 'bad', method, path, statuses: [status], ...more });
  return [
    bad(401, 'DELETE', CLEAR, {}),
    bad(400, 'GET', `${LIST}?userId=${user + 1}`),
    bad(400, 'GET', `${LIST}?limit=0`),
    bad(400, 'GET', `${LIST}?limit=1e2`),
    bad(400, 'GET', `${LIST}?colour=red`),
    bad(403, 'GET', LIST, { token: 'e30.e30.e30' }),
    bad(403, 'GET', LIST, { token: tokenOf(user, {}, { secret: 'the secret of another shop, which is long' }) }),
    bad(400, 'GET', '/api/recommendations/similar/first'),
    bad(404, 'GET', '/api/recommendations/nothing'),
    bad(405, 'DELETE', LIST),
    bad(400, 'POST', EVENT, { as: user, body: { ...event, actionCode: 'stare' } }),
    bad(400, 'POST', EVENT, { as: user, body: '{"productId": ' }),
    bad(403, 'POST', EVENT, { as: user, body: { ...event, userId: user + 1 } }),
    bad(413, 'POST', EVENT, { as: user, body: { ...event, eventId: 'x'.repeat(40_000) } }),
    { ...bad(403, 'GET', '/internal/recommendations'), statuses: [403, UNAVAILABLE] },
  ];
}
