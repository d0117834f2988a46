import { isOfDatabase } from '../config/databaseErrors.js';
import { overviewPage } from '../views/overviewPage.js';
import { LISTING_OF_ANYBODY, checked } from './checked.js';

/** @import { Services } from '../app.js' */

/**
 * @typedef {object} ModelRun The newest run of a model for a user.
 * @property {string} modelName
 * @property {any} metrics What was stored; null where it cannot be read.
 * @property {any} recommendations What was stored; null where it cannot be read.
 * @property {Date | string} createdAt
 *
 * @typedef {Awaited<ReturnType<typeof overviewOf>>} Overview
 */

const RUNS_READ = 40; // the newest rows hold the newest run of each model

/**
 * Return the handler of the administrators' overview: one user's list and runs, and the state of the server, as JSON or as a page.
 *
 * @param {Parameters<typeof overviewOf>[0]} services
 */
export function internalController(services) {
  return {
    async showRecommendations(req, res) {
      const { limit, userId = req.user.id } = checked(LISTING_OF_ANYBODY, req.query);
      const overview = await overviewOf(services, userId, { limit });
      res.vary('Accept');
      if (req.accepts(['json', 'html']) === 'html') res.type('html').send(overviewPage(overview));
      else res.json({ errCode: 0, data: overview });
    },
  };
}

/**
 * Return what the administrators see.
 *
 * @param {Pick<Services, 'models' | 'recommendations' | 'python' | 'interactions' | 'elsewhere'>} services
 * @param {number} userId
 * @param {{limit: number}} options
 */
async function overviewOf({ models, recommendations, python, interactions, elsewhere = () => [] }, userId, { limit }) {
  const [cached, runs] = await Promise.all([recommendations.getCachedForUser(userId, { limit }), newestRuns(models.ModelRun, userId)]);
  return {
    userId,
    context: recommendations.deriveContext({}),
    cached,
    runs,
    python: python.stats(),
    spool: { ...interactions.stats(), elsewhere: elsewhere() },
  };
}

/**
 * Return the newest run of each model, or null if the database fails.
 *
 * @returns {Promise<ModelRun[] | null>}
 */
async function newestRuns(ModelRun, userId) {
  let rows;
  try {
    rows = await ModelRun.findAll({ where: { userId }, order: [['id', 'DESC']], limit: RUNS_READ, raw: true });
  } catch (error) {
    if (!isOfDatabase(error)) throw error;
    return null;
  }
  const newest = new Map();
  for (const row of rows) if (!newest.has(row.modelName)) newest.set(row.modelName, row);
  return [...newest.values()].map(({ modelName, metricsJson, recommendationsJson, createdAt }) => ({
    modelName,
    metrics: parsed(metricsJson),
    recommendations: parsed(recommendationsJson),
    createdAt,
  }));
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null; // written by hand, or truncated
  }
}
