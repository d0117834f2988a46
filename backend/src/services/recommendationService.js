/** Lists of recommendations for users: cached, computed by the Python side, or filled by the fallback chain. */
import { Semaphore, SingleFlight } from '../concurrency/sharing.js';
import { systemClock, TooLate, withinMs } from '../concurrency/time.js';
import { freshnessOf, RecommendationCache } from './recommendations/cache.js';
import { Catalogue } from './recommendations/catalogue.js';
import { RecommenderClient } from './recommendations/client.js';
import { deriveContext } from './recommendations/context.js';
import { DatabaseGuard, DatabaseUnavailable } from './recommendations/databaseGuard.js';
import { fallbackFromSnapshot, fallbackItems, fallbackReasonOf } from './recommendations/fallback.js';
import { featuresOf, intentOf } from './recommendations/heuristic.js';
import { idsOf, ListBuilder, sizeFor } from './recommendations/listBuilder.js';
import { DEFAULT_RULES } from './recommendations/snapshot.js';

/**
 * @import { Logger } from 'pino'
 * @import { Sequelize } from 'sequelize'
 * @import { Settings } from '../config/settings.js'
 * @import { Models } from '../models/index.js'
 * @import { Metrics } from '../monitoring/metrics.js'
 * @import { Id, Pool, Reason } from './pythonInvoker.js'
 * @import { CachedRow, Product } from './recommendations/catalogue.js'
 * @import { Context } from './recommendations/context.js'
 * @import { BuiltList } from './recommendations/listBuilder.js'
 * @import { Published, Rules, Snapshot } from './recommendations/snapshot.js'
 */

/**
 * @typedef {object} Parts What the service is made of.
 * @property {Sequelize} sequelize
 * @property {Models} models
 * @property {Pick<Pool, 'runPythonInference'>} python
 * @property {Pick<Settings, 'cache' | 'timeZone'> & {python: {timeoutMs: number}}} settings
 * @property {Snapshot} [snapshot]
 * @property {Pick<Metrics, 'answer' | 'compute' | 'cache'>} [metrics]
 * @property {{now: () => number}} [clock] Milliseconds since 1970.
 * @property {Pick<Logger, 'warn' | 'error'>} [log]
 *
 * @typedef {object} ListItem
 * @property {Product} product
 * @property {number} score
 * @property {string} modelName
 * @property {Reason | {code: string} | null} reason
 * @property {string} source
 *
 * @typedef {object} List An answer.
 * @property {ListItem[]} data
 * @property {string} source
 * @property {string | null} fallbackReason Why no model answered; null where one did.
 * @property {string | null} modelVersion
 *
 * @typedef {object} Options Of one request.
 * @property {number} limit
 * @property {Context} context
 * @property {Published | null} published
 * @property {Rules} rules
 * @property {Id[]} exclude
 * @property {number | null} like
 * @property {<T>(promise: Promise<T>) => Promise<T>} inTime
 * @property {() => number} timeLeft Milliseconds.
 *
 * @typedef {ReturnType<typeof createRecommendationService>} Recommendations
 */

const LIMITS = { least: 1, usual: 10, most: 100 };
const FALLBACK_MS = 100; // for the fallback chain, after an answer's time is up
const MOST_FALLBACKS = 8; // different ones at once: fewer than the database's connections, so that cached lists can still be read
const STORE_MS = 2000; // a list is computed and stored, and its lease released, within this plus Python's time limit
const SIMILAR = { most: 1000, ttlMs: 60_000 }; // similar items, the same for all users and requested by each product's page

const NO_METRICS = { answer() {}, compute() {}, cache() {} };
const NO_LOG = { warn() {}, error() {} };
const NO_SNAPSHOT = { current: async () => null };

/**
 * Create the service that always has a list to show.
 *
 * An answer is `{data: [{product, score, modelName, reason, source}], source, fallbackReason, modelVersion}`. A failure of Python or of the
 * database leads to the fallback chain, never to a rejection. `data` is empty only where the shop has no active product, or where neither
 * the database nor a version can be read.
 *
 * @param {Parts} parts
 */
export function createRecommendationService(parts) {
  const service = new RecommendationService(parts);
  return Object.freeze({
    listForUser: (userId, options) => service.listForUser(userId, options),
    getCachedForUser: (userId, options) => service.getCachedForUser(userId, options),
    computeRecommendationsForUser: (userId, options) => service.computeRecommendationsForUser(userId, options),
    initForUser: (userId, options) => service.computeRecommendationsForUser(userId, options),
    clearForUser: (userId) => service.clearForUser(userId),
    invalidateUser: (userId) => service.invalidateUser(userId),
    similar: (productId, options) => service.similar(productId, options),
    deriveContext: (circumstances) => service.deriveContext(circumstances),
    buildUserProductFeatures: (userId, productIds) => service.buildUserProductFeatures(userId, productIds),
    close: () => service.close(),
  });
}

class RecommendationService {
  #settings;
  /** @type {Snapshot} */
  #snapshot;
  /** @type {Pick<Metrics, 'answer' | 'compute' | 'cache'>} */
  #metrics;
  #clock;
  #log;
  /** @type {Catalogue} */
  #catalogue;
  /** @type {RecommendationCache} */
  #cache;
  /** @type {RecommenderClient} */
  #client;
  /** @type {ListBuilder} */
  #builder;
  #guard = new DatabaseGuard();
  #flights = new SingleFlight();
  #places = new Semaphore(MOST_FALLBACKS);
  #similar = new Map(); // the newest answers about similar items, by product

  /** @param {Parts} parts */
  constructor({ sequelize, models, python, settings, snapshot = NO_SNAPSHOT, metrics = NO_METRICS, clock = Date, log = NO_LOG }) {
    const { timeoutMs } = settings.python;
    this.#settings = settings;
    this.#snapshot = snapshot;
    this.#metrics = metrics;
    this.#clock = clock;
    this.#log = log;
    this.#catalogue = new Catalogue(sequelize, clock);
    this.#cache = new RecommendationCache({ sequelize, models, clock, leaseMs: timeoutMs + STORE_MS });
    this.#client = new RecommenderClient({ python, timeoutMs, metrics });
    const parts = { client: this.#client, catalogue: this.#catalogue, cache: this.#cache, guard: this.#guard, log };
    this.#builder = new ListBuilder({ ...parts, timeoutMs, storeMs: STORE_MS });
  }

  /**
   * Return a user's list: the cached one; else a new one, if it is computed in time; else items of the fallback chain. A stale cached list
   * is answered while a new one is computed in the background.
   *
   * @param {number} userId
   * @param {{limit?: number, device?: string | null, budgetMs?: number}} [options]
   */
  async listForUser(userId, { limit, device, budgetMs } = {}) {
    const options = await this.#options({ limit, device, budgetMs });
    return this.#orFallback(userId, options, async () => {
      const cached = await this.#read(userId, options);
      const freshness = this.#freshness(cached, options);
      this.#metrics.cache({ hit: freshness });
      if (freshness === 'stale') this.#builder.revalidate(userId, options, cached);
      if (freshness !== 'miss') return this.#cachedAnswer(userId, cached, options);
      const list = await options.inTime(this.#builder.getOrCompute(userId, options, cached));
      return this.#answer(userId, list, options);
    });
  }

  /**
   * Return a user's cached list while it is fresh or stale, else null.
   *
   * @param {number} userId
   * @param {{limit?: number}} [options]
   */
  async getCachedForUser(userId, { limit } = {}) {
    const options = await this.#options({ limit });
    try {
      const cached = await this.#read(userId, options);
      return this.#freshness(cached, options) === 'miss' ? null : await this.#cachedAnswer(userId, cached, options);
    } catch (error) {
      if (!(error instanceof DatabaseUnavailable)) throw error;
      return null;
    }
  }

  /**
   * Compute and store a new list, whatever is cached. Where that fails, return items of the fallback chain.
   *
   * @param {number} userId
   * @param {{limit?: number, device?: string | null}} [options]
   */
  async computeRecommendationsForUser(userId, { limit, device } = {}) {
    const options = await this.#options({ limit, device, budgetMs: this.#settings.python.timeoutMs + STORE_MS });
    return this.#orFallback(userId, options, async () => {
      const list = await options.inTime(this.#builder.refresh(userId, options));
      return this.#answer(userId, list, options);
    });
  }

  /** Delete a user's cached list and runs. Returns how many items the list had; rejects if the database fails. */
  async clearForUser(userId) {
    this.#forget(userId);
    return this.#cache.clear(userId);
  }

  /** Invalidate a user's list after a purchase, so that the next one is computed anew. The repeat rule applies without it, too. */
  async invalidateUser(userId) {
    this.#forget(userId);
    try {
      await this.#guard.run(STORE_MS, () => this.#cache.invalidate(userId));
    } catch (error) {
      if (!(error instanceof DatabaseUnavailable)) throw error;
      this.#log.warn({ err: error, userId }, 'a list could not be declared void');
    }
  }

  /**
   * Return products similar to one. For a known user, purchased products are left out by the repeat rule.
   *
   * @param {number} productId
   * @param {{limit?: number, userId?: number | null}} [options]
   */
  async similar(productId, { limit, userId = null } = {}) {
    const options = { ...(await this.#options({ limit })), exclude: [productId], like: productId };
    return this.#orFallback(userId, options, async () => {
      const answer = await options.inTime(this.#similarTo(productId, options));
      const products = await this.#guard.run(options.timeLeft(), () =>
        this.#catalogue.eligible(userId, idsOf(answer), options.rules),
      );
      return this.#answer(userId, { answer, products }, options);
    });
  }

  /**
   * Return the context of a request at a moment, by default now, in the shop's time zone.
   *
   * @param {{device?: string | null, now?: number | Date, timeZone?: string}} [circumstances]
   */
  deriveContext({ device = null, now = this.#clock.now(), timeZone = this.#settings.timeZone } = {}) {
    return deriveContext({ device, now, timeZone });
  }

  /** Return the heuristic features of existing products for a user, one row a product; rejects if the database fails. */
  async buildUserProductFeatures(userId, productIds) {
    const [rows, reviews] = await Promise.all([
      this.#catalogue.productsWithEvents(userId, productIds),
      this.#catalogue.reviews(productIds),
    ]);
    return rows.map(({ product, events }) => ({
      productId: product.id,
      ...featuresOf({ stars: null, reviews: 0, ...reviews.get(product.id), ...product, intent: intentOf(events) }),
    }));
  }

  /** Wait for lists that are being computed in the background. */
  async close() {
    await this.#builder.close();
  }

  /**
   * Return the options of a request: its limit, deadline and context, and the version and rules at its start.
   *
   * @param {{limit?: number, device?: string | null, budgetMs?: number}} request
   * @returns {Promise<Options>}
   */
  async #options({ limit = LIMITS.usual, device = null, budgetMs = this.#settings.python.timeoutMs }) {
    if (!Number.isInteger(limit)) throw new TypeError(`\`limit\` should be a whole number. Received: ${limit}.`);
    const until = systemClock.now() + budgetMs;
    const published = await this.#snapshot.current();
    const rules = published?.rules ?? DEFAULT_RULES;
    const budgetLeft = () => Math.max(0, until - systemClock.now());
    return {
      limit: Math.min(LIMITS.most, Math.max(LIMITS.least, limit)),
      context: this.deriveContext({ device, timeZone: rules.timeZone ?? this.#settings.timeZone }),
      published,
      rules,
      exclude: [],
      like: null,
      inTime: (promise) => withinMs(budgetLeft(), promise),
      timeLeft: () => Math.max(FALLBACK_MS, budgetLeft()), // for the database: after the deadline the fallback still queries it
    };
  }

  /**
   * Return a user's cached rows. Concurrent requests with one limit share one query.
   *
   * @param {number} userId
   * @param {Options} options
   */
  #read(userId, { limit, rules, timeLeft }) {
    return this.#guard.run(timeLeft(), () =>
      this.#flights.run(`read:${userId}:${limit}`, () => this.#catalogue.cachedList(userId, rules, limit)),
    );
  }

  #forget(userId) {
    this.#flights.forgetAll(`read:${userId}:`);
    this.#flights.forgetAll(`fallback:${userId}:`);
    this.#builder.forget(userId);
  }

  /**
   * @param {CachedRow[]} cached
   * @param {Options} options
   */
  #freshness(cached, { limit, context, published }) {
    if (cached.length === 0 || cached[0].productId === null) return 'miss';
    return freshnessOf(cached[0], { limit, context, published, now: this.#clock.now() }, this.#settings.cache);
  }

  /** Return Python's answer about one product, from memory where it is recent, long enough and of the active version. */
  async #similarTo(productId, { limit, published }) {
    const size = sizeFor(limit);
    const version = published?.name ?? null;
    const memory = this.#similar.get(productId);
    const now = systemClock.now();
    const isGood = memory !== undefined && memory.version === version && memory.size >= size && now - memory.at < SIMILAR.ttlMs;
    if (isGood) return memory.answer;
    const answer = await this.#flights.run(`like:${productId}:${size}`, () =>
      this.#client.request({ op: 'similar', item_id: productId, limit: size }),
    );
    this.#similar.delete(productId); // and added at the end: the first entry is the oldest
    this.#similar.set(productId, { answer, size, version, at: now });
    if (this.#similar.size > SIMILAR.most) this.#similar.delete(this.#similar.keys().next().value);
    return answer;
  }

  /**
   * Return a built list as an answer; `cached` has the rows if another process has built it.
   *
   * @param {number | null} userId
   * @param {BuiltList} list
   * @param {Options} options
   */
  #answer(userId, { cached, answer, products }, options) {
    if (cached !== undefined) return this.#cachedAnswer(userId, cached, options);
    const { items, model: modelName, model_version: modelVersion, source } = answer;
    const data = items
      .filter(({ productId }) => products.has(productId) && !options.exclude.includes(productId))
      .map(({ productId, score, reason = null }) => ({ product: /** @type {Product} */ (products.get(productId)), score, modelName, reason, source }));
    return this.#filled(userId, { data, source, fallbackReason: null, modelVersion }, options);
  }

  /**
   * Return cached rows as an answer, without products that are no longer eligible.
   *
   * @param {number | null} userId
   * @param {CachedRow[]} cached
   * @param {Options} options
   */
  #cachedAnswer(userId, cached, options) {
    const [{ modelName, modelVersion, source }] = cached;
    const data = cached
      .filter(({ product }) => product !== null)
      .map(({ product, score, details }) => ({ product: /** @type {Product} */ (product), score, modelName, reason: reasonIn(details), source }));
    return this.#filled(userId, { data, source: 'cache', fallbackReason: null, modelVersion }, options);
  }

  /**
   * Return an answer with `limit` items, filled up by the fallback chain where it has fewer.
   *
   * @param {number | null} userId
   * @param {List} answer
   * @param {Options} options
   * @returns {Promise<List>}
   */
  async #filled(userId, answer, options) {
    const { data } = answer;
    if (data.length >= options.limit) return { ...answer, data: data.slice(0, options.limit) };
    const exclude = [...options.exclude, ...data.map(({ product }) => product.id)];
    const more = await this.#fallback(userId, { ...options, limit: options.limit - data.length, exclude });
    const filled = { ...answer, data: [...data, ...more.data] };
    return data.length > 0 ? filled : { ...filled, source: sourceOf(more), fallbackReason: 'nothing_left' };
  }

  /**
   * Return and count the answer of `work`. Where that fails, return items of the fallback chain with the reason.
   *
   * @param {number | null} userId
   * @param {Options} options
   * @param {() => Promise<List>} work
   */
  async #orFallback(userId, options, work) {
    const answer = await work().catch(async (error) => {
      const fallbackReason = fallbackReasonOf(error);
      const { data, modelVersion } = await this.#fallback(userId, options);
      return { data, source: sourceOf({ data }), fallbackReason, modelVersion };
    });
    this.#metrics.answer({ source: answer.source, fallbackReason: answer.fallbackReason });
    return answer;
  }

  /**
   * Return items of the fallback chain; those of the snapshot where the database fails, or is too busy with other requests.
   *
   * @param {number | null} userId
   * @param {Options} options
   */
  async #fallback(userId, options) {
    const { limit, exclude, like, published, timeLeft } = options;
    try {
      const key = `fallback:${userId}:${limit}:${like}:${exclude}`;
      const shared = this.#flights.run(key, () => this.#fallbackInTurn(userId, options));
      return { data: await withinMs(timeLeft(), shared), modelVersion: null };
    } catch (error) {
      if (!(error instanceof DatabaseUnavailable) && !(error instanceof TooLate)) throw error;
      return { data: fallbackFromSnapshot(published, { limit, exclude }), modelVersion: published?.name ?? null };
    }
  }

  /** Query the fallback chain when a place is free. The place is kept while the database works, even after the request gave up. */
  async #fallbackInTurn(userId, options) {
    const release = await this.#places.acquire(options.timeLeft());
    let query;
    try {
      return await this.#guard.run(options.timeLeft(), () => (query = this.#queryFallback(userId, options)));
    } finally {
      Promise.allSettled([query]).then(release);
    }
  }

  async #queryFallback(userId, { limit, exclude, like, rules }) {
    const [row] = like === null ? [] : await this.#catalogue.productsWithEvents(null, [like]);
    const product = like === null ? null : (row?.product ?? {});
    return fallbackItems(this.#catalogue, { userId, limit, exclude, like: product }, rules);
  }
}

function sourceOf({ data }) {
  return data[0]?.source ?? 'nothing';
}

/**
 * Return the reason in an item's stored `details`, or null if another program has written them.
 *
 * @param {string} details
 * @returns {Reason | null}
 */
function reasonIn(details) {
  try {
    return JSON.parse(details).reason ?? null;
  } catch {
    return null;
  }
}
