import { NOTHING, LIMIT, checked } from './checked.js';

/** @import { Services } from '../app.js' */

/**
 * Return the handlers of what the present visitor viewed and has in the cart.
 *
 * @param {Pick<Services, 'history'>} services
 */
export function historyController({ history }) {
  return {
    async listViewed(req, res) {
      const { limit } = checked(LIMIT, req.query);
      res.json({ errCode: 0, data: await history.viewed(visitorOf(req), limit) });
    },

    async listCart(req, res) {
      checked(NOTHING, req.query);
      res.json({ errCode: 0, data: await history.cart(visitorOf(req)) });
    },
  };
}

function visitorOf(req) {
  return { userId: req.user?.id ?? null, guestId: req.guestId ?? null };
}
