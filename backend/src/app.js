/** The Express application: security headers, logging, metrics, routes and error handling. */
import cors from 'cors';
import express from 'express';
import helmet from 'helmet';

import { errorHandler, notFound } from './middlewares/errors.js';
import { requestLog } from './monitoring/logging.js';
import { webRoutes } from './route/web.js';
import { STYLE_SOURCE } from './views/overviewPage.js';

const SECURITY = {
  contentSecurityPolicy: {
    useDefaults: false,
    directives: { defaultSrc: ["'none'"], styleSrc: [STYLE_SOURCE], baseUri: ["'none'"], formAction: ["'self'"], frameAncestors: ["'none'"] },
  },
  crossOriginResourcePolicy: { policy: 'same-site' },
};

/**
 * Create the Express application from its services. It has no state of its own, so that tests can pass other services.
 *
 * @param {object} services
 * @param {object} services.settings What `readSettings` returned.
 * @param {object} services.sequelize
 * @param {object} services.models
 * @param {object} services.recommendations
 * @param {object} services.interactions
 * @param {object} services.auth
 * @param {object} services.python A pool.
 * @param {object} services.metrics
 * @param {object} services.log A pino logger.
 * @param {() => object[]} [services.elsewhere] What `waitingElsewhere` returns.
 * @param {() => boolean} [services.isClosing] Whether the shutdown has begun.
 * @returns {import('express').Express}
 */
export function createApp(services) {
  const { settings, log, metrics } = services;
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag'); // personal answers are not cached by browsers
  app.set('trust proxy', settings.trustProxy);
  app.set('query parser', 'simple'); // a[b]=1 is a parameter named a[b], which no route has
  app.use(requestLog({ log }), timed(metrics), helmet(SECURITY), crossOrigin(settings), uncached);
  app.use(webRoutes(services), notFound, errorHandler({ log }));
  return app;
}

/** Allow pages of the configured origins. Without any, only pages of this origin may send requests. */
function crossOrigin({ corsOrigin }) {
  return cors({ origin: corsOrigin.length > 0 ? [...corsOrigin] : false, methods: ['GET', 'POST', 'DELETE'], allowedHeaders: ['Authorization', 'Content-Type'], maxAge: 600 });
}

function uncached(_req, res, next) {
  res.set('Cache-Control', 'private, no-store');
  next();
}

function timed(metrics) {
  return (req, res, next) => {
    const start = performance.now();
    res.once('close', () => {
      const { route = 'none' } = res.locals;
      metrics.request({ method: req.method, route, status: res.statusCode, ms: performance.now() - start });
    });
    next();
  };
}
