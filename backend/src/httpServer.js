import { createServer } from 'node:http';
import net from 'node:net';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';

const HEADERS_MS = 5000;
const REQUEST_MS = 10_000; // the largest body is 32 KB
const KEEP_ALIVE_MS = 65_000; // longer than the usual proxy keeps its side
const CHECK_MS = 1000; // how often the limits above are looked at
const POLL_MS = 20;
const QUIET_MS = 500; // what a client has sent before it could know of the end arrives within that

const states = new WeakMap(); // of each server: its connections, each with the answer that was begun last; and the requests that are held back

/**
 * Return the HTTP server of an application: a client that is slow on purpose is answered 408 and cut off.
 *
 * @param {import('express').Express} app
 * @param {{requestMs?: number, checkMs?: number}} [limits]
 */
export function httpServer(app, { requestMs = REQUEST_MS, checkMs = CHECK_MS } = {}) {
  const timeouts = { headersTimeout: Math.min(HEADERS_MS, requestMs), requestTimeout: requestMs, keepAliveTimeout: KEEP_ALIVE_MS };
  const server = createServer({ ...timeouts, connectionsCheckingInterval: checkMs });
  const state = { answers: new Map(), held: null };
  states.set(server, state);
  return server.on('request', (req, res) => {
    const { answers, held } = state;
    answers.set(req.socket, res);
    res.once('close', () => answers.get(req.socket) === res && answers.delete(req.socket));
    if (held === null) app(req, res);
    else held.push(() => app(req, res));
  });
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

/**
 * Take no more connections, let requests finish, and cut off those that do not within the time.
 *
 * Nothing that has arrived is reset: connections that the system has accepted are taken first, every answer from now on says that it is the
 * last of its connection, and one on which nothing happens is closed only when a request that crossed this end would have come.
 *
 * @param {import('node:http').Server} server
 * @param {number} ms
 * @param {{quietMs?: number}} [limits]
 */
export async function finished(server, ms, { quietMs = QUIET_MS } = {}) {
  const isCut = new AbortController();
  const cut = sleep(ms, undefined, { signal: isCut.signal }).then(() => server.closeAllConnections(), () => {});
  const state = states.get(server);
  for (const res of state.answers.values()) markLast(res);
  server.prependListener('request', (_req, res) => markLast(res));
  state.held = []; // who was answered would connect again, and there would be no end of it
  await accepted(server, ms / 2);
  const closed = new Promise((resolve) => net.Server.prototype.close.call(server, resolve)); // HTTP's own would cut quiet connections at once
  for (const answer of state.held.splice(0)) answer();
  state.held = null;
  let poll;
  const quiet = setTimeout(() => {
    poll = setInterval(() => server.closeIdleConnections(), POLL_MS);
  }, quietMs);
  await closed;
  clearTimeout(quiet);
  clearInterval(poll);
  isCut.abort();
  await cut;
  server.close(); // HTTP's own, for what has looked after the connections
}

function markLast(res) {
  if (!res.headersSent) res.setHeader('Connection', 'close');
}

/** Wait until a turn brings no new connection: the system resets those that nobody has taken when a server stops to listen. */
async function accepted(server, ms) {
  const end = performance.now() + ms;
  let taken;
  const count = () => (taken += 1);
  server.on('connection', count);
  do {
    taken = 0;
    await nextTurn();
    await nextTurn(); // the poll phase is between two
  } while (taken > 0 && performance.now() < end);
  server.off('connection', count);
}
