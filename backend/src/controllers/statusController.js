import { timingSafeEqual, createHash } from 'node:crypto';

import { withinMs } from '../concurrency/withinMs.js';
import { HttpError } from '../middlewares/errors.js';

const LOOK_MS = 500; // a database that takes longer to say 1 is no help to a page
const LOOPBACK = /^(?:127\.|::1$|::ffff:127\.)/;

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
  if (token !== null && isSame(req.headers.authorization ?? '', `Bearer ${token}`)) return;
  const isHere = LOOPBACK.test(req.socket.remoteAddress ?? '') && req.headers['x-forwarded-for'] === undefined && req.headers.forwarded === undefined;
  if (token === null && isHere) return;
  throw new HttpError(token === null ? 403 : 401, 'The metrics should be read with METRICS_TOKEN, or, where there is none, on this machine.');
}

function isSame(one, other) {
  const digest = (text) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(one), digest(other));
}
