/** The lists of everybody that `scripts/recommend_all.py --to table` has computed at night: a second cache, behind `rec_lists`. */
import { QueryTypes } from 'sequelize';

import { ownTable } from '../../config/database.js';
import { idsOf, modelAnswer } from './answers.js';
import { utcText } from './hidden.js';

/**
 * @import { Sequelize } from 'sequelize'
 * @import { Reason, Recommendation } from '../pythonInvoker.js'
 * @import { List } from './answers.js'
 * @import { Catalogue } from './catalogue.js'
 * @import { DatabaseGuard } from './databaseGuard.js'
 * @import { Published, Rules } from './snapshot.js'
 *
 * @typedef {object} Parts What the lists are read with.
 * @property {Sequelize} sequelize
 * @property {{now: () => number}} clock Milliseconds since 1970.
 * @property {Catalogue} catalogue
 * @property {DatabaseGuard} guard
 * @property {(owner: {userId?: number}) => {actionCode: string}[]} [choicesOf] What a visitor did just now.
 */

const MOST_AGE_S = 36 * 3600; // a night's list serves until the next night's, and half a day longer if that one fails

/** Reads a user's list while it is fresh. */
export class BatchLists {
  #parts;

  /** @param {Parts} parts */
  constructor(parts) {
    this.#parts = parts;
  }

  /**
   * Return a user's list without what may no longer be shown; null where it is not fresh.
   *
   * @param {number} userId
   * @param {{limit: number, published: Published | null, rules: Rules, timeLeft: () => number}} options
   * @returns {Promise<List | null>}
   */
  async answerTo(userId, options) {
    const { catalogue, guard, choicesOf } = this.#parts;
    if (choicesOf?.({ userId }).some(({ actionCode }) => actionCode === 'purchase')) return null;
    const answer = await guard.run(options.timeLeft(), () => this.#fresh(userId, options));
    if (answer === null) return null;
    const products = await guard.run(options.timeLeft(), () => catalogue.eligible(userId, idsOf(answer), options.rules));
    return { ...modelAnswer({ answer: /** @type {Recommendation} */ (answer), products }), source: 'cache' };
  }

  /**
   * Return a user's list as Python's answer, or null where it is not fresh: it is of another version, older than a day and a half, shorter
   * than the limit, or the user has bought or cancelled something since.
   *
   * @param {number} userId
   * @param {{limit: number, published: Published | null, rules: Rules}} options
   * @returns {Promise<Pick<Recommendation, 'items' | 'model' | 'model_version' | 'source'> | null>}
   */
  async #fresh(userId, { limit, published, rules }) {
    if (published === null) return null;
    const rows = await this.#select(
      `SELECT item_id AS item, score, reason, reason_item AS reasonItem, model, source, computed_at AS computedAt
       FROM ${this.#lists} WHERE user_id = $user AND version = $version ORDER BY position`,
      { user: String(userId), version: published.name },
    );
    if (rows.length < limit) return null;
    const [{ model, source, computedAt }] = rows;
    const age = this.#parts.clock.now() / 1000 - Number(computedAt);
    if (age >= MOST_AGE_S || (await this.#hasBought(userId, Number(computedAt), rules))) return null;
    const items = rows.map(({ item, score, reason, reasonItem }) => ({
      productId: Number(item),
      score,
      ...(reason !== null && { reason: /** @type {Reason} */ ({ code: reason, ...(reasonItem !== null && { item_id: Number(reasonItem) }) }) }),
    }));
    return { items, model, model_version: published.name, source };
  }

  /** Delete a user's list. */
  async clear(userId) {
    await this.#parts.sequelize.query(`DELETE FROM ${this.#lists} WHERE user_id = $user`, { bind: { user: String(userId) }, type: QueryTypes.DELETE });
  }

  get #lists() {
    return ownTable(this.#parts.sequelize, 'rec_batch_lists');
  }

  async #hasBought(userId, since, { purchaseEvents, cancelEvents }) {
    const names = [...purchaseEvents, ...cancelEvents];
    if (names.length === 0) return false;
    const events = await this.#parts.catalogue.storedEvents(userId, names, utcText(since));
    return events.some(({ event, moment }) => names.includes(event) && moment.slice(0, 19).replace('T', ' ') >= utcText(since));
  }

  /** @returns {Promise<any[]>} The rows, whose columns the statement names. */
  #select(sql, bind) {
    return this.#parts.sequelize.query(sql, { bind, type: QueryTypes.SELECT });
  }
}
