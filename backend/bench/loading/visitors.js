/** What visitors send in a soak, and what they may get for it. */
import { tokenOf } from '../../test/web/stage.js';

export const PASSWORD = 'open sesame';
const LONGEST = 10; // products: fewer than anybody's shop has left
const LIST = '/api/recommendations/list';
const INIT = '/api/recommendations/init';
const CLEAR = '/api/recommendations/clear';
const EVENT = '/api/interaction';
const AWAY = 503; // what may be answered where nothing is possible without the database

// [share, kind]
const SHARES = [
  [0.5, 'list'],
  [0.1, 'init'],
  [0.1, 'similar'],
  [0.12, 'interaction'],
  [0.04, 'clear'],
  [0.04, 'login'],
  [0.1, 'bad'],
];

const MAKERS = {
  list: (random, { customer }) => listing('GET', LIST, random, customer),
  init: (random, { customer }) => listing('POST', INIT, random, customer),
  similar: (random, { customer, product }) => ({ ...listing('GET', `/api/recommendations/similar/${product}`, random, customer), isPersonal: false }),
  clear: (_random, { customer }) => ({ kind: 'clear', method: 'DELETE', path: CLEAR, as: customer, statuses: [200, AWAY] }),
  login: (_random, { customer }) => ({ ...posting('login', '/api/auth/login', { email: addressOf(customer), password: PASSWORD }), customer, statuses: [200, AWAY] }),
  bad: (random, { customer, product }) => pick(random, badRequests(customer, product)),
};

/** Return the address by which a customer logs in. */
export function addressOf(customer) {
  return `customer${customer}@shop.example`;
}

/** Return what the next visitor does, but for what he does to a product. */
export function nextKind(random) {
  let left = random();
  return (SHARES.find(([share]) => (left -= share) < 0) ?? SHARES[0])[1];
}

/**
 * Return a request.
 *
 * @param {string} kind Of `nextKind`, but for `interaction`.
 * @param {() => number} random
 * @param {{customer: number, product: number}} who
 */
export function visitOf(kind, random, who) {
  return MAKERS[kind](random, who);
}

/** Return a request that stores an interaction. */
export function interactionOf(customer, body) {
  return { ...posting('interaction', EVENT, body), as: customer, customer, statuses: [200, 201, 202, AWAY] };
}

export function pick(random, list) {
  return list[Math.floor(random() * list.length)];
}

function listing(method, path, random, customer) {
  const limit = 1 + Math.floor(random() * LONGEST);
  return { kind: 'list', method, path: `${path}?limit=${limit}`, as: customer, customer, limit, isPersonal: true, statuses: [200] };
}

function posting(kind, path, body) {
  return { kind, method: 'POST', path, body };
}

function badRequests(customer, product) {
  const event = { productId: product, actionCode: 'view' };
  const bad = (status, method, path, more = { as: customer }) => ({ kind: 'bad', method, path, statuses: [status], ...more });
  return [
    bad(401, 'GET', LIST, {}),
    bad(400, 'GET', `${LIST}?userId=${customer + 1}`),
    bad(400, 'GET', `${LIST}?limit=0`),
    bad(400, 'GET', `${LIST}?limit=1e2`),
    bad(400, 'GET', `${LIST}?colour=red`),
    bad(403, 'GET', LIST, { token: 'e30.e30.e30' }),
    bad(403, 'GET', LIST, { token: tokenOf(customer, {}, { secret: 'the secret of another shop, which is long' }) }),
    bad(400, 'GET', '/api/recommendations/similar/first'),
    bad(404, 'GET', '/api/recommendations/nothing'),
    bad(405, 'DELETE', LIST),
    bad(400, 'POST', EVENT, { as: customer, body: { ...event, actionCode: 'stare' } }),
    bad(400, 'POST', EVENT, { as: customer, body: '{"productId": ' }),
    bad(403, 'POST', EVENT, { as: customer, body: { ...event, userId: customer + 1 } }),
    bad(413, 'POST', EVENT, { as: customer, body: { ...event, eventId: 'x'.repeat(40_000) } }),
    { ...bad(403, 'GET', '/internal/recommendations'), statuses: [403, AWAY] },
  ];
}
