/** Computes and stores lists: one computation serves all concurrent requests for a user's list, in this process and in others. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import { SingleFlight } from '../../concurrency/sharing.js';
import { systemClock, TooLate } from '../../concurrency/time.js';
import { contextText } from './context.js';
import { DatabaseUnavailable } from './databaseGuard.js';

/**
 * @import { Logger } from 'pino'
 * @import { Id, Recommendation } from '../pythonInvoker.js'
 * @import { RecommendationCache } from './cache.js'
 * @import { CachedRow, Catalogue, Product } from './catalogue.js'
 * @import { RecommenderClient } from './client.js'
 * @import { Context } from './context.js'
 * @import { DatabaseGuard } from './databaseGuard.js'
 * @import { Rules } from './snapshot.js'
 */

/**
 * @typedef {{limit: number, context: Context, rules: Rules}} ListOptions
 *
 * @typedef {{answer: Recommendation, products: Map<Id, Product>, cached?: undefined}} ComputedList A model's answer, and its products
 *   that may be shown.
 *
 * @typedef {{cached: CachedRow[], answer?: undefined, products?: undefined}} FoundList The rows of a list that another process has just
 *   stored.
 *
 * @typedef {ComputedList | FoundList} BuiltList
 */

const SIZES = [30, 60, 100]; // of stored lists: few, so that requests with different limits share one
const SPARE = 10; // items stored beyond the limit, because some are sold out by the time they are shown
const POLL_MS = { least: 5, most: 40 }; // between two reads of a list that another process is computing
const MOST_REVALIDATIONS = 4; // at once; they must not delay lists that a request waits for
const FLIGHTS = ['list', 'new', 'revalidate'];

/**
 * Return how many items are requested from Python, and stored, for a list of `limit` items.
 *
 * @param {number} limit
 */
export function sizeFor(limit) {
  return SIZES.find((size) => size >= limit + SPARE) ?? SIZES[SIZES.length - 1];
}

/** Builds users' lists. */
export class ListBuilder {
  /** @type {RecommenderClient} */
  #client;
  /** @type {Catalogue} */
  #catalogue;
  /** @type {RecommendationCache} */
  #cache;
  /** @type {DatabaseGuard} */
  #guard;
  #log;
  #timeoutMs;
  #storeMs;
  #flights = new SingleFlight();
  #revalidations = new Map(); // by the flight's key, so that a user has one at a time
  #isClosed = false;

  /**
   * @param {object} parts
   * @param {RecommenderClient} parts.client
   * @param {Catalogue} parts.catalogue
   * @param {RecommendationCache} parts.cache
   * @param {DatabaseGuard} parts.guard
   * @param {Pick<Logger, 'warn'>} parts.log
   * @param {number} parts.timeoutMs How long to wait for a list that another process is computing.
   * @param {number} parts.storeMs How long each query may take.
   */
  constructor({ client, catalogue, cache, guard, log, timeoutMs, storeMs }) {
    this.#client = client;
    this.#catalogue = catalogue;
    this.#cache = cache;
    this.#guard = guard;
    this.#log = log;
    this.#timeoutMs = timeoutMs;
    this.#storeMs = storeMs;
  }

  /**
   * Return a list that replaces an outdated one: computed here, or by another process that is already computing it.
   *
   * @param {number} userId
   * @param {ListOptions} options
   * @param {CachedRow[]} cached The rows of the outdated list; empty where there is none.
   * @returns {Promise<BuiltList>}
   */
  getOrCompute(userId, options, cached) {
    return this.#flights.run(keyOf('list', userId, options), () => this.#computeOrAwait(userId, options, cached));
  }

  /**
   * Compute a new list, whatever is stored or being computed elsewhere.
   *
   * @param {number} userId
   * @param {ListOptions} options
   * @returns {Promise<ComputedList>}
   */
  refresh(userId, options) {
    const computation = this.#flights.run(keyOf('new', userId, options), () => this.#compute(userId, options, undefined));
    return /** @type {Promise<ComputedList>} */ (computation); // never null: the lease is taken from any holder
  }

  /**
   * Compute a new list in the background while the stale one is answered. Only a few run at once, and none while the client pauses.
   *
   * @param {number} userId
   * @param {ListOptions} options
   * @param {CachedRow[]} cached
   */
  revalidate(userId, options, cached) {
    const key = keyOf('revalidate', userId, options);
    const isFull = this.#revalidations.size >= MOST_REVALIDATIONS;
    if (this.#isClosed || this.#revalidations.has(key) || isFull || this.#client.isPaused) return;
    const computation = this.#flights.run(key, () => this.#compute(userId, options, cached[0].computedAt));
    const settled = computation
      .then(
        () => {},
        (error) => this.#log.warn({ err: error, userId }, 'a stale list could not be renewed'),
      )
      .then(() => this.#revalidations.delete(key));
    this.#revalidations.set(key, settled);
  }

  /** Let later requests start a new computation: the present ones of this user are out of date. */
  forget(userId) {
    for (const kind of FLIGHTS) for (const size of SIZES) this.#flights.forget(`${kind}:${userId}:${size}`);
  }

  /** Wait for the computations in the background. */
  async close() {
    this.#isClosed = true;
    await Promise.all(this.#revalidations.values());
  }

  /**
   * @param {number} userId
   * @param {ListOptions} options
   * @param {CachedRow[]} cached
   * @returns {Promise<BuiltList>}
   */
  async #computeOrAwait(userId, options, cached) {
    const seen = cached[0]?.computedAt ?? null;
    const until = systemClock.now() + this.#timeoutMs;
    let rows = cached;
    for (let waitMs = POLL_MS.least; ; waitMs = Math.min(2 * waitMs, POLL_MS.most)) {
      if (isNewer(rows, seen, options)) return { cached: rows };
      if (rows.length === 0 || !this.#cache.isLeased(rows[0])) {
        const list = await this.#compute(userId, options, rows[0]?.computedAt ?? null);
        if (list !== null) return list;
      }
      if (systemClock.now() + waitMs > until) throw new TooLate('Another process should make the list in time. Received: none yet.');
      await sleep(waitMs);
      const size = sizeFor(options.limit);
      rows = await this.#guard.run(this.#storeMs, () => this.#catalogue.cachedList(userId, options.rules, size));
    }
  }

  /**
   * Compute a list and store it, if its lease can be acquired.
   *
   * @param {number} userId
   * @param {ListOptions} options
   * @param {number | null | undefined} seen See `RecommendationCache.acquire`.
   * @returns {Promise<ComputedList | null>} Null if another process holds the lease, or has just stored a list.
   */
  async #compute(userId, options, seen) {
    this.#client.checkPause();
    const token = randomUUID();
    if (!(await this.#guard.run(this.#storeMs, () => this.#cache.acquire(userId, token, seen)))) return null;
    const answer = await this.#request(userId, options, token);
    const list = { answer, nRequested: sizeFor(options.limit), context: contextText(options.context) };
    const [products] = await Promise.all([
      this.#guard.run(this.#storeMs, () => this.#catalogue.eligible(userId, idsOf(answer), options.rules)),
      this.#storeOrRelease(userId, token, list),
    ]);
    return { answer, products };
  }

  /**
   * @param {number} userId
   * @param {ListOptions} options
   * @param {string} token Of the lease.
   */
  async #request(userId, { limit, context }, token) {
    try {
      return await this.#client.request({ user_id: userId, limit: sizeFor(limit), context });
    } catch (error) {
      await this.#release(userId, token);
      throw error;
    }
  }

  /** Store a list. Where that fails, release its lease, so that the next request need not wait for the lease to expire. */
  async #storeOrRelease(userId, token, list) {
    const isStored = await this.#attempt(() => this.#cache.store(userId, token, list), 'a list could not be stored');
    if (!isStored) await this.#release(userId, token);
  }

  #release(userId, token) {
    return this.#attempt(() => this.#cache.release(userId, token), 'a lease could not be given back');
  }

  /** Run a query that the answer does not depend on, and log its failure. Returns whether the database has executed it. */
  async #attempt(query, warning) {
    try {
      await this.#guard.run(this.#storeMs, query);
      return true;
    } catch (error) {
      if (!(error instanceof DatabaseUnavailable)) throw error;
      this.#log.warn({ err: error }, warning);
      return false;
    }
  }
}

/**
 * Return the ids of an answer's items that can be products of this shop: whole numbers.
 *
 * @param {Pick<Recommendation, 'items'>} answer
 * @returns {number[]}
 */
export function idsOf({ items }) {
  return /** @type {number[]} */ (items.map(({ productId }) => productId).filter(Number.isSafeInteger));
}

/**
 * Whether rows are a list that was stored after the outdated one, and is long enough.
 *
 * @param {CachedRow[]} rows
 * @param {number | null} seen `computedAt` of the outdated list, null where there is none.
 * @param {{limit: number}} options
 */
function isNewer([header], seen, { limit }) {
  return header !== undefined && header.productId !== null && header.computedAt > (seen ?? 0) && header.nRequested >= limit;
}

function keyOf(kind, userId, { limit }) {
  return `${kind}:${userId}:${sizeFor(limit)}`;
}
