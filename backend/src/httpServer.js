import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

const HEADERS_MS = 5000;
const REQUEST_MS = 10_000; // the largest body is 32 KB
const KEEP_ALIVE_MS = 65_000; // longer than the usual proxy keeps its side
const CHECK_MS = 1000; // how often the limits above are looked at
const POLL_MS = 20;

/**
 * Return the HTTP server of an application: a client that is slow on purpose is answered 408 and cut off.
 *
 * @param {import('express').Express} app
 * @param {{requestMs?: number, checkMs?: number}} [limits]
 */
export function httpServer(app, { requestMs = REQUEST_MS, checkMs = CHECK_MS } = {}) {
  const timeouts = { headersTimeout: Math.min(HEADERS_MS, requestMs), requestTimeout: requestMs, keepAliveTimeout: KEEP_ALIVE_MS };
  return createServer({ ...timeouts, connectionsCheckingInterval: checkMs }, app);
}

/** Listen, and return where. */
export function listening(server, { host, port }) {
  return new Promise((resolve, reject) => {
    server.once('error', reject).listen(port, host, () => {
      server.off('error', reject);
      resolve(server.address());
    });
  });
}

/** Take no more connections, let requests finish, and cut off those that do not within the time. */
export async function finished(server, ms) {
  const closed = new Promise((resolve) => server.close(resolve));
  const watch = new AbortController();
  const cut = sleep(ms, undefined, { signal: watch.signal }).then(() => server.closeAllConnections(), () => {});
  const poll = setInterval(() => server.closeIdleConnections(), POLL_MS); // connections whose answer has just been sent
  await closed;
  clearInterval(poll);
  watch.abort();
  await cut;
}
