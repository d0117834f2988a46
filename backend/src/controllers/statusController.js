import { timingSafeEqual, createHash } from 'node:crypto';

import { withinMs } from '../concurrency/time.js';
import { HttpError } from '../middlewares/errors.js';
import { agesOf, refusalsOf } from '../monitoring/metrics.js';

/** @import { Services } from '../app.js' */

const PING_MS = 500; // a database that needs longer for SELECT 1 is too slow for a page
const LOOPBACK = /^(?:127\.|::1$|::ffff:127\.)/;
const OWN_HOST = /^(?:localhost|127(?:\.\d+){3}|\[::1\])(?::\d+)?$/i; // HAProxy and web pages send the public name instead
const PROXY_HEADERS = [
  /^(?:via|forwarded|cdn-loop|max-forwards)$/,
  /^(?:cf|fastly|fly|proxy|true-client)-/,
  /^x-(?:amzn?|appengine|arr|azure|client|cluster|edge|envoy|forwarded|host|original|proxy|real|remote|request|scheme|varnish)\b/,
  /-(?:ip|for)$/,
];

/**
 * Return the handlers of monitoring. Health checks show a status and ages; the metrics need a token.
 *
 * @param {Pick<Services, 'sequelize' | 'python' | 'snapshot' | 'interactions' | 'metrics' | 'settings' | 'isClosing'>} services
 */
export function statusController({ sequelize, python, snapshot, interactions, metrics, settings, isClosing = () => false }) {
  return {
    /** The process is up. */
    health(_req, res) {
      res.json({ status: 'up' });
    },

    /**
     * Whether requests are answered, and how: while `degraded`, the fallback chain or the spool does part of the work. Beside it, the ages of the
     * active version and its data, and why workers have refused it, if they have: the version before goes on.
     */
    async ready(_req, res) {
      if (isClosing()) {
        res.status(503).json({ status: 'closing' });
        return;
      }
      const isWell = (await isDatabaseUp(sequelize)) && hasWorker(python) && interactions.stats().pending === 0;
      res.json({ status: isWell ? 'ready' : 'degraded', model: await modelFacts(snapshot, python) });
    },

    async metrics(req, res) {
      checkReader(req, settings.metricsToken);
      res.type(metrics.registry.contentType).send(await metrics.registry.metrics());
    },
  };
}

async function isDatabaseUp(sequelize) {
  try {
    await withinMs(PING_MS, sequelize.query('SELECT 1'));
    return true;
  } catch {
    return false;
  }
}

async function modelFacts(snapshot, python) {
  const [refusal] = refusalsOf(python.stats());
  return { ...agesOf(await snapshot.current()), refused: refusal?.code ?? null };
}

function hasWorker(python) {
  return python.stats().workers.some(({ state }) => state === 'ready');
}

function checkReader(req, token) {
  const isReader = token === null ? isLocal(req) : isSame(req.headers.authorization ?? '', `Bearer ${token.reveal()}`);
  if (isReader) return;
  throw new HttpError(token === null ? 403 : 401, 'The metrics should be read with METRICS_TOKEN, or, where there is none, on this machine and through no proxy.');
}

/**
 * Whether a request comes from this machine, without a proxy that might forward those of others. nginx may send no proxy header, but uses
 * HTTP/1.0.
 */
function isLocal({ socket, headers, httpVersion }) {
  const isDirect = httpVersion !== '1.0' && OWN_HOST.test(headers.host ?? '') && !Object.keys(headers).some(isProxyHeader);
  return isDirect && LOOPBACK.test(socket.remoteAddress ?? '');
}

function isProxyHeader(name) {
  return PROXY_HEADERS.some((pattern) => pattern.test(name));
}

function isSame(one, other) {
  const digest = (text) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(one), digest(other));
}
