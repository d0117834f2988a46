/** The cache of lists: the tables `rec_lists`, `recommendations` and `model_runs`, and how fresh a stored list is. */
import { randomUUID } from 'node:crypto';

import { QueryTypes } from 'sequelize';

import { ownTable } from '../../config/database.js';
import { isDuplicate, retriedAfterDeadlock } from '../../config/databaseErrors.js';
import { armIn, isOtherContext } from './context.js';

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
const { DELETE, INSERT, SELECT, UPDATE } = QueryTypes;

/**
 * @typedef {object} Begun What a computation knows of the list that it may replace.
 * @property {string | null} token It changes when the computations before are no longer wanted.
 * @property {number} computedAt Of the list; 0 or negative where there is no valid one.
 * @property {number} nRequested How many items were requested for it.
 */

/**
 * Stores each user's list as a whole, one for each user.
 *
 * Each new list (`begin` with `isNew`), purchase and deletion changes `leaseToken`, and what was begun under another token is not stored.
 * A list that replaces an outdated one is also not stored if one of at least its length was stored meanwhile. Nothing waits for a
 * computation, so that one whose process has ended is no obstacle.
 */
export class RecommendationCache {
  #parts;

  /** @param {{sequelize: Sequelize, models: Models, clock: {now: () => number}}} parts */
  constructor(parts) {
    this.#parts = parts;
  }

  /**
   * Begin a computation, and return what `store` needs to know. A user without a row gets one, so that a purchase during the computation is
   * noticed.
   *
   * @param {number} userId
   * @param {boolean} isNew Whether the list shall be stored whatever was begun or stored before.
   * @returns {Promise<Begun>}
   */
  async begin(userId, isNew) {
    const token = randomUUID();
    const bind = { userId, token };
    try {
      const sql = `INSERT INTO ${this.#lists} (userId, leaseToken) VALUES ($userId, $token)`;
      await retriedAfterDeadlock(() => this.#parts.sequelize.query(sql, { bind, type: INSERT }));
      return { token, computedAt: 0, nRequested: 0 };
    } catch (error) {
      if (!isDuplicate(error)) throw error;
    }
    if (isNew) await this.#change(`UPDATE ${this.#lists} SET leaseToken = $token WHERE userId = $userId`, bind);
    const sql = `SELECT leaseToken AS token, computedAt, asked AS nRequested FROM ${this.#lists} WHERE userId = $userId`;
    const [row] = await this.#parts.sequelize.query(sql, { bind: { userId }, type: SELECT });
    // without a row, it was cleared meanwhile, and nothing will be stored
    return /** @type {Begun} */ ({ computedAt: 0, nRequested: 0, ...row, ...((isNew || !row) && { token }) });
  }

  /**
   * Replace a user's list by a model's answer, and add the run of each model, in one transaction. Nothing is stored if that is no longer
   * wanted.
   *
   * @param {number} userId
   * @param {Begun} begun Before the computation.
   * @param {{answer: Recommendation, nRequested: number, context: string, isNew: boolean}} list `nRequested`: how many items were requested.
   */
  async store(userId, begun, list) {
    await this.#transaction((transaction) => this.#replace(userId, begun, list, transaction));
  }

  /** Invalidate a user's list, and those that are being computed for them. */
  async invalidate(userId) {
    const sql = `UPDATE ${this.#lists} SET computedAt = 0, leaseToken = $token WHERE userId = $userId`;
    await this.#change(sql, { userId, token: randomUUID() });
  }

  /** Delete a user's list and runs. Returns how many items the list had. */
  async clear(userId) {
    return this.#transaction(async (transaction) => {
      const options = { bind: { userId }, type: DELETE, transaction };
      await this.#parts.sequelize.query(`DELETE FROM ${this.#lists} WHERE userId = $userId`, options);
      await this.#parts.sequelize.query(`DELETE FROM ${this.#runs} WHERE userId = $userId`, options);
      return this.#parts.models.Recommendation.destroy({ where: { userId }, transaction });
    });
  }

  async #replace(userId, begun, { answer, nRequested, context, isNew }, transaction) {
    const { Recommendation, ModelRun } = this.#parts.models;
    const now = this.#parts.clock.now();
    const sql = `UPDATE ${this.#lists} SET modelName = $model, modelVersion = $version, source = $source, context = $context,
                 asked = $nRequested, computedAt = $now WHERE userId = $userId AND COALESCE(leaseToken, '') = $token
                 AND ($isNew = 1 OR computedAt = $seen OR asked < $nRequested)`;
    const { model, model_version: version, source } = answer;
    const wanted = { userId, token: begun.token ?? '', isNew: Number(isNew), seen: begun.computedAt };
    const values = { model, version, source, context, nRequested, now, ...wanted };
    if (!(await this.#change(sql, values, transaction))) return;
    await Recommendation.destroy({ where: { userId }, transaction });
    await Recommendation.bulkCreate(itemRows(userId, answer), { transaction });
    await ModelRun.bulkCreate(runRows(userId, answer), { transaction });
    const deleteOld = `DELETE FROM ${this.#runs} WHERE userId = $userId AND createdAt < $before`;
    const before = new Date(now - RUNS_KEPT_MS).toISOString().slice(0, 19).replace('T', ' ');
    await this.#parts.sequelize.query(deleteOld, { bind: { userId, before }, type: DELETE, transaction });
  }

  get #lists() {
    return ownTable(this.#parts.sequelize, 'rec_lists');
  }

  get #runs() {
    return this.#parts.models.ModelRun.getTableName();
  }

  #transaction(work) {
    return retriedAfterDeadlock(() => this.#parts.sequelize.transaction(work));
  }

  async #change(sql, bind, transaction) {
    const [, changed] = await this.#parts.sequelize.query(sql, { bind, type: UPDATE, transaction });
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
 * @param {Pick<CachedRow, 'productId' | 'computedAt' | 'nRequested' | 'modelVersion' | 'context'> | undefined} header Its first row, if any.
 * @param {object} options
 * @param {number} options.limit
 * @param {Context} options.context What `deriveContext` returns for now.
 * @param {Published | null} options.published The active version; null where none is known.
 * @param {number} options.now Milliseconds since 1970.
 * @param {string} [options.arm] What `armKey` returns: another arm's list is none of this customer's.
 * @param {{ttlS: number, staleS: number}} cache
 * @returns {'fresh' | 'stale' | 'miss'} A stale list may be answered while a new one is computed.
 */
export function freshnessOf(header, options, { ttlS, staleS }) {
  if (header === undefined || header.productId === null) return 'miss';
  const { computedAt, nRequested, modelVersion, context } = header;
  if (computedAt <= 0 || nRequested < options.limit) return 'miss';
  if (armIn(context) !== (options.arm ?? '')) return 'miss';
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
