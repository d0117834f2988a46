/** All routes of the server, as one table. */
import express from 'express';

import { authController } from '../controllers/authController.js';
import { interactionController } from '../controllers/interactionController.js';
import { internalController } from '../controllers/internalController.js';
import { recommendationController } from '../controllers/recommendationController.js';
import { statusController } from '../controllers/statusController.js';
import { HttpError } from '../middlewares/errors.js';
import { jsonBody, noBody } from '../middlewares/jsonBody.js';
import { verifyAdmin, verifyTokenIfAny, verifyTokenUser } from '../middlewares/jwtVerify.js';
import { rateLimits } from '../middlewares/rateLimits.js';

/** @import { Services } from '../app.js' */

const CONTROLLERS = [recommendationController, interactionController, authController, internalController, statusController];
const EVERYBODY = 'everybody';
const LOGIN = 'everybody, seldom';
const USER = 'user';
const GUEST = 'user or guest';
const ADMINISTRATOR = 'administrator';
const MACHINE = 'machine';

/** All routes, as in the table of README.md. */
export const ROUTES = Object.freeze([
  {
    method: 'GET',
    path: '/api/recommendations/list',
    aliases: ['/api/recommend/list'],
    who: USER,
    action: 'listForCurrentUser',
    meaning: 'the list: `?limit=` 1 to 100 (10), `?device=` desktop, mobile or tablet (as the browser says)',
  },
  {
    method: 'POST',
    path: '/api/recommendations/init',
    aliases: ['/api/recommend/init'],
    who: USER,
    action: 'initForCurrentUser',
    meaning: 'a new list, whatever is cached; the same parameters',
  },
  {
    method: 'DELETE',
    path: '/api/recommendations/clear',
    aliases: ['/api/recommend/clear'],
    who: USER,
    action: 'clearForCurrentUser',
    meaning: 'delete the cached list',
  },
  {
    method: 'GET',
    path: '/api/recommendations/similar/:productId',
    aliases: ['/api/recommend/similar/:productId'],
    who: GUEST,
    action: 'listSimilar',
    meaning: 'products similar to one; the same parameters',
  },
  {
    method: 'POST',
    path: '/api/interaction',
    who: USER,
    action: 'recordForCurrentUser',
    hasBody: true,
    meaning: 'what the user did: `{productId, actionCode, device?, eventId?, timestamp?}`',
  },
  { method: 'POST', path: '/api/auth/login', who: LOGIN, action: 'login', hasBody: true, meaning: '`{email, password}` for a token' },
  {
    method: 'GET',
    path: '/internal/recommendations',
    who: ADMINISTRATOR,
    action: 'showRecommendations',
    meaning: 'a list with its runs, and the state of the server, as JSON or, in a browser, as a page: `?userId=` (one’s own), `?limit=`',
  },
  { method: 'GET', path: '/health', who: EVERYBODY, action: 'health', meaning: 'the process is up' },
  { method: 'GET', path: '/ready', who: EVERYBODY, action: 'ready', meaning: '`ready`; `degraded` while the fallback chain or the spool does part of the work; 503 `closing`' },
  { method: 'GET', path: '/metrics', who: MACHINE, action: 'metrics', meaning: 'counts for Prometheus: by METRICS_TOKEN, or from this machine and through no proxy' },
]);

/**
 * Return the router of everything in `ROUTES`.
 *
 * @param {Services} services
 * @returns {import('express').Router}
 */
export function webRoutes(services) {
  const router = express.Router({ caseSensitive: true });
  const actions = Object.assign({}, ...CONTROLLERS.map((make) => make(services)));
  const gates = gatesOf(services);
  for (const { method, path, aliases = [], who, action, hasBody = false } of ROUTES) {
    const steps = [nameRoute(path), ...(hasBody ? jsonBody : []), ...(method === 'GET' ? [noBody] : []), ...gates(who), actions[action]];
    for (const spelling of [path, ...aliases]) router.route(spelling)[method.toLowerCase()](steps).all(refuseMethod(method));
  }
  return router;
}

/** Return the middlewares before a handler, by `who`: the address's limit, then the identification, then the user's limit. */
function gatesOf(services) {
  const { byAddress, byUser, logins } = rateLimits(services.settings);
  const gates = {
    [EVERYBODY]: [],
    [MACHINE]: [],
    [USER]: [byAddress, verifyTokenUser(services), byUser],
    [GUEST]: [byAddress, verifyTokenIfAny(services), byUser],
    [ADMINISTRATOR]: [byAddress, ...logins, verifyAdmin(services)],
    [LOGIN]: [byAddress, ...logins],
  };
  return (who) => gates[who];
}

/** Return the middleware that sets the route's name, under which its requests are counted. */
function nameRoute(path) {
  return (_req, res, next) => {
    res.locals.route = path;
    next();
  };
}

function refuseMethod(allowed) {
  return (req) => {
    throw new HttpError(405, `This should be asked by ${allowed}. Received: ${req.method}.`, { headers: { Allow: allowed } });
  };
}
