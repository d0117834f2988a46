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

const CONTROLLERS = [recommendationController, interactionController, authController, internalController, statusController];
const EVERYBODY = 'everybody';
const NEWCOMER = 'everybody, seldom';
const CUSTOMER = 'customer';
const VISITOR = 'customer or guest';
const ADMINISTRATOR = 'administrator';
const MACHINE = 'machine';

/** Every route there is; the table in README.md is this one. */
export const ROUTES = Object.freeze([
  {
    method: 'GET',
    path: '/api/recommendations/list',
    aliases: ['/api/recommend/list'],
    who: CUSTOMER,
    action: 'listForCurrentUser',
    meaning: 'the list: `?limit=` 1 to 100 (10), `?device=` desktop, mobile or tablet (as the browser says)',
  },
  {
    method: 'POST',
    path: '/api/recommendations/init',
    aliases: ['/api/recommend/init'],
    who: CUSTOMER,
    action: 'initForCurrentUser',
    meaning: 'a new list, whatever is cached; parameters likewise',
  },
  {
    method: 'DELETE',
    path: '/api/recommendations/clear',
    aliases: ['/api/recommend/clear'],
    who: CUSTOMER,
    action: 'clearForCurrentUser',
    meaning: 'forget the cached list',
  },
  {
    method: 'GET',
    path: '/api/recommendations/similar/:productId',
    aliases: ['/api/recommend/similar/:productId'],
    who: VISITOR,
    action: 'listSimilar',
    meaning: 'products like one; parameters likewise',
  },
  {
    method: 'POST',
    path: '/api/interaction',
    who: CUSTOMER,
    action: 'recordForCurrentUser',
    hasBody: true,
    meaning: 'what the customer did: `{productId, actionCode, device?, eventId?, timestamp?}`',
  },
  { method: 'POST', path: '/api/auth/login', who: NEWCOMER, action: 'login', hasBody: true, meaning: '`{email, password}` for a token' },
  {
    method: 'GET',
    path: '/internal/recommendations',
    who: ADMINISTRATOR,
    action: 'showRecommendations',
    meaning: 'a list with its runs, and how the server fares, as JSON or, in a browser, as a page: `?userId=` (one’s own), `?limit=`',
  },
  { method: 'GET', path: '/health', who: EVERYBODY, action: 'health', meaning: 'the process lives' },
  { method: 'GET', path: '/ready', who: EVERYBODY, action: 'ready', meaning: '`ready`; `degraded` while the fallback or the spool stands in; 503 `closing`' },
  { method: 'GET', path: '/metrics', who: MACHINE, action: 'metrics', meaning: 'counts for Prometheus: by METRICS_TOKEN, or from this machine and through no proxy' },
]);

/**
 * Return the router of everything in `ROUTES`.
 *
 * @param {object} services What `createApp` takes.
 * @returns {import('express').Router}
 */
export function webRoutes(services) {
  const router = express.Router({ caseSensitive: true });
  const actions = Object.assign({}, ...CONTROLLERS.map((make) => make(services)));
  const gates = gatesOf(services);
  for (const { method, path, aliases = [], who, action, hasBody = false } of ROUTES) {
    const steps = [named(path), ...(hasBody ? jsonBody : []), ...(method === 'GET' ? [noBody] : []), ...gates(who), actions[action]];
    for (const at of [path, ...aliases]) router.route(at)[method.toLowerCase()](steps).all(refuseMethod(method));
  }
  return router;
}

/** Return what stands before a handler: the limit of an address first, then who it is, then the limit of a customer. */
function gatesOf(services) {
  const { byAddress, byUser, logins } = rateLimits(services.settings);
  const gates = {
    [EVERYBODY]: [],
    [MACHINE]: [],
    [CUSTOMER]: [byAddress, verifyTokenUser(services), byUser],
    [VISITOR]: [byAddress, verifyTokenIfAny(services), byUser],
    [ADMINISTRATOR]: [byAddress, ...logins, verifyAdmin(services)],
    [NEWCOMER]: [byAddress, ...logins],
  };
  return (who) => gates[who];
}

/** Say under which name a request is counted: a route's, not each path's. */
function named(path) {
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
