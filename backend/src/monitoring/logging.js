/** The logger, which masks secrets, and the log of requests. */
import { randomUUID } from 'node:crypto';

import pino from 'pino';
import { pinoHttp } from 'pino-http';

import { scrubbed } from '../config/secrets.js';

/** @import { Logger } from 'pino' */

const PROXY_ID = /^[\w.-]{8,64}$/; // a proxy's request id is used if it is safe in a log
/** @type {Set<string | undefined>} */
const SILENT = new Set(['/health', '/ready', '/metrics']); // requested every few seconds by monitoring
const NAMES = ['password', 'token', 'authorization'];

/**
 * Return the logger of a process. Secrets are masked, also in errors of libraries.
 *
 * @param {{logLevel: string}} settings
 * @param {import('node:stream').Writable} [stream] Standard output by default.
 * @returns {Logger}
 */
export function logger({ logLevel }, stream) {
  const redact = [...NAMES, ...NAMES.map((name) => `*.${name}`)];
  return pino({ level: logLevel, redact, formatters: { log: withoutSecrets }, serializers: { err: errorShown } }, stream);
}

/**
 * Return the middleware that gives each request an id and logs it. Headers, queries and bodies are not logged, because of their secrets.
 *
 * @param {{log: Logger}} services
 */
export function requestLog({ log }) {
  return pinoHttp({
    logger: log,
    genReqId: (req, res) => {
      const proxyId = String(req.headers['x-request-id'] ?? '');
      const id = PROXY_ID.test(proxyId) ? proxyId : randomUUID();
      res.setHeader('X-Request-Id', id);
      return id;
    },
    autoLogging: { ignore: ({ url }) => SILENT.has(url) },
    customLogLevel: (_req, res, error) => (error || res.statusCode >= 500 ? 'error' : res.statusCode >= 400 ? 'warn' : 'info'),
    customProps: (/** @type {any} */ req) => ({ userId: req.user?.id }),
    serializers: {
      err: errorShown,
      req: ({ id, method, url }) => ({ id, method, path: url.split('?', 1)[0].slice(0, 200) }),
      res: ({ statusCode }) => ({ statusCode }),
    },
  });
}

/**
 * Return an error as the log shows it: without the statement and its values, which Sequelize attaches.
 *
 * @param {any} error
 */
function errorShown(error) {
  /** @type {NodeJS.ErrnoException | null | undefined} */
  const thrown = error?.raw ?? error; // pino-http passes a copy
  if (!(thrown instanceof Error)) return error;
  const { name: type, code, message, stack = '' } = thrown;
  return { type, code, message: scrubbed(message), stack: scrubbed(stack) };
}

function withoutSecrets(fields) {
  return Object.fromEntries(Object.entries(fields).map(([name, field]) => [name, typeof field === 'string' ? scrubbed(field) : field]));
}
