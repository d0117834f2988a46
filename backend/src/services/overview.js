import { isOfDatabase } from './databaseErrors.js';

const RUNS_READ = 40; // the newest rows hold the newest run of each model

/**
 * Return what is known of one customer's recommendations, and how the server fares: what administrators see.
 *
 * @param {object} services
 * @param {number} userId
 * @param {{limit: number}} wish
 */
export async function overview({ models, recommendations, python, interactions, elsewhere = () => [] }, userId, { limit }) {
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

/** Return the newest run of each model, or null where the database is away. */
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
    return null; // written by hand, or cut
  }
}
