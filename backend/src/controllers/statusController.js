import { timingSafeEqual, createHash } from 'node:crypto';

import { withinMs } from '../concurrency/withinMs.js';
import { HttpError } from '../middlewares/errors.js';

const LOOK_MS = 500; // a database that takes longer to say 1 is no help to a page
const LOOPBACK = /^(?:127\.|::1$|::ffff:127\.)/;
const OWN_HOST = /^(?:localhost|127(?:\.\d+){3}|\[::1\])(?::\d+)?$/i; // HAProxy and web pages ask by the name that is known outside
const OF_A_PROXY = [
  /^(?:via|forwarded|cdn-loop|max-forwards)$/,
  /^(?:cf|fastly|fly|proxy|true-client)-/,
  /^x-(?:amzn?|appengine|arr|azure|client|cluster|edge|envoy|forwarded|host|original|proxy|real|remote|request|scheme|varnish)\b/,
  /-(?:ip|for)$/,
];

/**
 * Return the handlers of what machines ask. Nobody learns more from them than he has to: numbers are for who has the token.
 *
 * @param {object} services
 * @param {() => boolean} [services.isClosing]
 */
export function statusController({ sequelize, python, interactions, metrics, settings, isClosing = () => false }) {
  return {
    /** The process lives. */
    health(_req, res) {
      res.json({ status: 'up' });
    },

    /** It answers, and how well: `degraded` is answered by the fallback ladder and the spool. */
    async ready(_req, res) {
      if (isClosing()) {
        res.status(503).json({ status: 'closing' });
        return;
      }
      const isWell = (await isDatabaseUp(sequelize)) && hasWorker(python) && interactions.stats().pending === 0;
      res.json({ status: isWell ? 'ready' : 'degraded' });
    },

    async metrics(req, res) {
      checkReader(req, settings.metricsToken);
      res.type(metrics.registry.contentType).send(await metrics.registry.metrics());
    },
  };
}

async function isDatabaseUp(sequelize) {
  try {
    await withinMs(LOOK_MS, sequelize.query('SELECT 1'));
    return true;
  } catch {
    return false;
  }
}

function hasWorker(python) {
  return python.stats().workers.some(({ state }) => state === 'ready');
}

function checkReader(req, token) {
  const isReader = token === null ? isFromHere(req) : isSame(req.headers.authorization ?? '', `Bearer ${token.reveal()}`);
  if (isReader) return;
  throw new HttpError(token === null ? 403 : 401, 'The metrics should be read with METRICS_TOKEN, or, where there is none, on this machine and through no proxy.');
}

/** Whether a request comes from this machine itself: a proxy on it would bring those of others. nginx names nobody, but asks in HTTP/1.0. */
function isFromHere({ socket, headers, httpVersion }) {
  const isDirect = httpVersion !== '1.0' && OWN_HOST.test(headers.host ?? '') && !Object.keys(headers).some(isOfProxy);
  return isDirect && LOOPBACK.test(socket.remoteAddress ?? '');
}

function isOfProxy(name) {
  return OF_A_PROXY.some((pattern) => pattern.test(name));
}

function isSame(one, other) {
  const digest = (text) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(one), digest(other));
}
