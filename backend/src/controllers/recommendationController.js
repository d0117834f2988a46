import { LISTING, NOTHING, PRODUCT, checked } from './checked.js';
import { deviceOf } from './device.js';

/**
 * Return the handlers of a customer's own list. Whose it is, the token says.
 *
 * @param {{recommendations: object, settings: object}} services
 */
export function recommendationController({ recommendations, settings }) {
  const budgetMs = settings.python.timeoutMs;
  const wishOf = (req) => {
    const { limit, device = deviceOf(req) } = checked(LISTING, req.query);
    return { limit, device };
  };
  return {
    /** The cached list, or a new one. */
    async listForCurrentUser(req, res) {
      send(res, await recommendations.listForUser(req.user.id, { ...wishOf(req), budgetMs }));
    },

    /** A new list, whatever is cached. */
    async initForCurrentUser(req, res) {
      send(res, await recommendations.initForUser(req.user.id, wishOf(req)), { message: 'initialized' });
    },

    /** No list, until the next one is asked for. */
    async clearForCurrentUser(req, res) {
      checked(NOTHING, req.query);
      res.json({ errCode: 0, message: 'cleared', cleared: await recommendations.clearForUser(req.user.id) });
    },

    /** Products like one; for guests, too. */
    async listSimilar(req, res) {
      const { productId } = checked(PRODUCT, req.params);
      const { limit } = wishOf(req);
      send(res, await recommendations.similar(productId, { limit, userId: req.user?.id ?? null }));
    },
  };
}

function send(res, { data, source, fallbackReason, modelVersion }, more = {}) {
  res.json({ errCode: 0, ...more, data, source, fallbackReason, modelVersion });
}
