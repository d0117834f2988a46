/** A recommendation service that remembers what it was asked, and fails as a test wants. */
import { createServer } from 'node:http';

const REASON = { code: 'viewed', item_id: 7, category: null };
const PRODUCTS = Array.from({ length: 8 }, (_, index) => ({
  id: 101 + index,
  handle: index === 1 ? 'tea & honey' : null,
  title: index === 2 ? '<img src=x onerror="globalThis.isHacked = true">' : `Tea ${101 + index}`,
  thumbnail: null,
  price: index === 3 ? null : 5.5,
  currency: index === 4 ? 'eur' : null,
  score: 0.9 - index / 100,
  reason: index === 0 ? REASON : null,
}));

export class MockService {
  /** @type {{method: string, path: string, query: Record<string, string>, body: any, authorization: string | undefined}[]} */
  asked = [];
  /** What happens to requests: answered, or 'away' (503), 'forbidden' (403), 'refused' (400), 'unknown' (404), 'garbage', 'hangs'. */
  mode = 'answers';
  url = '';
  #server = createServer((request, response) => void this.#handle(request, response));

  async start() {
    await new Promise((resolve) => this.#server.listen(0, '127.0.0.1', () => resolve(null)));
    this.url = `http://127.0.0.1:${/** @type {any} */ (this.#server.address()).port}`;
  }

  reset() {
    this.asked = [];
    this.mode = 'answers';
  }

  stop() {
    this.#server.closeAllConnections();
    return new Promise((resolve) => this.#server.close(resolve));
  }

  /** The bodies of events, of all types or of one. */
  events(type = null) {
    return this.asked.filter(({ path, body }) => path === '/track' && (type === null || body.interaction_type === type)).map(({ body }) => body);
  }

  async #handle(request, response) {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const { pathname: path, searchParams } = new URL(request.url, 'http://service');
    const body = chunks.length ? JSON.parse(Buffer.concat(chunks).toString()) : null;
    this.asked.push({ method: request.method, path, query: Object.fromEntries(searchParams), body, authorization: request.headers.authorization });
    if (this.mode === 'hangs') return;
    const [status, text] = this.#answer(path);
    response.writeHead(status, { 'content-type': 'application/json' }).end(text);
  }

  /** @returns {[number, string]} */
  #answer(path) {
    const failure = (code, message) => JSON.stringify({ ok: false, error: { code, message, retryable: false } });
    const failures = {
      away: [503, failure('database_unavailable', 'The database is away.')],
      forbidden: [403, failure('forbidden', 'another key')],
      refused: [400, failure('invalid_request', '`product_id` should be an id of the shop. Received: another text.')],
      unknown: [404, failure('not_found', '`product_id` should be a product of the shop. Received: another one.')],
      garbage: [200, '<html>'],
    };
    if (this.mode in failures) return failures[this.mode];
    if (path === '/track/join') return [200, '{"success": true, "events": 2}'];
    if (path === '/track') return [200, '{"success": true, "interaction_id": "int_1"}'];
    return [200, JSON.stringify({ recommendations: PRODUCTS, algorithm: 'ENCM', cached: false, recommendation_id: 'rec_1' })];
  }
}
