import { HttpError } from '../middlewares/errors.js';
import { CUSTOMER, LIMIT, NOTHING, checked } from './checked.js';

/** @import { Services } from '../app.js' */

/**
 * Return the handlers of the administrators' page.
 *
 * @param {Pick<Services, 'admin' | 'sales'>} services
 */
export function adminController({ admin, sales }) {
  return {
    /** The active version, its models, the answers of the last days, and the state of the server. */
    async showOverview(req, res) {
      checked(NOTHING, req.query);
      res.json({ errCode: 0, ...(await admin.overview()) });
    },

    /** What recommendations have sold, and the arms of the experiment. */
    showSales(req, res) {
      checked(NOTHING, req.query);
      res.json({ errCode: 0, ...sales.latest() });
    },

    /** One user: list, runs and history. */
    async showCustomer(req, res) {
      send(res, await admin.user(...askedFor(req)));
    },

    /** A new list for a user. */
    async makeListForCustomer(req, res) {
      send(res, await admin.makeList(...askedFor(req)));
    },
  };
}

/** @returns {[number, {limit: number}]} */
function askedFor(req) {
  return [checked(CUSTOMER, req.params).userId, checked(LIMIT, req.query)];
}

function send(res, user) {
  if (user === null) throw new HttpError(404, 'There should be a user with this id. Received: one that is not in `Users`.', { field: 'userId' });
  res.json({ errCode: 0, ...user });
}
