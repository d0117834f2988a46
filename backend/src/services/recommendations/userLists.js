/** Lists of users: read from the cache or the night's table, computed by Python, stored, and renewed in the background. */
import { JOIN_MS, SingleFlight } from '../../concurrency/sharing.js';
import { armKey, hasNoLists, requestOf } from '../tracking/arms.js';
import { cachedAnswer, idsOf, modelAnswer } from './answers.js';
import { BatchLists } from './batch.js';
import { freshnessOf, RecommendationCache } from './cache.js';
import { contextText } from './context.js';
import { DatabaseUnavailable } from './databaseGuard.js';
import { sizeFor } from './memory.js';

/**
 * @import { Logger } from 'pino'
 * @import { Sequelize } from 'sequelize'
 * @import { Settings } from '../../config/settings.js'
 * @import { Models } from '../../models/index.js'
 * @import { Metrics } from '../../monitoring/metrics.js'
 * @import { ComputedList } from './answers.js'
 * @import { CachedRow, Catalogue } from './catalogue.js'
 * @import { RecommenderClient } from './client.js'
 * @import { Completion } from './completion.js'
 * @import { DatabaseGuard } from './databaseGuard.js'
 * @import { Options, RequestOptions } from './options.js'
 */

/**
 * @typedef {object} Parts What the lists are made with.
 * @property {Sequelize} sequelize
 * @property {Models} models
 * @property {Pick<Settings, 'cache'> & {python: {timeoutMs: number}}} settings
 * @property {Pick<Metrics, 'cache'>} metrics
 * @property {Pick<Logger, 'warn'>} log
 * @property {(owner: {userId?: number, guestId?: string}) => {productId: number, actionCode: string}[]} [choicesOf] What a visitor did just now.
 * @property {{now: () => number}} clock Milliseconds since 1970.
 * @property {Catalogue} catalogue
 * @property {DatabaseGuard} guard
 * @property {RecommenderClient} client
 * @property {RequestOptions} options
 * @property {Completion} completion
 */

const MOST_REVALIDATIONS = 4; // at once; they must not delay lists that a request waits for
const STORE_MS = 2000; // for each query of a list that is computed

/** Answers users, each of whom has one list of their own. */
export class UserLists {
  #parts;
  #cache;
  #batch;
  #flights = new SingleFlight();
  #revalidations = new Map(); // by the flight's key, so that a user has one at a time
  #isClosed = false;

  /** @param {Parts} parts */
  constructor(parts) {
    const { sequelize, models, clock, catalogue, guard, choicesOf } = parts;
    this.#parts = parts;
    this.#cache = new RecommendationCache({ sequelize, models, clock });
    this.#batch = new BatchLists({ sequelize, clock, catalogue, guard, choicesOf });
  }

  /** Return a user's list: cached, the night's, or new. */
  async list(userId, request) {
    const { metrics, completion } = this.#parts;
    const options = await this.#parts.options.ofUser(userId, request);
    return completion.orFallback(userId, options, async () => {
      const { cached, freshness } = await this.#read(userId, options);
      metrics.cache({ hit: freshness });
      if (freshness === 'stale') this.#revalidate(userId, options, cached);
      if (freshness !== 'miss') return completion.filled(userId, cachedAnswer(cached), options);
      const batch = armKey(options.arm) === '' ? await this.#batch.answerTo(userId, options) : null; // the night's are as without an experiment
      if (batch !== null) return completion.filled(userId, batch, options);
      const list = await options.inTime(this.#computed(userId, 'list', options, cached[0]));
      return completion.filled(userId, modelAnswer(list), options);
    });
  }

  /** Return a user's cached list while it is fresh or stale, else null. */
  async cachedList(userId, request) {
    const { completion } = this.#parts;
    const options = await this.#parts.options.ofUser(userId, request);
    if (hasNoLists(options.arm)) return null;
    try {
      const { cached, freshness } = await this.#read(userId, options);
      return freshness === 'miss' ? null : await completion.explained(await completion.filled(userId, cachedAnswer(cached), options), options);
    } catch (error) {
      if (!(error instanceof DatabaseUnavailable)) throw error;
      return null;
    }
  }

  /** Compute and store a new list, whatever is cached. */
  async newList(userId, { limit, device }) {
    const { settings, completion } = this.#parts;
    const options = await this.#parts.options.ofUser(userId, { limit, device, budgetMs: settings.python.timeoutMs + STORE_MS });
    return completion.orFallback(userId, options, async () => {
      const list = await options.inTime(this.#computed(userId, 'new', options));
      return completion.filled(userId, modelAnswer(list), options);
    });
  }

  /** Delete a user's cached list and runs. Returns how many items the list had; rejects if the database fails. */
  async clear(userId) {
    this.#forget(userId);
    await this.#batch.clear(userId);
    return this.#cache.clear(userId);
  }

  /** Declare a user's list void, so that the next one is computed anew. */
  async invalidate(userId) {
    this.#forget(userId);
    await this.#attempt(userId, () => this.#cache.invalidate(userId), 'a list could not be declared void');
  }

  /** Wait for lists that are being computed in the background. */
  async close() {
    this.#isClosed = true;
    await Promise.all(this.#revalidations.values());
  }

  /** Have later requests start new computations: the present ones of this user are out of date. */
  #forget(userId) {
    this.#flights.forgetAll(`${userId}:`);
    this.#parts.completion.forget(userId);
  }

  /**
   * Return a user's cached rows, and how fresh they are. Concurrent requests with one limit share one query
   * while it is young.
   *
   * @param {number} userId
   * @param {Options} options
   */
  async #read(userId, { limit, context, published, rules, timeLeft, arm }) {
    const query = () => this.#parts.catalogue.cachedList(userId, rules, limit);
    const cached = await this.#flights.run(`${userId}:${limit}`, () => this.#parts.guard.run(timeLeft(), query), JOIN_MS);
    const now = this.#parts.clock.now();
    return { cached, freshness: freshnessOf(cached[0], { limit, context, published, now, arm: armKey(arm) }, this.#parts.settings.cache) };
  }

  /**
   * Compute a new list in the background while the stale one is answered. Only a few run at once, and none while the client pauses.
   *
   * @param {number} userId
   * @param {Options} options
   * @param {CachedRow[]} cached
   */
  #revalidate(userId, options, cached) {
    const key = keyOf(userId, 'list', options);
    const isFull = this.#revalidations.size >= MOST_REVALIDATIONS;
    if (this.#isClosed || this.#revalidations.has(key) || isFull || this.#parts.client.isPaused) return;
    const settled = this.#computed(userId, 'list', options, cached[0])
      .catch((error) => this.#parts.log.warn({ err: error, userId }, 'a stale list could not be renewed'))
      .then(() => this.#revalidations.delete(key));
    this.#revalidations.set(key, settled);
  }

  /**
   * Return the list of a computation, of which a user has one at a time. Products may be sold out after it has checked them. The requests
   * that joined it therefore check them again at its end, all with one query.
   *
   * Two processes may compute one user's list at the same time; one of the two is stored.
   *
   * @param {number} userId
   * @param {'list' | 'new'} kind To replace an outdated list, or whatever is stored or was begun before.
   * @param {Options} options
   * @param {CachedRow} [outdated] The list that it replaces, if that was read already.
   * @returns {Promise<ComputedList>}
   */
  async #computed(userId, kind, options, outdated) {
    let hasJoined = true;
    const list = await this.#flights.run(keyOf(userId, kind, options), () => {
      hasJoined = false;
      return this.#compute(userId, kind, options, outdated);
    });
    if (!hasJoined) return list;
    const checked = (list.checked ??= this.#eligible(userId, list.answer, options));
    return { answer: list.answer, products: await checked };
  }

  /** @returns {Promise<ComputedList>} */
  async #compute(userId, kind, options, outdated) {
    const { limit, context, arm } = options;
    this.#parts.client.checkPause();
    const isNew = kind === 'new';
    const begun = outdated ?? (await this.#parts.guard.run(STORE_MS, () => this.#cache.begin(userId, isNew)));
    const nRequested = Math.max(sizeFor(limit), begun.nRequested); // a list grows no shorter by a request for a few items
    const answer = await this.#parts.client.request({ user_id: userId, limit: nRequested, context, ...requestOf(arm) });
    const list = { answer, nRequested, context: contextText(context, armKey(arm)), isNew };
    const [products] = await Promise.all([
      this.#eligible(userId, answer, options),
      this.#attempt(userId, () => this.#cache.store(userId, begun, list), 'a list could not be stored'),
    ]);
    return { answer, products };
  }

  /** Change what the answer does not depend on, so that a failure of the database is only logged. */
  async #attempt(userId, change, warning) {
    try {
      await this.#parts.guard.run(STORE_MS, change);
    } catch (error) {
      if (!(error instanceof DatabaseUnavailable)) throw error;
      this.#parts.log.warn({ err: error, userId }, warning);
    }
  }

  #eligible(userId, answer, { rules }) {
    return this.#parts.guard.run(STORE_MS, () => this.#parts.catalogue.eligible(userId, idsOf(answer), rules));
  }
}

function keyOf(userId, kind, { limit }) {
  return `${userId}:${kind}:${sizeFor(limit)}`;
}
