/** The Express application: security headers, logging, metrics, routes and error handling. */
import cors from 'cors';
import express from 'express';
import helmet from 'helmet';

import { errorHandler, notFound } from './middlewares/errors.js';
import { page } from './middlewares/page.js';
import { requestLog } from './monitoring/logging.js';
import { webRoutes } from './route/web.js';

/**
 * @import { HelmetOptions } from 'helmet'
 * @import { Logger } from 'pino'
 * @import { Sequelize } from 'sequelize'
 * @import { Settings } from './config/settings.js'
 * @import { Models } from './models/index.js'
 * @import { Metrics } from './monitoring/metrics.js'
 * @import { AdminService } from './services/adminService.js'
 * @import { AnswerCounts } from './services/answerCounts.js'
 * @import { AuthService } from './services/authService.js'
 * @import { InteractionService } from './services/interactionService.js'
 * @import { Pool } from './services/pythonInvoker.js'
 * @import { ProductService } from './services/productService.js'
 * @import { RecommendationService } from './services/recommendationService.js'
 * @import { SalesReports } from './services/salesReport.js'
 * @import { Snapshot } from './services/recommendations/snapshot.js'
 * @import { WaitingFolder } from './services/spool/databases.js'
 * @import { Arms } from './services/tracking/arms.js'
 * @import { ListEvents } from './services/tracking/listEvents.js'
 * @import { VisitorHistory } from './services/visitorHistory.js'
 */

/**
 * @typedef {object} Services What the application works with.
 * @property {Settings} settings
 * @property {Sequelize} sequelize
 * @property {Models} models
 * @property {RecommendationService} recommendations
 * @property {ProductService} products
 * @property {InteractionService} interactions
 * @property {Arms} arms
 * @property {ListEvents} lists
 * @property {VisitorHistory} history
 * @property {AuthService} auth
 * @property {AdminService} admin
 * @property {Pick<SalesReports, 'latest'>} sales
 * @property {AnswerCounts} answerCounts
 * @property {Pool} python
 * @property {Pick<Snapshot, 'current'>} snapshot
 * @property {Metrics} metrics
 * @property {Logger} log
 * @property {() => WaitingFolder[]} [elsewhere] What `waitingElsewhere` returns.
 * @property {() => boolean} [isClosing] Whether the shutdown has begun.
 */

/** @type {HelmetOptions} */
const SECURITY = {
  contentSecurityPolicy: {
    useDefaults: false,
    directives: { defaultSrc: ["'none'"], baseUri: ["'none'"], formAction: ["'self'"], frameAncestors: ["'none'"] },
  },
  crossOriginResourcePolicy: { policy: 'same-site' },
};

/**
 * Create the Express application from its services. It has no state of its own, so that tests can pass other services.
 *
 * @param {Services} services
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
  app.use(webRoutes(services), page(settings), notFound, errorHandler({ log }));
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
