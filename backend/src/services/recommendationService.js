import { Semaphore } from '../concurrency/semaphore.js';
import { SingleFlight } from '../concurrency/singleFlight.js';
import { TooLate, withinMs } from '../concurrency/withinMs.js';
import { Asker } from './lists/asker.js';
import { Catalogue } from './lists/catalogue.js';
import { deriveContext } from './lists/context.js';
import { DatabaseGuard } from './lists/databaseGuard.js';
import { DatabaseAway, reasonOf } from './lists/fallbackReasons.js';
import { freshnessOf } from './lists/freshness.js';
import { featuresOf, intentOf } from './lists/heuristic.js';
import { climb, climbSnapshot } from './lists/ladder.js';
import { idsOf, ListMaker, sizeFor } from './lists/listMaker.js';
import { Lists } from './lists/lists.js';
import { DEFAULT_RULES } from './lists/snapshot.js';
import { systemClock } from '../concurrency/clock.js';

const LIMITS = { least: 1, usual: 10, most: 100 };
const LADDER_MS = 100; // for the fallback, after the time for an answer is up
const CLIMBS = 8; // of different customers at once: fewer than the database's connections, so that lists are still read meanwhile
const STORE_MS = 2000; // a list is computed, stored and its lease given back well within this and Python's own time
const SIMILAR = { kept: 1000, ttlMs: 60_000 }; // items like one item: the same for everybody, and asked for on each product's page

const NO_METRICS = { answer() {}, compute() {}, cache() {} };
const NO_LOG = { warn() {}, error() {} };
const NO_SNAPSHOT = { current: async () => null };

/**
 * Make the service that always has a list to show.
 *
 * An answer is `{data: [{product, score, modelName, reason, source}], source, fallbackReason, modelVersion}`. What goes wrong with Python
 * or with the database ends in the fallback ladder, never in a rejection. Its data is empty only where the shop sells nothing, or where
 * neither the database nor a version is there.
 *
 * @param {object} parts
 * @param {Sequelize} parts.sequelize
 * @param {object} parts.models What `defineModels` returns.
 * @param {{runPythonInference: Function}} parts.python
 * @param {object} parts.settings `cache: {ttlS, staleS}`, `python: {timeoutMs}`, `timeZone`.
 * @param {{current: () => Promise<Published | null>}} [parts.snapshot] What `createSnapshot` returns.
 * @param {object} [parts.metrics]
 * @param {{now: () => number}} [parts.clock] Milliseconds since 1970.
 * @param {object} [parts.log]
 */
export function createRecommendationService(parts) {
  const service = new RecommendationService(parts);
  return Object.freeze({
    listForUser: (userId, wish) => service.listForUser(userId, wish),
    getCachedForUser: (userId, wish) => service.getCachedForUser(userId, wish),
    computeRecommendationsForUser: (userId, wish) => service.computeRecommendationsForUser(userId, wish),
    initForUser: (userId, wish) => service.computeRecommendationsForUser(userId, wish),
    clearForUser: (userId) => service.clearForUser(userId),
    invalidateUser: (userId) => service.invalidateUser(userId),
    similar: (productId, wish) => service.similar(productId, wish),
    deriveContext: (circumstances) => service.deriveContext(circumstances),
    buildUserProductFeatures: (userId, productIds) => service.buildUserProductFeatures(userId, productIds),
    close: () => service.close(),
  });
}

class RecommendationService {
  #settings;
  #snapshot;
  #metrics;
  #clock;
  #log;
  #catalogue;
  #lists;
  #asker;
  #maker;
  #guard = new DatabaseGuard();
  #flights = new SingleFlight();
  #places = new Semaphore(CLIMBS);
  #similar = new Map();

  constructor({ sequelize, models, python, settings, snapshot = NO_SNAPSHOT, metrics = NO_METRICS, clock = Date, log = NO_LOG }) {
    const { timeoutMs } = settings.python;
    this.#settings = settings;
    this.#snapshot = snapshot;
    this.#metrics = metrics;
    this.#clock = clock;
    this.#log = log;
    this.#catalogue = new Catalogue(sequelize, clock);
    this.#lists = new Lists({ sequelize, models, clock, leaseMs: timeoutMs + STORE_MS });
    this.#asker = new Asker({ python, timeoutMs, metrics });
    const services = { asker: this.#asker, catalogue: this.#catalogue, lists: this.#lists, guard: this.#guard, log };
    this.#maker = new ListMaker({ ...services, timeoutMs, storeMs: STORE_MS });
  }

  /**
   * Return a customer's list: the stored one, also a stale one, behind which a new one is then made; else a new one, if it is there in
   * time; else what the ladder has.
   */
  async listForUser(userId, { limit, device, budgetMs } = {}) {
    const wish = await this.#wish({ limit, device, budgetMs });
    return this.#orLadder(userId, wish, async () => {
      const held = await this.#read(userId, wish);
      const freshness = this.#judge(held, wish);
      this.#metrics.cache({ hit: freshness });
      if (freshness === 'stale') this.#maker.behind(userId, wish, held);
      if (freshness !== 'miss') return this.#storedAnswer(userId, held, wish);
      return this.#madeAnswer(userId, await wish.inTime(this.#maker.obtain(userId, wish, held)), wish);
    });
  }

  /** Return a customer's stored list as long as it may be shown, or null. */
  async getCachedForUser(userId, { limit } = {}) {
    const wish = await this.#wish({ limit });
    try {
      const held = await this.#read(userId, wish);
      return this.#judge(held, wish) === 'miss' ? null : await this.#storedAnswer(userId, held, wish);
    } catch (error) {
      if (!(error instanceof DatabaseAway)) throw error;
      return null;
    }
  }

  /** Return a new list, whatever is stored, and store it; where none can be made, what the ladder has. */
  async computeRecommendationsForUser(userId, { limit, device } = {}) {
    const wish = await this.#wish({ limit, device, budgetMs: this.#settings.python.timeoutMs + STORE_MS });
    return this.#orLadder(userId, wish, async () => this.#madeAnswer(userId, await wish.inTime(this.#maker.anew(userId, wish)), wish));
  }

  /** Forget what is stored for a customer. Returns the number of items; rejects if the database cannot. */
  async clearForUser(userId) {
    this.#forget(userId);
    return this.#lists.clear(userId);
  }

  /** Let a customer's next list be a new one, because she has bought something; what she bought is hidden without it, too. */
  async invalidateUser(userId) {
    this.#forget(userId);
    try {
      await this.#guard.run(STORE_MS, () => this.#lists.invalidate(userId));
    } catch (error) {
      if (!(error instanceof DatabaseAway)) throw error;
      this.#log.warn({ err: error, userId }, 'a list could not be declared void');
    }
  }

  /** Return products like one product, for anybody; those that a customer has bought are left out where she is named. */
  async similar(productId, { limit, userId = null } = {}) {
    const wish = { ...(await this.#wish({ limit })), exclude: [productId], like: productId };
    return this.#orLadder(userId, wish, async () => {
      const answer = await wish.inTime(this.#likeProduct(productId, wish));
      const products = await this.#guard.run(wish.patience(), () => this.#catalogue.sellable(userId, idsOf(answer), wish.rules));
      return this.#madeAnswer(userId, { answer, products }, wish);
    });
  }

  /** Return the context of a request made now, or at another moment, by the clock of the shop. */
  deriveContext({ device = null, now = this.#clock.now(), timeZone = this.#settings.timeZone } = {}) {
    return deriveContext({ device, now, timeZone });
  }

  /** Return what the heuristic makes of some products for a customer, one row a product that exists; rejects if the database cannot. */
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

  /** Wait for the lists that are being made. */
  async close() {
    await this.#maker.close();
  }

  /** Return what is wanted, by when, under the rules and in the circumstances of now. */
  async #wish({ limit = LIMITS.usual, device = null, budgetMs = this.#settings.python.timeoutMs }) {
    if (!Number.isInteger(limit)) throw new TypeError(`\`limit\` should be a whole number. Received: ${limit}.`);
    const until = systemClock.now() + budgetMs;
    const published = await this.#snapshot.current();
    const rules = published?.rules ?? DEFAULT_RULES;
    const left = () => Math.max(0, until - systemClock.now());
    return {
      limit: Math.min(LIMITS.most, Math.max(LIMITS.least, limit)),
      context: this.deriveContext({ device, timeZone: rules.timeZone ?? this.#settings.timeZone }),
      published,
      rules,
      exclude: [],
      like: null,
      inTime: (promise) => withinMs(left(), promise),
      patience: () => Math.max(LADDER_MS, left()), // with the database: at its end the ladder still needs it
    };
  }

  /** Return what is stored for a customer; those who ask for as much at the same time are told the same. */
  #read(userId, { limit, rules, patience }) {
    return this.#guard.run(patience(), () =>
      this.#flights.run(`read:${userId}:${limit}`, () => this.#catalogue.cachedList(userId, rules, limit)),
    );
  }

  #forget(userId) {
    this.#flights.forgetAll(`read:${userId}:`);
    this.#flights.forgetAll(`ladder:${userId}:`);
    this.#maker.forget(userId);
  }

  #judge(held, { limit, context, published }) {
    if (held.length === 0 || held[0].productId === null) return 'miss';
    return freshnessOf(held[0], { limit, context, published, now: this.#clock.now() }, this.#settings.cache);
  }

  /** Return Python's answer about one product, or what it answered a moment ago. */
  async #likeProduct(productId, { limit, published }) {
    const asked = sizeFor(limit);
    const version = published?.name ?? null;
    const kept = this.#similar.get(productId);
    const now = systemClock.now();
    if (kept !== undefined && kept.version === version && kept.asked >= asked && now - kept.at < SIMILAR.ttlMs) return kept.answer;
    const answer = await this.#flights.run(`like:${productId}:${asked}`, () =>
      this.#asker.ask({ op: 'similar', item_id: productId, limit: asked }),
    );
    this.#similar.delete(productId); // to the end: the first is the oldest
    this.#similar.set(productId, { answer, asked, version, at: now });
    if (this.#similar.size > SIMILAR.kept) this.#similar.delete(this.#similar.keys().next().value);
    return answer;
  }

  /** Return what was made for a customer, as it may be shown to her now. */
  #madeAnswer(userId, { held, answer, products }, wish) {
    if (held !== undefined) return this.#storedAnswer(userId, held, wish);
    const { items, model: modelName, model_version: modelVersion, source } = answer;
    const data = items
      .filter(({ productId }) => products.has(productId) && !wish.exclude.includes(productId))
      .map(({ productId, score, reason = null }) => ({ product: products.get(productId), score, modelName, reason, source }));
    return this.#filled(userId, { data, source, fallbackReason: null, modelVersion }, wish);
  }

  /** Return a stored list as it may be shown now. */
  #storedAnswer(userId, held, wish) {
    const [{ modelName, modelVersion, source }] = held;
    const data = held
      .filter(({ product }) => product !== null)
      .map(({ product, score, details }) => ({ product, score, modelName, reason: reasonIn(details), source }));
    return this.#filled(userId, { data, source: 'cache', fallbackReason: null, modelVersion }, wish);
  }

  /** Return an answer with as many items as were wished for, filled up by the ladder where too few of it may be shown. */
  async #filled(userId, answer, wish) {
    const { data } = answer;
    if (data.length >= wish.limit) return { ...answer, data: data.slice(0, wish.limit) };
    const exclude = [...wish.exclude, ...data.map(({ product }) => product.id)];
    const more = await this.#climb(userId, { ...wish, limit: wish.limit - data.length, exclude });
    const filled = { ...answer, data: [...data, ...more.data] };
    return data.length > 0 ? filled : { ...filled, source: sourceOf(more), fallbackReason: 'nothing_left' };
  }

  /** Return what `work` makes, or else what the ladder has, and why; and count it. */
  async #orLadder(userId, wish, work) {
    const answer = await work().catch(async (error) => {
      const fallbackReason = reasonOf(error);
      const found = await this.#climb(userId, wish);
      return { data: found.data, source: sourceOf(found), fallbackReason, modelVersion: found.modelVersion };
    });
    this.#metrics.answer({ source: answer.source, fallbackReason: answer.fallbackReason });
    return answer;
  }

  /** Return the ladder's products; those of the version's snapshot where the database cannot be asked, or too many ask it. */
  async #climb(userId, wish) {
    const { limit, exclude, like, published, patience } = wish;
    try {
      const shared = this.#flights.run(`ladder:${userId}:${limit}:${like}:${exclude}`, () => this.#climbInTurn(userId, wish));
      return { data: await withinMs(patience(), shared), modelVersion: null };
    } catch (error) {
      if (!(error instanceof DatabaseAway) && !(error instanceof TooLate)) throw error;
      return { data: climbSnapshot(published, { limit, exclude }), modelVersion: published?.name ?? null };
    }
  }

  /** Climb the ladder when there is a place. It is kept as long as the database is busy with it, even if nobody waits any more. */
  async #climbInTurn(userId, wish) {
    const leave = await this.#places.acquire(wish.patience());
    let climbing;
    try {
      return await this.#guard.run(wish.patience(), () => (climbing = this.#climbNow(userId, wish)));
    } finally {
      Promise.allSettled([climbing]).then(leave);
    }
  }

  async #climbNow(userId, { limit, exclude, like, rules }) {
    const [row] = like === null ? [] : await this.#catalogue.productsWithEvents(null, [like]);
    return climb(this.#catalogue, { userId, limit, exclude, like: like === null ? null : (row?.product ?? {}) }, rules);
  }
}

function sourceOf({ data }) {
  return data[0]?.source ?? 'nothing';
}

/** Return a stored item's reason. */
function reasonIn(details) {
  try {
    return JSON.parse(details).reason ?? null;
  } catch {
    return null; // written by somebody else
  }
}
