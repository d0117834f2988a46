/** All routes of the server, as one table. */
import express from 'express';

import { adminController } from '../controllers/adminController.js';
import { authController } from '../controllers/authController.js';
import { historyController } from '../controllers/historyController.js';
import { interactionController } from '../controllers/interactionController.js';
import { internalController } from '../controllers/internalController.js';
import { productController } from '../controllers/productController.js';
import { recommendationController } from '../controllers/recommendationController.js';
import { statusController } from '../controllers/statusController.js';
import { HttpError } from '../middlewares/errors.js';
import { jsonBody, noBody } from '../middlewares/jsonBody.js';
import { tokenInBody, verifyAdmin, verifyTokenIfAny, verifyTokenUser } from '../middlewares/jwtVerify.js';
import { rateLimits } from '../middlewares/rateLimits.js';

/** @import { Services } from '../app.js' */

const CONTROLLERS = [
  ...[recommendationController, productController, interactionController, historyController],
  ...[authController, adminController, internalController, statusController],
];
const EVERYBODY = 'everybody';
const LOGIN = 'everybody, seldom';
const USER = 'user';
const GUEST = 'user or guest';
const ADMINISTRATOR = 'administrator';
const ADMINISTRATOR_BY_PASSWORD = 'administrator, also by password';
const MACHINE = 'machine';

const LISTING = '`?limit=` 1 to 100 (10), `?device=` desktop, mobile or tablet (as the browser says)';
const BASKET = '`?items=` 1 to 50 ids, as 1,2, `?complementary=` true or false (false)';
const BROWSING = '`?category=`, `?sort=` popular or new (popular), `?page=` 1 to 100 (1), `?limit=` 1 to 100 (10)';
const STATE = 'the state of the server: `?userId=` (one’s own), `?limit=`; a browser is sent to `/admin`';
const CUSTOMER = 'list, newest run of each model, newest 50 events: `?limit=` products of each list, 1 to 100 (10)';
const INTERACTION = '`{productId, actionCode, device?, eventId?, timestamp?, token?, recommendation_id?, position?, session_id?}`';

/** All routes, as in the table of README.md. */
export const ROUTES = Object.freeze([
  { method: 'GET', path: '/api/recommendations/list', who: GUEST, action: 'listForCurrentUser', meaning: `the list: ${LISTING}` },
  { method: 'POST', path: '/api/recommendations/init', who: GUEST, action: 'initForCurrentUser', meaning: 'a new list, whatever is cached; the same parameters' },
  { method: 'DELETE', path: '/api/recommendations/clear', who: USER, action: 'clearForCurrentUser', meaning: 'delete the cached list' },
  { method: 'GET', path: '/api/recommendations/similar/:productId', who: GUEST, action: 'listSimilar', meaning: 'products similar to one; the same parameters' },
  { method: 'GET', path: '/api/recommendations/together', who: GUEST, action: 'listTogether', meaning: `products bought together with a basket: ${BASKET}; the same parameters` },
  { method: 'GET', path: '/api/recommendations/trending', who: GUEST, action: 'listTrending', meaning: 'products chosen more often now than in the weeks before; the same parameters' },
  { method: 'GET', path: '/api/recommendations/again', who: GUEST, action: 'listAgain', meaning: 'products that the visitor bought before and may need again; often none; the same parameters' },
  { method: 'GET', path: '/api/products', who: GUEST, action: 'browseProducts', meaning: `the products for sale, and their categories: ${BROWSING}` },
  { method: 'GET', path: '/api/products/:productId', who: GUEST, action: 'showProduct', meaning: 'a product for sale' },
  { method: 'GET', path: '/api/products/:productId/image', who: EVERYBODY, action: 'showPicture', meaning: 'its picture, for sale or not; not counted in the limits' },
  { method: 'POST', path: '/api/interaction', who: GUEST, action: 'recordForCurrentUser', hasBody: true, takesToken: true, meaning: `what the visitor did: ${INTERACTION}` },
  { method: 'GET', path: '/api/viewed', who: GUEST, action: 'listViewed', meaning: 'products viewed, the latest first: `?limit=` 1 to 100 (10)' },
  { method: 'GET', path: '/api/cart', who: GUEST, action: 'listCart', meaning: 'what lies in the cart' },
  { method: 'POST', path: '/api/auth/login', who: LOGIN, action: 'login', hasBody: true, meaning: '`{email, password}` for a token' },
  { method: 'GET', path: '/api/admin/overview', who: ADMINISTRATOR, action: 'showOverview', meaning: 'active version, models, answers of the last 7 days, latency, and the state of the server' },
  { method: 'GET', path: '/api/admin/sales', who: ADMINISTRATOR, action: 'showSales', meaning: 'what recommendations have sold, and the arms of the experiment' },
  { method: 'GET', path: '/api/admin/users/:userId', who: ADMINISTRATOR, action: 'showCustomer', meaning: `one customer: ${CUSTOMER}` },
  { method: 'POST', path: '/api/admin/users/:userId/list', who: ADMINISTRATOR, action: 'makeListForCustomer', meaning: 'make a new list for a customer; the same parameter and answer' },
  { method: 'GET', path: '/internal/recommendations', who: ADMINISTRATOR_BY_PASSWORD, first: 'redirectBrowser', action: 'showRecommendations', meaning: `a list with its runs, and ${STATE}` },
  { method: 'GET', path: '/health', who: EVERYBODY, action: 'health', meaning: 'the process is up' },
  { method: 'GET', path: '/ready', who: EVERYBODY, action: 'ready', meaning: '`ready`; `degraded` while the fallback chain or the spool does part of the work; 503 `closing`; beside it the ages of the model and its data, and why workers refused it' },
  { method: 'GET', path: '/metrics', who: MACHINE, action: 'metrics', meaning: 'counts for Prometheus: by METRICS_TOKEN, or from this machine and through no proxy' },
]);

/** Return a route's path, and its older spelling if it has one. */
export function spellingsOf(path) {
  return [...new Set([path, path.replace('/api/recommendations/', '/api/recommend/')])];
}

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
  for (const { method, path, who, first, action, hasBody = false, takesToken = false } of ROUTES) {
    const body = hasBody ? jsonBody : method === 'GET' ? [noBody] : [];
    const beginning = [nameRoute(path), ...body, ...(takesToken ? [tokenInBody] : []), ...(first ? [actions[first]] : [])];
    const steps = [...beginning, ...gates[who], actions[action]];
    for (const spelling of spellingsOf(path)) router.route(spelling)[method.toLowerCase()](steps).all(refuseMethod(method));
  }
  return router;
}

/** Return the middlewares before the handlers, by `who`: the address's limit, then the identification, then the user's limit. */
function gatesOf(services) {
  const { byAddress, byUser, logins } = rateLimits(services.settings);
  return {
    [EVERYBODY]: [],
    [MACHINE]: [],
    [USER]: [byAddress, verifyTokenUser(services), byUser],
    [GUEST]: [byAddress, verifyTokenIfAny(services), byUser],
    [ADMINISTRATOR]: [byAddress, verifyAdmin(services), byUser],
    [ADMINISTRATOR_BY_PASSWORD]: [byAddress, ...logins, verifyAdmin(services, { byPassword: true })],
    [LOGIN]: [byAddress, ...logins],
  };
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
