/**
 * A server with the answers that the page knows, for development and for tests. It recommends by simple rules, keeps everything in
 * memory, and fails as it is told.
 */
import { randomUUID } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { adminRoutes } from './mockAdmin.js';
import { CATEGORIES, catalogue, picture } from './catalogue.js';
import { USERS, dueAgain, errorOf, inCart, latest, listFor, similarTo, togetherWith, trendingNow } from './mockShop.js';

const DIST = fileURLToPath(new URL('../dist', import.meta.url));
const TYPES = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml', '.json': 'application/json' };
// What the page needs. Styles are set by scripts, which the policy allows; there is no inline style or script.
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

export const PASSWORD = 'demo-shop';
/**
 * @typedef {object} Fault What to do instead of answering.
 * @property {number} [status]
 * @property {number} [retryAfter] s
 * @property {number} [delayMs] Before the answer.
 * @property {boolean} [isCut] End the connection without an answer.
 */

/**
 * Start a server.
 *
 * @param {{port?: number}} [options]
 */
export async function startMock({ port = 0 } = {}) {
  const state = newState();
  const server = createServer((req, res) => {
    void serve(state, req, res).catch((error) => {
      console.error(error);
      res.writeHead(500).end();
    });
  });
  const listen = () => new Promise((resolve) => server.listen(port, '127.0.0.1', () => resolve(undefined)));
  function addressOf() {
    const address = /** @type {import('node:net').AddressInfo} */ (server.address());
    return `http://127.0.0.1:${address.port}`;
  }
  async function stop() {
    const isClosed = new Promise((resolve) => server.close(resolve));
    server.closeAllConnections();
    await isClosed;
  }

  await listen();
  return Object.assign(state, {
    url: addressOf(),
    /** Forget everything that happened, and move to another port: what an earlier page still sends finds nobody. */
    async reset() {
      await stop();
      await listen();
      Object.assign(state, newState(), { url: addressOf() });
    },
    stop,
  });
}

function newState() {
  return {
    products: catalogue(),
    /** @type {{eventId: string, productId: any, actionCode: string, user: number | null, timestamp: string}[]} */
    events: [],
    /** @type {{method: string, path: string, body: any}[]} */
    requests: [],
    /** @type {Map<string, number>} */
    tokens: new Map(),
    /** @type {(request: {method: string, path: string, body: any}) => Fault | null | undefined} */
    fault: () => null,
    /** @type {Set<number>} users without a list */
    withoutList: new Set([3]),
    /** Changes an answer before it is sent. @type {(path: string, answer: any) => any} */
    change: (_path, answer) => answer,
  };
}

async function serve(state, req, res) {
  const url = new URL(req.url, 'http://mock');
  if (!url.pathname.startsWith('/api/')) return sendFile(url.pathname, res);
  const body = await bodyOf(req);
  const request = { method: req.method, path: url.pathname, body };
  state.requests.push(request);
  const fault = state.fault(request) ?? {};
  const { events } = state;
  if (fault.delayMs) await new Promise((resolve) => setTimeout(resolve, fault.delayMs));
  if (state.events !== events) return res.destroy(); // a request of an earlier test
  if (fault.isCut) return res.destroy();
  if (fault.status) {
    const headers = fault.retryAfter === undefined ? {} : { 'Retry-After': String(fault.retryAfter) };
    return sendJson(res, fault.status, { errCode: fault.status, message: 'As the test said.', requestId: randomUUID() }, headers);
  }
  const image = /^\/api\/products\/(\d+)\/image$/.exec(url.pathname);
  const pictured = image && state.products.find(({ id }) => id === Number(image[1]));
  if (pictured) return res.writeHead(200, { 'Content-Type': 'image/svg+xml', 'Cache-Control': 'max-age=3600' }).end(picture(pictured));
  const token = /^Bearer (.+)$/.exec(req.headers.authorization ?? '')?.[1] ?? body?.token;
  if (token && !state.tokens.has(token)) return sendJson(res, 403, errorOf(403, 'The token should be one of ours, and still good.'));
  const user = token ? state.tokens.get(token) : null;
  const [status, answer] = answerOf(state, { ...request, query: url.searchParams, user });
  const isList = url.pathname.startsWith('/api/recommendations/') && status === 200;
  const named = isList ? { ...answer, recommendation_id: `rec_other_${randomUUID().replaceAll('-', '')}`, arm: null } : answer;
  return sendJson(res, status, state.change(url.pathname, named));
}

function answerOf(state, request) {
  const { method, path, query, body, user } = request;
  const limit = Number(query.get('limit') ?? 10);
  const route = `${method} ${path.replace(/\/\d+(?=\/|$)/, '/:id')}`;
  const id = Number(/\/(\d+)(?:\/|$)/.exec(path)?.[1]);
  const known = state.products.find((product) => product.id === id);
  switch (route) {
    case 'GET /api/recommendations/list':
      return [200, listFor(state, user, limit)];
    case 'GET /api/recommendations/similar/:id':
      return known ? [200, similarTo(state, known, limit)] : [404, errorOf(404, 'There is no such product.')];
    case 'GET /api/recommendations/together':
      return [200, togetherWith(state, query.get('items').split(',').map(Number), user, limit)];
    case 'GET /api/recommendations/trending':
      return [200, trendingNow(state, user, limit)];
    case 'GET /api/recommendations/again':
      return [200, dueAgain(state, user, limit)];
    case 'GET /api/products':
      return [200, browse(state, query, limit)];
    case 'GET /api/products/:id':
      return known ? [200, { errCode: 0, data: known }] : [404, errorOf(404, 'There is no such product.')];
    case 'GET /api/viewed':
      return [200, { errCode: 0, data: latest(state, user, 'view').slice(0, limit) }];
    case 'GET /api/cart':
      return [200, { errCode: 0, data: inCart(state, user) }];
    case 'POST /api/interaction':
      return keep(state, user, body);
    case 'POST /api/auth/login':
      return logIn(state, body);
    default:
      return adminRoutes(state, { ...request, route, id }) ?? [404, errorOf(404, 'There is no such path.')];
  }
}

function browse(state, query, limit) {
  const order = query.get('sort') === 'new' ? (a, b) => b.id - a.id : (a, b) => b.reviews - a.reviews;
  const category = query.get('category');
  const found = state.products.filter(({ categoryId }) => !category || categoryId === category).toSorted(order);
  const page = Number(query.get('page') ?? 1);
  return {
    errCode: 0,
    data: found.slice((page - 1) * limit, page * limit),
    categories: Object.entries(CATEGORIES).map(([id, { name }]) => ({ id, name })),
    page,
    pages: Math.max(1, Math.ceil(found.length / limit)),
  };
}

function keep(state, user, body) {
  const { eventId, productId, actionCode, timestamp } = body ?? {};
  if (['impression', 'click'].includes(actionCode) && typeof body.recommendation_id === 'string') return [201, { errCode: 0 }];
  if (typeof eventId !== 'string' || !['view', 'cart', 'uncart', 'purchase'].includes(actionCode)) return [400, errorOf(400, 'Unusable.')];
  if (!state.products.some(({ id }) => id === productId)) return [404, errorOf(404, 'There is no such product.')];
  if (state.events.some((event) => event.eventId === eventId)) return [200, { errCode: 0 }];
  state.events.push({ eventId, productId, actionCode, timestamp, user });
  return [201, { errCode: 0 }];
}

function logIn(state, body) {
  const user = USERS.find(({ email }) => email === body?.email);
  if (!user || body.password !== PASSWORD) return [401, errorOf(401, 'The address and the password should belong together.')];
  const token = randomUUID();
  state.tokens.set(token, user.id);
  for (const event of state.events) if (event.user === null) event.user = user.id; // the guest joins the customer
  return [200, { errCode: 0, data: { token, expiresIn: 86_400, user } }];
}

async function bodyOf(req) {
  let text = '';
  for await (const part of req) text += part;
  try {
    return text ? JSON.parse(text) : null;
  } catch {
    return null;
  }
}

function sendJson(res, status, answer, headers = {}) {
  res.writeHead(status, { 'Content-Type': 'application/json', 'Cache-Control': 'private, no-store', ...headers }).end(JSON.stringify(answer));
}

function sendFile(path, res) {
  const file = join(DIST, normalize(path));
  const found = file.startsWith(DIST) && extname(file) && existsSync(file) ? file : join(DIST, 'index.html');
  if (extname(path) && !found.endsWith(extname(path))) return res.writeHead(404).end();
  res.writeHead(200, { 'Content-Type': TYPES[extname(found)] ?? 'application/octet-stream', 'Content-Security-Policy': POLICY });
  return createReadStream(found).pipe(res);
}
