import { isOfDatabase } from '../config/databaseErrors.js';
import { newestRuns } from '../services/adminService.js';
import { LISTING_OF_ANYBODY, checked } from './checked.js';

/** @import { Services } from '../app.js' */

/**
 * Return the handlers of an older overview: one user's list and runs, and the state of the server. Browsers are sent to the administrators'
 * page, which shows the same.
 *
 * @param {Pick<Services, 'models' | 'recommendations' | 'python' | 'interactions' | 'elsewhere'>} services
 */
export function internalController({ models, recommendations, python, interactions, elsewhere = () => [] }) {
  return {
    /** Send a browser on; the page asks for the administrator's password itself. */
    redirectBrowser(req, res, next) {
      res.vary('Accept');
      if (req.accepts(['json', 'html']) !== 'html') return next();
      const { userId } = checked(LISTING_OF_ANYBODY, req.query);
      return res.redirect(302, userId === undefined ? '/admin' : `/admin?user=${userId}`);
    },

    async showRecommendations(req, res) {
      const { limit, userId = req.user.id } = checked(LISTING_OF_ANYBODY, req.query);
      const [cached, runs] = await Promise.all([recommendations.getCachedForUser(userId, { limit }), runsOrNull(models.ModelRun, userId)]);
      const spool = { ...interactions.stats(), elsewhere: elsewhere() };
      res.json({ errCode: 0, data: { userId, context: recommendations.deriveContext({}), cached, runs, python: python.stats(), spool } });
    },
  };
}

/** Return the newest run of each model, or null if the database fails. */
async function runsOrNull(ModelRun, userId) {
  try {
    return await newestRuns(ModelRun, userId);
  } catch (error) {
    if (!isOfDatabase(error)) throw error;
    return null;
  }
}
