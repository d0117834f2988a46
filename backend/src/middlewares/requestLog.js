/** The log of requests. */
import { randomUUID } from 'node:crypto';

import { pinoHttp } from 'pino-http';

import { errorShown } from '../logging.js';

const PROXY_ID = /^[\w.-]{8,64}$/; // a proxy's request id is used if it is safe in a log
const SILENT = new Set(['/health', '/ready', '/metrics']); // requested every few seconds by monitoring

/**
 * Return the middleware that gives each request an id and logs it. Headers, queries and bodies are not logged, because of their secrets.
 *
 * @param {{log: object}} services A pino logger.
 */
export function requestLog({ log }) {
  return pinoHttp({
    logger: log,
    genReqId: (req, res) => {
      const proxyId = req.headers['x-request-id'] ?? '';
      const id = PROXY_ID.test(proxyId) ? proxyId : randomUUID();
      res.setHeader('X-Request-Id', id);
      return id;
    },
    autoLogging: { ignore: (req) => SILENT.has(req.url) },
    customLogLevel: (_req, res, error) => (error || res.statusCode >= 500 ? 'error' : res.statusCode >= 400 ? 'warn' : 'info'),
    customProps: (req) => ({ userId: req.user?.id }),
    serializers: {
      err: errorShown,
      req: ({ id, method, url }) => ({ id, method, path: url.split('?', 1)[0].slice(0, 200) }),
      res: ({ statusCode }) => ({ statusCode }),
    },
  });
}
