/** The lists of recommendations as the routes ask for them. How they are made is in recommendations/. */
import { Catalogue } from './recommendations/catalogue.js';
import { RecommenderClient } from './recommendations/client.js';
import { Completion } from './recommendations/completion.js';
import { deriveContext } from './recommendations/context.js';
import { DatabaseGuard } from './recommendations/databaseGuard.js';
import { buildUserProductFeatures } from './recommendations/heuristic.js';
import { RequestOptions } from './recommendations/options.js';
import { SharedLists } from './recommendations/sharedLists.js';
import { UserLists } from './recommendations/userLists.js';

/**
 * @import { Logger } from 'pino'
 * @import { Sequelize } from 'sequelize'
 * @import { Settings } from '../config/settings.js'
 * @import { Models } from '../models/index.js'
 * @import { Metrics } from '../monitoring/metrics.js'
 * @import { GuestEvents } from './guestEvents.js'
 * @import { Pool } from './pythonInvoker.js'
 * @import { Snapshot } from './recommendations/snapshot.js'
 * @import { Arms } from './tracking/arms.js'
 */

/**
 * @typedef {object} Parts What the service is made of.
 * @property {Sequelize} sequelize
 * @property {Models} models
 * @property {Pick<Pool, 'runPythonInference'>} python
 * @property {Pick<Settings, 'cache' | 'timeZone'> & Partial<Pick<Settings, 'mapping'>> & {python: {timeoutMs: number}}} settings
 * @property {Snapshot} snapshot
 * @property {Pick<GuestEvents, 'newest'>} [guests]
 * @property {Pick<Metrics, 'answer' | 'compute' | 'cache'>} metrics
 * @property {Pick<Logger, 'warn'>} log
 * @property {(owner: {userId?: number, guestId?: string}) => {productId: number, actionCode: string}[]} [choicesOf] What a visitor did just now.
 * @property {Pick<Arms, 'of'>} [arms] The arms of an experiment.
 * @property {{now: () => number}} [clock] Milliseconds since 1970.
 */

/**
 * The service that always has a list to show.
 *
 * An answer is `{data: [{product, score, modelName, reason, why, source}], source, fallbackReason, modelVersion}`. A failure of Python or of the
 * database leads to the fallback chain, never to a rejection. `data` is empty only where the shop has no active product, where neither
 * the database nor a version can be read, where nothing is to be bought again, or for customers of an arm without recommendations, whose `source`
 * is `none`.
 */
export class RecommendationService {
  #clock;
  #timeZone;
  #catalogue;
  #users;
  #shared;

  /** @param {Parts} parts */
  constructor({ clock = Date, ...parts }) {
    const { sequelize, python, settings, metrics } = parts;
    this.#clock = clock;
    this.#timeZone = settings.timeZone;
    this.#catalogue = new Catalogue(sequelize, clock, settings.mapping);
    const guard = new DatabaseGuard();
    const client = new RecommenderClient({ python, timeoutMs: settings.python.timeoutMs, metrics });
    const options = new RequestOptions({ ...parts, guard, clock });
    const completion = new Completion({ catalogue: this.#catalogue, guard, metrics, clock });
    const rooms = { ...parts, clock, catalogue: this.#catalogue, guard, client, options, completion };
    this.#users = new UserLists(rooms);
    this.#shared = new SharedLists(rooms);
  }

  /**
   * Return a user's list: the cached one; else the night's; else a new one, if it is computed in time; else items of the fallback chain. A
   * stale cached list is answered while a new one is computed in the background.
   *
   * @param {number} userId
   * @param {{limit?: number, device?: string | null, budgetMs?: number}} [request]
   */
  async listForUser(userId, request = {}) {
    return this.#users.list(userId, request);
  }

  /**
   * Return a user's cached list while it is fresh or stale, else null.
   *
   * @param {number} userId
   * @param {{limit?: number}} [request]
   */
  async getCachedForUser(userId, request = {}) {
    return this.#users.cachedList(userId, request);
  }

  /**
   * Compute and store a new list, whatever is cached. Where that fails, return items of the fallback chain.
   *
   * @param {number} userId
   * @param {{limit?: number, device?: string | null}} [request]
   */
  async computeRecommendationsForUser(userId, request = {}) {
    return this.#users.newList(userId, request);
  }

  /** Delete a user's cached list and runs. Returns how many items the list had; rejects if the database fails. */
  async clearForUser(userId) {
    this.#shared.forget(userId);
    return this.#users.clear(userId);
  }

  /** Invalidate a user's list after a purchase, so that the next one is computed anew. The repeat rule applies without it, too. */
  async invalidateUser(userId) {
    this.#shared.forget(userId);
    return this.#users.invalidate(userId);
  }

  /**
   * Return a guest's list, by what the guest did; what is popular, if that is not known. Requests of a guest who has done nothing since
   * share an answer.
   *
   * @param {string | null} guestId
   * @param {{limit?: number, device?: string | null, isNew?: boolean}} [request] `isNew`: not one from memory.
   */
  async listForGuest(guestId, request = {}) {
    return this.#shared.toGuest(guestId, request);
  }

  /**
   * Return products similar to one, without those that the user or guest has bought, by the repeat rule.
   *
   * @param {number} productId
   * @param {{limit?: number, userId?: number | null, guestId?: string | null}} [request]
   */
  async similar(productId, request = {}) {
    return this.#shared.aboutProducts([productId], { op: 'similar', item_id: productId }, request);
  }

  /**
   * Return products that are bought together with those of a basket, without these and without what the user or guest has bought, by the
   * repeat rule.
   *
   * @param {number[]} productIds At least one.
   * @param {{limit?: number, complementary?: boolean, userId?: number | null, guestId?: string | null}} [request] `complementary`: without
   *     the categories of the basket.
   */
  async together(productIds, { complementary = false, ...request } = {}) {
    const basket = [...new Set(productIds)].sort((one, other) => one - other);
    return this.#shared.aboutProducts(basket, { op: 'together', item_ids: basket, ...(complementary && { complementary }) }, request);
  }

  /**
   * Return products that are chosen more often now than in the weeks before, without those that the user or guest has bought.
   *
   * @param {{limit?: number, userId?: number | null, guestId?: string | null}} [request]
   */
  async trending(request = {}) {
    return this.#shared.aboutProducts([], { op: 'trending' }, request);
  }

  /**
   * Return products that the user or guest bought before and may need again. Without Python, it is what they bought most often. The list is
   * often empty, and never filled up.
   *
   * @param {{limit?: number, userId?: number | null, guestId?: string | null}} [request]
   */
  async again(request = {}) {
    return this.#shared.toBuyer(request);
  }

  /**
   * Return the context of a request at a moment, by default now, in the shop's time zone.
   *
   * @param {{device?: string | null, now?: number | Date, timeZone?: string}} [circumstances]
   */
  deriveContext({ device = null, now = this.#clock.now(), timeZone = this.#timeZone } = {}) {
    return deriveContext({ device, now, timeZone });
  }

  /** Return the heuristic features of existing products for a user, one row a product; rejects if the database fails. */
  async buildUserProductFeatures(userId, productIds) {
    const [products, events] = await Promise.all([this.#catalogue.products(productIds), this.#catalogue.eventsOn(userId, productIds)]);
    return buildUserProductFeatures(products, events);
  }

  /** Wait for lists that are being computed in the background. */
  async close() {
    await this.#users.close();
  }
}
