/** The built shop in a process of its own, in front of a mock of the recommendation service. */
import { spawn } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import { until } from '../../../frontend/test/browser/setUp.js';
import { MockService } from './mockService.js';

const PROGRAM = fileURLToPath(new URL('../.next/standalone/server.js', import.meta.url));
const START_MS = 60_000;
export const SECRET = 's'.repeat(32); // of the tests only
export const KEY = 'k'.repeat(32);

export class Storefront {
  service = new MockService();
  url = '';
  #child;

  static async start() {
    const shop = new Storefront();
    await shop.service.start();
    const port = await freePort();
    shop.url = `http://127.0.0.1:${port}`;
    const environ = { PATH: process.env.PATH, RECOMMENDATION_SERVICE_URL: shop.service.url, SERVICE_KEY: KEY, JWT_SECRET: SECRET };
    const more = { NODE_ENV: 'production', NEXT_TELEMETRY_DISABLED: '1', PORT: String(port), HOSTNAME: '127.0.0.1' };
    shop.#child = spawn(process.execPath, [PROGRAM], { env: { ...environ, ...more }, stdio: ['ignore', 'ignore', 'inherit'] });
    await until(() => fetch(shop.url).then(({ ok }) => ok, () => false), 'the shop answers', START_MS);
    shop.reset();
    return shop;
  }

  reset() {
    this.service.reset();
  }

  async stop() {
    this.#child?.kill('SIGTERM');
    await this.service.stop();
  }
}

/** Return the session cookie of a customer, as the shop signs it. */
export function sessionOf(claims, { secret = SECRET, header = { alg: 'HS256', typ: 'JWT' } } = {}) {
  const now = Math.floor(Date.now() / 1000);
  const [head, payload] = [header, { iat: now, exp: now + 3600, ...claims }].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'));
  return `${head}.${payload}.${createHmac('sha256', secret).update(`${head}.${payload}`).digest('base64url')}`;
}

export function freePort() {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = /** @type {any} */ (server.address());
      server.close(() => resolve(port));
    });
  });
}
