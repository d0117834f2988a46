import { randomUUID } from 'node:crypto';

import { pinoHttp } from 'pino-http';

import { errorShown } from '../logging.js';

const OTHERS_ID = /^[\w.-]{8,64}$/; // a proxy's own request id is kept, if it can stand in a log
const SILENT = new Set(['/health', '/ready', '/metrics']); // asked every few seconds by machines

/**
 * Return what gives a request its id and writes a line when it is done: never a header, a query or a body, where secrets would be.
 *
 * @param {{log: object}} services A pino logger.
 */
export function requestLog({ log }) {
  return pinoHttp({
    logger: log,
    genReqId: (req, res) => {
      const given = req.headers['x-request-id'] ?? '';
      const id = OTHERS_ID.test(given) ? given : randomUUID();
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
