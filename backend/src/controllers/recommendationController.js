import { algorithmOfList, newRecommendationId } from '../services/tracking/listEvents.js';
import { BASKET, LISTING, NOTHING, PRODUCT, checked } from './checked.js';

/**
 * @import { Request } from 'express'
 * @import { Services } from '../app.js'
 */

const TABLET = /iPad|Tablet|PlayBook|Silk/i;
const MOBILE = /Mobi|iPhone|iPod|Android/i;
const AGENT_CHARACTERS = 300; // of a User-Agent; the patterns match near its beginning

/**
 * Return the handlers of the current user's list. The token names the user; without one it is a guest's.
 *
 * @param {Pick<Services, 'recommendations' | 'answerCounts' | 'arms'>} services
 */
export function recommendationController({ recommendations, answerCounts, arms }) {
  const send = (req, res, { data, source, fallbackReason, modelVersion }, more = {}) => {
    const userId = req.user?.id ?? null;
    const ids = { recommendation_id: newRecommendationId(algorithmOfList({ data, source, fallbackReason })), arm: arms.of(userId)?.name ?? null };
    answerCounts.add({ source, fallbackReason });
    res.json({ errCode: 0, ...more, data, source, fallbackReason, modelVersion, ...ids });
    void arms.enter(userId);
  };
  const optionsOf = (req) => {
    const { limit, device = deviceOf(req) } = checked(LISTING, req.query);
    return { limit, device };
  };
  const visitorOf = (req) => ({ userId: req.user?.id ?? null, guestId: req.guestId ?? null });
  return {
    /** The cached list, or a new one. */
    async listForCurrentUser(req, res) {
      const options = optionsOf(req);
      send(req, res, await (req.user ? recommendations.listForUser(req.user.id, options) : recommendations.listForGuest(req.guestId, options)));
    },

    /** A new list, whatever is cached. */
    async initForCurrentUser(req, res) {
      const options = optionsOf(req);
      const list = req.user
        ? recommendations.computeRecommendationsForUser(req.user.id, options)
        : recommendations.listForGuest(req.guestId, { ...options, isNew: true });
      send(req, res, await list, { message: 'initialized' });
    },

    /** Delete the cached list. */
    async clearForCurrentUser(req, res) {
      checked(NOTHING, req.query);
      res.json({ errCode: 0, message: 'cleared', cleared: await recommendations.clearForUser(req.user.id) });
    },

    /** Products similar to one; for guests, too. */
    async listSimilar(req, res) {
      const { productId } = checked(PRODUCT, req.params);
      const { limit } = optionsOf(req);
      send(req, res, await recommendations.similar(productId, { limit, ...visitorOf(req) }));
    },

    /** Products bought together with those of a basket; for guests, too. */
    async listTogether(req, res) {
      const { items, limit, complementary } = checked(BASKET, req.query);
      send(req, res, await recommendations.together(items, { limit, complementary, ...visitorOf(req) }));
    },

    /** Products chosen more often now than before; for guests, too. */
    async listTrending(req, res) {
      const { limit } = optionsOf(req);
      send(req, res, await recommendations.trending({ limit, ...visitorOf(req) }));
    },

    /** Products that the visitor bought before and may need again; often none. */
    async listAgain(req, res) {
      const { limit } = optionsOf(req);
      send(req, res, await recommendations.again({ limit, ...visitorOf(req) }));
    },
  };
}

/**
 * Return the device that a browser's headers name, or null if they name none.
 *
 * @param {Request} req
 * @returns {'desktop' | 'mobile' | 'tablet' | null}
 */
function deviceOf(req) {
  if (req.headers['sec-ch-ua-mobile'] === '?1') return 'mobile';
  const agent = (req.headers['user-agent'] ?? '').slice(0, AGENT_CHARACTERS);
  if (TABLET.test(agent) || (/Android/i.test(agent) && !/Mobi/i.test(agent))) return 'tablet';
  if (MOBILE.test(agent)) return 'mobile';
  return agent.startsWith('Mozilla/') ? 'desktop' : null; // other programs have no device
}
