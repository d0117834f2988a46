/** The cache of lists: the tables `rec_lists`, `recommendations` and `model_runs`, and how fresh a stored list is. */
import { QueryTypes } from 'sequelize';

import { isDeadlock } from '../../config/databaseErrors.js';
import { isOtherContext } from './context.js';

/**
 * @import { Sequelize } from 'sequelize'
 * @import { Models } from '../../models/index.js'
 * @import { Recommendation } from '../pythonInvoker.js'
 * @import { CachedRow } from './catalogue.js'
 * @import { Context } from './context.js'
 * @import { Published } from './snapshot.js'
 */

const RUNS_KEPT_MS = 30 * 86_400_000; // older runs of a user are deleted when a new list is stored
const SKEW_MS = 60_000; // how far the clocks of two machines may differ
const SWITCH_MS = 2000; // Python usually serves a version this soon after its activation
const LOAD_MS = 60_000; // Python has loaded even a large version by then; it serves the old one meanwhile
const { DELETE, INSERT, UPDATE } = QueryTypes;

/** The lease of this list was taken away, or the list was invalidated. */
class LeaseLost extends Error {}

/**
 * Stores each user's list as a whole, and lets one process at a time compute it.
 *
 * Only the holder of a list's lease may store it. A lease expires by itself, so that a process that died delays no other one. A list whose
 * lease was taken away is not stored. Machines' clocks may differ: a lease that ends too far in the future counts as expired.
 */
export class RecommendationCache {
  /** @type {Sequelize} */
  #sequelize;
  /** @type {Models} */
  #models;
  #clock;
  #leaseMs;

  /** @param {{sequelize: Sequelize, models: Models, clock: {now: () => number}, leaseMs: number}} options */
  constructor({ sequelize, models, clock, leaseMs }) {
    this.#sequelize = sequelize;
    this.#models = models;
    this.#clock = clock;
    this.#leaseMs = leaseMs;
  }

  /** Whether a process holds the lease of a list. */
  isLeased({ leaseUntil }) {
    const timeLeft = leaseUntil - this.#clock.now();
    return timeLeft > 0 && timeLeft <= this.#leaseMs;
  }

  /**
   * Acquire the lease of a user's list.
   *
   * @param {number} userId
   * @param {string} token
   * @param {number | null | undefined} seen `computedAt` of the outdated list, null where there was none. If it has changed, a newer list is stored,
   *   and the lease is refused. Undefined takes the lease from any holder.
   * @returns {Promise<boolean>} Whether this process has the lease.
   */
  async acquire(userId, token, seen) {
    const now = this.#clock.now();
    const lease = { userId, token, until: now + this.#leaseMs };
    if (seen === undefined) return this.#takeLease(lease);
    if (seen === null) return this.#insertLease(lease);
    const sql = `UPDATE rec_lists SET leaseToken = $token, leaseUntil = $until
                 WHERE userId = $userId AND computedAt = $seen AND (leaseUntil <= $now OR leaseUntil > $until)`;
    return this.#change(sql, { ...lease, now, seen });
  }

  /** Release a lease without storing a list. */
  async release(userId, token) {
    const sql = 'UPDATE rec_lists SET leaseToken = NULL, leaseUntil = 0 WHERE userId = $userId AND leaseToken = $token';
    await this.#change(sql, { userId, token });
  }

  /**
   * Replace a user's list by a model's answer, and add the run of each model, in one transaction.
   *
   * @param {number} userId
   * @param {string} token Of the lease, which is released.
   * @param {{answer: Recommendation, nRequested: number, context: string}} list `nRequested`: how many items were requested.
   * @returns {Promise<boolean>} Whether it was stored; false if the lease was taken away meanwhile.
   */
  async store(userId, token, list) {
    try {
      await this.#storeOnce(userId, token, list).catch((error) => {
        if (!isDeadlock(error)) throw error;
        return this.#storeOnce(userId, token, list); // the other transaction has committed
      });
      return true;
    } catch (error) {
      if (error instanceof LeaseLost) return false;
      throw error;
    }
  }

  /** Invalidate a user's list, and the one that is being computed for them. */
  async invalidate(userId) {
    await this.#change('UPDATE rec_lists SET computedAt = 0, leaseToken = NULL, leaseUntil = 0 WHERE userId = $userId', { userId });
  }

  /** Delete a user's list and runs. Returns how many items the list had. */
  async clear(userId) {
    return this.#sequelize.transaction(async (transaction) => {
      const options = { bind: { userId }, type: DELETE, transaction };
      await this.#sequelize.query('DELETE FROM rec_lists WHERE userId = $userId', options);
      await this.#sequelize.query('DELETE FROM model_runs WHERE userId = $userId', options);
      return this.#models.Recommendation.destroy({ where: { userId }, transaction });
    });
  }

  #storeOnce(userId, token, { answer, nRequested, context }) {
    const { Recommendation, ModelRun } = this.#models;
    return this.#sequelize.transaction(async (transaction) => {
      const now = this.#clock.now();
      const sql = `UPDATE rec_lists SET modelName = $model, modelVersion = $version, source = $source, context = $context,
                   asked = $nRequested, computedAt = $now, leaseToken = NULL, leaseUntil = 0
                   WHERE userId = $userId AND leaseToken = $token`;
      const { model, model_version: version, source } = answer;
      const values = { model, version, source, context, nRequested, now, userId, token };
      if (!(await this.#change(sql, values, transaction))) throw new LeaseLost();
      await Recommendation.destroy({ where: { userId }, transaction });
      await Recommendation.bulkCreate(itemRows(userId, answer), { transaction });
      await ModelRun.bulkCreate(runRows(userId, answer), { transaction });
      const deleteOld = 'DELETE FROM model_runs WHERE userId = $userId AND createdAt < $before';
      const before = new Date(now - RUNS_KEPT_MS).toISOString().slice(0, 19).replace('T', ' ');
      await this.#sequelize.query(deleteOld, { bind: { userId, before }, type: DELETE, transaction });
    });
  }

  /** Take a lease from any holder. One statement does it, because the row may be deleted between two. */
  async #takeLease(lease) {
    await this.#upsert(lease, {
      mysql: 'ON DUPLICATE KEY UPDATE leaseToken = $token, leaseUntil = $until',
      sqlite: 'ON CONFLICT (userId) DO UPDATE SET leaseToken = $token, leaseUntil = $until',
    });
    return true;
  }

  /** Take the lease of a list that does not exist yet. Returns whether this process has inserted its row. */
  async #insertLease(lease) {
    const onConflict = { mysql: 'ON DUPLICATE KEY UPDATE userId = userId', sqlite: 'ON CONFLICT DO NOTHING' };
    return (await this.#upsert(lease, onConflict)) === 1;
  }

  async #upsert(lease, onConflict) {
    const sql = `INSERT INTO rec_lists (userId, leaseToken, leaseUntil) VALUES ($userId, $token, $until)
                 ${onConflict[this.#sequelize.getDialect()]}`;
    const [, rows] = await this.#sequelize.query(sql, { bind: lease, type: INSERT });
    return rows;
  }

  async #change(sql, bind, transaction) {
    const [, changed] = await this.#sequelize.query(sql, { bind, type: UPDATE, transaction });
    return changed > 0;
  }
}

function itemRows(userId, { model: modelName, items }) {
  return items.map(({ productId, score, reason = null }) => ({ userId, productId, modelName, score, details: JSON.stringify({ reason }) }));
}

function runRows(userId, { runs, model_version: modelVersion, source }) {
  return runs.map(({ model: modelName, items, metrics, basis, error }) => ({
    userId,
    modelName,
    metricsJson: JSON.stringify({ mode: 'python_infer', ...metrics, basis, modelVersion, source, ...(error && { error }) }),
    recommendationsJson: JSON.stringify(items),
  }));
}

/**
 * Return how fresh a stored list is.
 *
 * @param {Pick<CachedRow, 'computedAt' | 'nRequested' | 'modelVersion' | 'context'>} header
 * @param {object} options
 * @param {number} options.limit
 * @param {Context} options.context What `deriveContext` returns for now.
 * @param {Published | null} options.published The active version; null where none is known.
 * @param {number} options.now Milliseconds since 1970.
 * @param {{ttlS: number, staleS: number}} cache
 * @returns {'fresh' | 'stale' | 'miss'} A stale list may be answered while a new one is computed.
 */
export function freshnessOf({ computedAt, nRequested, modelVersion, context }, options, { ttlS, staleS }) {
  if (computedAt === 0 || nRequested < options.limit) return 'miss';
  if (isOfAnotherVersion(modelVersion, computedAt, options.published)) return 'miss';
  const age = options.now - computedAt;
  if (age < -SKEW_MS) return 'stale'; // a clock was turned back, so the age is unknown
  if (age >= 1000 * (ttlS + staleS)) return 'miss';
  const isStale =
    age >= 1000 * ttlS || isOtherContext(context, options.context) || wasComputedWhileLoading(modelVersion, computedAt, options);
  return isStale ? 'stale' : 'fresh';
}

/** A list that was computed well after an activation is what Python serves now, whatever version it names. */
function isOfAnotherVersion(modelVersion, computedAt, published) {
  return published !== null && modelVersion !== published.name && computedAt < published.activatedAt + SWITCH_MS;
}

/** A list of the old version, computed while Python loaded the new one, becomes stale once when the loading is over. */
function wasComputedWhileLoading(modelVersion, computedAt, { published, now }) {
  if (published === null || modelVersion === published.name) return false;
  const loadedAt = published.activatedAt + LOAD_MS;
  return computedAt < loadedAt && now >= loadedAt;
}
