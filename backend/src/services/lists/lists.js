import { QueryTypes } from 'sequelize';

import { isDeadlock } from '../databaseErrors.js';

const RUNS_KEPT_MS = 30 * 86_400_000; // of each customer; the newest are always kept for as long
const { DELETE, INSERT, UPDATE } = QueryTypes;

/** Somebody else has been given the right to store this list meanwhile, or it was declared void. */
class Overtaken extends Error {}

/**
 * Keeps each customer's list in the database: one that is replaced as a whole, and one process at a time that makes it.
 *
 * Whoever holds the lease of a list may store it. A lease ends by itself, so that nobody waits for the dead; what a process stores whose
 * lease has been taken away is refused. Clocks of several machines may differ: a lease or a list from the future is not believed.
 */
export class Lists {
  #sequelize;
  #models;
  #clock;
  #leaseMs;

  /** @param {{sequelize: Sequelize, models: object, clock: {now: () => number}, leaseMs: number}} options */
  constructor({ sequelize, models, clock, leaseMs }) {
    this.#sequelize = sequelize;
    this.#models = models;
    this.#clock = clock;
    this.#leaseMs = leaseMs;
  }

  /** Whether somebody is making a list. */
  isLeased({ leaseUntil }) {
    const left = leaseUntil - this.#clock.now();
    return left > 0 && left <= this.#leaseMs;
  }

  /**
   * Ask for the lease of a customer's list.
   *
   * @param {number} userId
   * @param {string} token
   * @param {number | null} seen `computedAt` of the list that was found wanting, null where there was none: if it has changed, there is
   *   a newer one to look at. Undefined takes the lease from whoever holds it.
   * @returns {Promise<boolean>} Whether it was given.
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

  /** Give a lease back without a list. */
  async release(userId, token) {
    const sql = 'UPDATE rec_lists SET leaseToken = NULL, leaseUntil = 0 WHERE userId = $userId AND leaseToken = $token';
    await this.#change(sql, { userId, token });
  }

  /**
   * Replace a customer's list by a model's answer and note every model's run, all or nothing.
   *
   * @param {number} userId
   * @param {string} token Of the lease, which ends.
   * @param {{answer: object, asked: number, context: string}} list
   * @returns {Promise<boolean>} Whether it was stored; false if the lease was taken away meanwhile.
   */
  async store(userId, token, list) {
    try {
      await this.#storeOnce(userId, token, list).catch((error) => {
        if (!isDeadlock(error)) throw error;
        return this.#storeOnce(userId, token, list); // the other one of the two has passed
      });
      return true;
    } catch (error) {
      if (error instanceof Overtaken) return false;
      throw error;
    }
  }

  /** Declare a customer's list void, and what is being computed for her, too. */
  async invalidate(userId) {
    await this.#change('UPDATE rec_lists SET computedAt = 0, leaseToken = NULL, leaseUntil = 0 WHERE userId = $userId', { userId });
  }

  /** Forget a customer's list and her runs. Returns how many items the list had. */
  async clear(userId) {
    return this.#sequelize.transaction(async (transaction) => {
      const options = { bind: { userId }, type: DELETE, transaction };
      await this.#sequelize.query('DELETE FROM rec_lists WHERE userId = $userId', options);
      await this.#sequelize.query('DELETE FROM model_runs WHERE userId = $userId', options);
      return this.#models.Recommendation.destroy({ where: { userId }, transaction });
    });
  }

  #storeOnce(userId, token, { answer, asked, context }) {
    const { Recommendation, ModelRun } = this.#models;
    return this.#sequelize.transaction(async (transaction) => {
      const now = this.#clock.now();
      const sql = `UPDATE rec_lists SET modelName = $model, modelVersion = $version, source = $source, context = $context, asked = $asked,
                   computedAt = $now, leaseToken = NULL, leaseUntil = 0 WHERE userId = $userId AND leaseToken = $token`;
      const { model, model_version: version, source } = answer;
      if (!(await this.#change(sql, { model, version, source, context, asked, now, userId, token }, transaction))) throw new Overtaken();
      await Recommendation.destroy({ where: { userId }, transaction });
      await Recommendation.bulkCreate(itemRows(userId, answer), { transaction });
      await ModelRun.bulkCreate(runRows(userId, answer), { transaction });
      const old = 'DELETE FROM model_runs WHERE userId = $userId AND createdAt < $before';
      const before = new Date(now - RUNS_KEPT_MS).toISOString().slice(0, 19).replace('T', ' ');
      await this.#sequelize.query(old, { bind: { userId, before }, type: DELETE, transaction });
    });
  }

  /** Take a lease from whoever holds it. In one statement: between two, the row may be cleared away. */
  async #takeLease(lease) {
    await this.#upsert(lease, {
      mysql: 'ON DUPLICATE KEY UPDATE leaseToken = $token, leaseUntil = $until',
      sqlite: 'ON CONFLICT (userId) DO UPDATE SET leaseToken = $token, leaseUntil = $until',
    });
    return true;
  }

  /** Take the lease of a list that is not there yet. Returns whether it still was not. */
  async #insertLease(lease) {
    return (await this.#upsert(lease, { mysql: 'ON DUPLICATE KEY UPDATE userId = userId', sqlite: 'ON CONFLICT DO NOTHING' })) === 1;
  }

  async #upsert(lease, otherwise) {
    const sql = `INSERT INTO rec_lists (userId, leaseToken, leaseUntil) VALUES ($userId, $token, $until) ${otherwise[this.#sequelize.getDialect()]}`;
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
