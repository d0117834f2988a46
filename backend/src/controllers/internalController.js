import { overview } from '../services/overview.js';
import { overviewPage } from '../views/overviewPage.js';
import { LISTING_OF_ANYBODY, checked } from './checked.js';

/**
 * Return the handler of what administrators see: one customer's list, its runs, and how the server fares; as JSON or as a page.
 *
 * @param {object} services
 */
export function internalController(services) {
  return {
    async showRecommendations(req, res) {
      const { limit, userId = req.user.id } = checked(LISTING_OF_ANYBODY, req.query);
      const seen = await overview(services, userId, { limit });
      res.vary('Accept');
      if (req.accepts(['json', 'html']) === 'html') res.type('html').send(overviewPage(seen));
      else res.json({ errCode: 0, data: seen });
    },
  };
}
