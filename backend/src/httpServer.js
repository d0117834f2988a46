/** The HTTP server of the application: its limits against slow clients, and an end that resets no request. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import net from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';

const HEADERS_MS = 5000;
const REQUEST_MS = 10_000; // the largest body is 32 KB
const KEEP_ALIVE_MS = 65_000; // longer than the 60 s of the usual proxy
const CHECK_MS = 1000; // how often the limits above are checked
const POLL_MS = 20;
const QUIET_MS = 500; // a request that was sent before its client could learn of the end arrives within this time

/**
 * @import { Server, ServerResponse } from 'node:http'
 * @import { AddressInfo, Socket } from 'node:net'
 * @import { Express } from 'express'
 */

/**
 * @typedef {object} State Of a server.
 * @property {Map<Socket, ServerResponse>} answers The latest answer of each connection.
 * @property {(() => void)[] | null} postponed The requests that are held back at the end.
 */

/** @type {WeakMap<Server, State>} */
const states = new WeakMap(); // by server: the latest answer of each connection, and the requests that are held back at the end

/**
 * Return the HTTP server of an application. A client that is too slow gets 408, and its connection is closed.
 *
 * @param {Express} app
 * @param {{requestMs?: number, checkMs?: number}} [limits]
 */
export function httpServer(app, { requestMs = REQUEST_MS, checkMs = CHECK_MS } = {}) {
  const timeouts = { headersTimeout: Math.min(HEADERS_MS, requestMs), requestTimeout: requestMs, keepAliveTimeout: KEEP_ALIVE_MS };
  const server = createServer({ ...timeouts, connectionsCheckingInterval: checkMs });
  /** @type {State} */
  const state = { answers: new Map(), postponed: null };
  states.set(server, state);
  return server.on('request', (req, res) => {
    const { answers, postponed } = state;
    answers.set(req.socket, res);
    res.once('close', () => answers.get(req.socket) === res && answers.delete(req.socket));
    if (postponed === null) app(req, res);
    else postponed.push(() => app(req, res));
  });
}

/**
 * Listen on an address. Resolves to what `server.address()` returns.
 *
 * @param {Server} server
 * @param {{host: string, port: number}} settings
 * @returns {Promise<AddressInfo>}
 */
export async function listening(server, { host, port }) {
  await once(server.listen(port, host), 'listening'); // or it throws the server's error
  return /** @type {AddressInfo} */ (server.address());
}

/**
 * Take no more connections, and let requests finish within a time limit.
 *
 * No request that has arrived is reset. Connections that the system has accepted are taken first. From now on, each answer says that it is
 * the last of its connection. An idle connection is closed after `quietMs`, when a request that was under way would have arrived.
 *
 * @param {Server} server
 * @param {number} ms After this time, the connections that are left are closed.
 * @param {{quietMs?: number}} [limits]
 */
export async function finished(server, ms, { quietMs = QUIET_MS } = {}) {
  const timeout = setTimeout(() => server.closeAllConnections(), ms);
  const state = /** @type {State} */ (states.get(server));
  for (const res of state.answers.values()) markLast(res);
  server.prependListener('request', (_req, res) => markLast(res));
  state.postponed = []; // a client that got its answer would connect again, without end
  await takeAccepted(server, ms / 2);
  const closed = new Promise((resolve) => net.Server.prototype.close.call(server, resolve)); // not that of HTTP, which closes idle connections at once
  for (const answer of state.postponed.splice(0)) answer();
  state.postponed = null;
  let poll;
  const quiet = setTimeout(() => {
    poll = setInterval(() => server.closeIdleConnections(), POLL_MS);
  }, quietMs);
  await closed;
  clearTimeout(quiet);
  clearInterval(poll);
  clearTimeout(timeout);
  server.close(); // that of HTTP, which stops its checks of connections
}

function markLast(res) {
  if (!res.headersSent) res.setHeader('Connection', 'close');
}

/** Wait until a turn of the event loop brings no new connection. When a server stops listening, the system resets those not yet taken. */
async function takeAccepted(server, ms) {
  const end = performance.now() + ms;
  let nTaken;
  const count = () => (nTaken += 1);
  server.on('connection', count);
  do {
    nTaken = 0;
    await nextTurn();
    await nextTurn(); // between the two is the poll phase, which accepts connections
  } while (nTaken > 0 && performance.now() < end);
  server.off('connection', count);
}
