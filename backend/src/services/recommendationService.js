/** Lists of recommendations for users: cached, computed by the Python side, or filled by the fallback chain. */
import { JOIN_MS, SingleFlight } from '../concurrency/sharing.js';
import { systemClock, withinMs } from '../concurrency/time.js';
import { OftenBought, rulesOfBought } from './recommendations/again.js';
import { cachedAnswer, idsOf, modelAnswer, sourceOf } from './recommendations/answers.js';
import { BatchLists } from './recommendations/batch.js';
import { freshnessOf, RecommendationCache } from './recommendations/cache.js';
import { Catalogue } from './recommendations/catalogue.js';
import { RecommenderClient } from './recommendations/client.js';
import { contextText, deriveContext } from './recommendations/context.js';
import { DatabaseGuard, DatabaseUnavailable } from './recommendations/databaseGuard.js';
import { FallbackChain, fallbackReasonOf } from './recommendations/fallback.js';
import { guestRequest, hiddenFromGuest } from './recommendations/guests.js';
import { buildUserProductFeatures } from './recommendations/heuristic.js';
import { AnswerMemory, sizeFor } from './recommendations/memory.js';
import { explained } from './recommendations/reasons.js';
import { DEFAULT_RULES } from './recommendations/snapshot.js';
import { armKey, hasNoLists, requestOf, rulesOf } from './tracking/arms.js';

/**
 * @import { Logger } from 'pino'
 * @import { Sequelize } from 'sequelize'
 * @import { Settings } from '../config/settings.js'
 * @import { Models } from '../models/index.js'
 * @import { Metrics } from '../monitoring/metrics.js'
 * @import { GuestEvent, GuestEvents } from './guestEvents.js'
 * @import { ListRequest, Pool } from './pythonInvoker.js'
 * @import { ComputedList, List } from './recommendations/answers.js'
 * @import { CachedRow } from './recommendations/catalogue.js'
 * @import { Context } from './recommendations/context.js'
 * @import { FallbackOptions } from './recommendations/fallback.js'
 * @import { Snapshot } from './recommendations/snapshot.js'
 * @import { Arm } from '../config/experiment.js'
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
 *
 * @typedef {FallbackOptions & {context: Context, inTime: <T>(promise: Promise<T>) => Promise<T>, failure?: DatabaseUnavailable, isOfBought: boolean, arm: Arm | null}} Options Of one request. `isOfBought`: the list is of what was bought, and may be empty.
 */

const LIMITS = { least: 1, usual: 10, most: 100 };
const MOST_REVALIDATIONS = 4; // at once; they must not delay lists that a request waits for
const FALLBACK_MS = 100; // for the fallback chain, after an answer's time is up
const STORE_MS = 2000; // for each query of a list that is computed
/** The answer to customers of an arm without recommendations. @type {List} */
const NO_LIST = Object.freeze({ data: [], source: 'none', fallbackReason: null, modelVersion: null });

/**
 * The service that always has a list to show.
 *
 * An answer is `{data: [{product, score, modelName, reason, why, source}], source, fallbackReason, modelVersion}`. A failure of Python or of the
 * database leads to the fallback chain, never to a rejection. `data` is empty only where the shop has no active product, where neither
 * the database nor a version can be read, where nothing is to be bought again, or for customers of an arm without recommendations, whose `source`
 * is `none`.
 */
export class RecommendationService {
  #parts;
  #catalogue;
  #cache;
  #batch;
  #client;
  #fallback;
  #often;
  #guard = new DatabaseGuard();
  #flights = new SingleFlight();
  #revalidations = new Map(); // by the flight's key, so that a user has one at a time
  #isClosed = false;
  #ofProducts;
  #toGuests;
  #toBuyers;

  /** @param {Parts} parts */
  constructor({ clock = Date, ...parts }) {
    const { sequelize, models, python, settings, metrics } = parts;
    this.#parts = { ...parts, clock };
    this.#catalogue = new Catalogue(sequelize, clock, settings.mapping);
    this.#cache = new RecommendationCache({ sequelize, models, clock });
    this.#batch = new BatchLists({ sequelize, clock, catalogue: this.#catalogue, guard: this.#guard, choicesOf: parts.choicesOf });
    this.#client = new RecommenderClient({ python, timeoutMs: settings.python.timeoutMs, metrics });
    this.#ofProducts = new AnswerMemory(this.#client);
    this.#toGuests = new AnswerMemory(this.#client);
    this.#toBuyers = new AnswerMemory(this.#client);
    this.#fallback = new FallbackChain(this.#catalogue, this.#guard);
    this.#often = new OftenBought({ catalogue: this.#catalogue, guard: this.#guard, clock });
  }

  /**
   * Return a user's list: the cached one; else the night's; else a new one, if it is computed in time; else items of the fallback chain. A
   * stale cached list is answered while a new one is computed in the background.
   *
   * @param {number} userId
   * @param {{limit?: number, device?: string | null, budgetMs?: number}} [request]
   */
  async listForUser(userId, request = {}) {
    const options = await this.#userOptions(userId, request);
    return this.#orFallback(userId, options, async () => {
      const { cached, freshness } = await this.#read(userId, options);
      this.#parts.metrics.cache({ hit: freshness });
      if (freshness === 'stale') this.#revalidate(userId, options, cached);
      if (freshness !== 'miss') return this.#filled(userId, cachedAnswer(cached), options);
      const batch = armKey(options.arm) === '' ? await this.#batch.answerTo(userId, options) : null; // the night's are as without an experiment
      if (batch !== null) return this.#filled(userId, batch, options);
      const list = await options.inTime(this.#computed(userId, 'list', options, cached[0]));
      return this.#filled(userId, modelAnswer(list), options);
    });
  }

  /**
   * Return a user's cached list while it is fresh or stale, else null.
   *
   * @param {number} userId
   * @param {{limit?: number}} [request]
   */
  async getCachedForUser(userId, request = {}) {
    const options = await this.#userOptions(userId, request);
    if (hasNoLists(options.arm)) return null;
    try {
      const { cached, freshness } = await this.#read(userId, options);
      return freshness === 'miss' ? null : await this.#explained(await this.#filled(userId, cachedAnswer(cached), options), options);
    } catch (error) {
      if (!(error instanceof DatabaseUnavailable)) throw error;
      return null;
    }
  }

  /**
   * Compute and store a new list, whatever is cached. Where that fails, return items of the fallback chain.
   *
   * @param {number} userId
   * @param {{limit?: number, device?: string | null}} [request]
   */
  async computeRecommendationsForUser(userId, { limit, device } = {}) {
    const options = await this.#userOptions(userId, { limit, device, budgetMs: this.#parts.settings.python.timeoutMs + STORE_MS });
    return this.#orFallback(userId, options, async () => {
      const list = await options.inTime(this.#computed(userId, 'new', options));
      return this.#filled(userId, modelAnswer(list), options);
    });
  }

  /** Delete a user's cached list and runs. Returns how many items the list had; rejects if the database fails. */
  async clearForUser(userId) {
    this.#forget(userId);
    await this.#batch.clear(userId);
    return this.#cache.clear(userId);
  }

  /** Invalidate a user's list after a purchase, so that the next one is computed anew. The repeat rule applies without it, too. */
  async invalidateUser(userId) {
    this.#forget(userId);
    await this.#attempt(userId, () => this.#cache.invalidate(userId), 'a list could not be declared void');
  }

  /**
   * Return a guest's list, by what the guest did; what is popular, if that is not known. Requests of a guest who has done nothing since
   * share an answer.
   *
   * @param {string | null} guestId
   * @param {{limit?: number, device?: string | null, isNew?: boolean}} [request] `isNew`: not one from memory.
   */
  async listForGuest(guestId, { isNew = false, ...request } = {}) {
    const options = await this.#guestOptions(guestId, request);
    const { key, events } = options.guest;
    return this.#fromMemory(null, options, this.#toGuests, {
      key: `${key}:${contextText(options.context)}`,
      request: guestRequest(events, options),
      isNew,
    });
  }

  /**
   * Return products similar to one, without those that the user or guest has bought, by the repeat rule.
   *
   * @param {number} productId
   * @param {{limit?: number, userId?: number | null, guestId?: string | null}} [request]
   */
  async similar(productId, request = {}) {
    return this.#withoutModel([productId], { op: 'similar', item_id: productId }, request);
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
    return this.#withoutModel(basket, { op: 'together', item_ids: basket, ...(complementary && { complementary }) }, request);
  }

  /**
   * Return products that are chosen more often now than in the weeks before, without those that the user or guest has bought.
   *
   * @param {{limit?: number, userId?: number | null, guestId?: string | null}} [request]
   */
  async trending(request = {}) {
    return this.#withoutModel([], { op: 'trending' }, request);
  }

  /**
   * Return products that the user or guest bought before and may need again. Without Python, it is what they bought most often. The list is
   * often empty, and never filled up.
   *
   * @param {{limit?: number, userId?: number | null, guestId?: string | null}} [request]
   */
  async again({ userId = null, guestId = null, limit } = {}) {
    const ofBought = { limit, isOfBought: true };
    if (userId !== null) {
      const options = await this.#userOptions(userId, ofBought);
      const exclude = [...options.exclude, ...this.#chosen({ userId }, { repeatAfterDays: Infinity })]; // just bought
      return this.#fromMemory(userId, { ...options, exclude }, this.#toBuyers, { key: `user ${userId}`, request: { op: 'again', user_id: userId, ...requestOf(options.arm, 'again') } });
    }
    const options = await this.#guestOptions(guestId, ofBought);
    const { interactions } = guestRequest(options.guest.events, options);
    return this.#fromMemory(null, options, this.#toBuyers, { key: options.guest.key, request: { op: 'again', interactions } });
  }

  /**
   * Return the context of a request at a moment, by default now, in the shop's time zone.
   *
   * @param {{device?: string | null, now?: number | Date, timeZone?: string}} [circumstances]
   */
  deriveContext({ device = null, now = this.#parts.clock.now(), timeZone = this.#parts.settings.timeZone } = {}) {
    return deriveContext({ device, now, timeZone });
  }

  /** Return the heuristic features of existing products for a user, one row a product; rejects if the database fails. */
  async buildUserProductFeatures(userId, productIds) {
    const [products, events] = await Promise.all([this.#catalogue.products(productIds), this.#catalogue.eventsOn(userId, productIds)]);
    return buildUserProductFeatures(products, events);
  }

  /** Wait for lists that are being computed in the background. */
  async close() {
    this.#isClosed = true;
    await Promise.all(this.#revalidations.values());
  }

  /**
   * Return the options of a request: its limit, deadline and context, and the version and rules at its start.
   *
   * @param {{limit?: number, device?: string | null, budgetMs?: number, isOfBought?: boolean}} request
   * @returns {Promise<Options>}
   */
  async #options({ limit = LIMITS.usual, device = null, budgetMs = this.#parts.settings.python.timeoutMs, isOfBought = false }) {
    if (!Number.isInteger(limit)) throw new TypeError(`\`limit\` should be a whole number. Received: ${limit}.`);
    const until = systemClock.now() + budgetMs;
    const published = await this.#parts.snapshot.current();
    const known = published?.rules ?? DEFAULT_RULES;
    const rules = isOfBought ? rulesOfBought(known) : known;
    const budgetLeft = () => Math.max(0, until - systemClock.now());
    return {
      limit: Math.min(LIMITS.most, Math.max(LIMITS.least, limit)),
      context: this.deriveContext({ device, timeZone: rules.timeZone ?? this.#parts.settings.timeZone }),
      published,
      rules,
      exclude: [],
      like: null,
      isOfBought,
      arm: null,
      inTime: (promise) => withinMs(budgetLeft(), promise),
      timeLeft: () => Math.max(FALLBACK_MS, budgetLeft()), // for the database: after the deadline the fallback still queries it
    };
  }

  /** Return the options of a user's request, by their arm, and without what the user has just put into the cart or bought. */
  async #userOptions(userId, request) {
    const arm = this.#parts.arms?.of(userId) ?? null;
    const options = await this.#options(request);
    const limit = Math.min(options.limit, arm?.limit ?? options.limit);
    const rules = request.isOfBought && arm?.request.repeat === 'hide' ? options.rules : rulesOf(options.rules, arm); // else nothing were left
    return { ...options, arm, limit, rules, exclude: this.#chosen({ userId }, rules) };
  }

  /** Return the products that a visitor's latest choices hide, even where the tables do not have these yet. */
  #chosen(owner, { repeatAfterDays }) {
    const hides = ({ actionCode }) => actionCode === 'cart' || (actionCode === 'purchase' && repeatAfterDays > 0);
    return this.#parts.choicesOf?.(owner).filter(hides).map(({ productId }) => productId) ?? [];
  }

  /**
   * Return a user's cached rows, and how fresh they are. Concurrent requests with one limit share one query
   * while it is young.
   *
   * @param {number} userId
   * @param {Options} options
   */
  async #read(userId, { limit, context, published, rules, timeLeft, arm }) {
    const query = () => this.#catalogue.cachedList(userId, rules, limit);
    const cached = await this.#flights.run(`${userId}:${limit}`, () => this.#guard.run(timeLeft(), query), JOIN_MS);
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
    if (this.#isClosed || this.#revalidations.has(key) || isFull || this.#client.isPaused) return;
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
    this.#client.checkPause();
    const isNew = kind === 'new';
    const begun = outdated ?? (await this.#guard.run(STORE_MS, () => this.#cache.begin(userId, isNew)));
    const nRequested = Math.max(sizeFor(limit), begun.nRequested); // a list grows no shorter by a request for a few items
    const answer = await this.#client.request({ user_id: userId, limit: nRequested, context, ...requestOf(arm) });
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
      await this.#guard.run(STORE_MS, change);
    } catch (error) {
      if (!(error instanceof DatabaseUnavailable)) throw error;
      this.#parts.log.warn({ err: error, userId }, warning);
    }
  }

  #eligible(userId, answer, { rules }) {
    return this.#guard.run(STORE_MS, () => this.#catalogue.eligible(userId, idsOf(answer), rules));
  }

  /** Have later requests start new computations: the present ones of this user are out of date. */
  #forget(userId) {
    this.#flights.forgetAll(`${userId}:`);
    this.#fallback.forget(userId);
    this.#toBuyers.forget(`user ${userId}`);
  }

  /**
   * Return the options of a guest's request: with the guest's history, and without what the guest must not be shown.
   *
   * @returns {Promise<Options & {guest: {key: string, events: GuestEvent[]}}>} `failure`: why the history is not known.
   */
  async #guestOptions(guestId, request) {
    const options = await this.#options(request);
    const chosen = guestId === null ? [] : this.#chosen({ guestId }, options.rules);
    const nobody = { ...options, exclude: chosen, guest: { key: 'nobody', events: [] } };
    const { guests, clock } = this.#parts;
    if (guestId === null || guests === undefined) return nobody;
    try {
      const events = await this.#guard.run(options.timeLeft(), () => guests.newest(guestId));
      if (events.length === 0) return nobody;
      const key = `guest ${guestId}:${Math.max(...events.map(({ id }) => id))}`;
      const exclude = [...new Set([...chosen, ...hiddenFromGuest(events, options.rules, clock.now())])];
      return { ...options, exclude, guest: { key, events } };
    } catch (error) {
      if (!(error instanceof DatabaseUnavailable)) throw error;
      return { ...nobody, failure: error };
    }
  }

  /**
   * Answer a question about products, whose answer everybody shares, without these products and what is hidden from the visitor.
   *
   * @param {number[]} products
   * @param {ListRequest} request
   * @param {{limit?: number, userId?: number | null, guestId?: string | null}} visitor
   */
  async #withoutModel(products, request, { limit, userId = null, guestId = null }) {
    /** @type {Options} */
    const options = userId === null ? await this.#guestOptions(guestId, { limit }) : await this.#userOptions(userId, { limit });
    /** @type {any} */
    const byArm = { ...request, ...requestOf(options.arm, request.op ?? undefined) };
    const complementTo = byArm.complementary === true ? products : undefined;
    const about = { ...options, exclude: [...options.exclude, ...products], like: products[0] ?? null, complementTo };
    return this.#fromMemory(userId, about, this.#ofProducts, { key: JSON.stringify(byArm), request: byArm });
  }

  /** Answer with what Python has said, in memory or now, without what may not be shown. */
  #fromMemory(userId, options, memory, { key, request, isNew = false }) {
    return this.#orFallback(userId, options, async () => {
      if (options.failure) throw options.failure;
      if (isNew) memory.forget(key);
      const answer = await options.inTime(memory.answerTo(key, request, options));
      const ids = idsOf(answer).filter((id) => !options.exclude.includes(id));
      const products = await this.#guard.run(options.timeLeft(), () => this.#catalogue.eligible(userId, ids, options.rules));
      return this.#filled(userId, modelAnswer({ answer, products }), options);
    });
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
    const data = answer.data.filter(({ product }) => !options.exclude.includes(product.id));
    if (data.length >= options.limit || options.isOfBought) return { ...answer, data: data.slice(0, options.limit) };
    const exclude = [...options.exclude, ...data.map(({ product }) => product.id)];
    const more = await this.#fallback.items(userId, { ...options, limit: options.limit - data.length, exclude });
    const filled = { ...answer, data: [...data, ...more.data] };
    return data.length > 0 ? filled : { ...filled, source: sourceOf(more), fallbackReason: 'nothing_left' };
  }

  /**
   * Return and count the answer of `work`, which customers of an arm without recommendations do not get. Where it fails, return items of the
   * fallback chain with the reason.
   *
   * @param {number | null} userId
   * @param {Options} options
   * @param {() => Promise<List>} work
   */
  async #orFallback(userId, options, work) {
    const list = hasNoLists(options.arm) ? NO_LIST : await work().catch(async (error) => {
      const fallbackReason = fallbackReasonOf(error);
      const { data, modelVersion } = await (options.isOfBought ? this.#often : this.#fallback).items(userId, options);
      return { data, source: sourceOf({ data }), fallbackReason, modelVersion };
    });
    this.#parts.metrics.answer({ source: list.source, fallbackReason: list.fallbackReason });
    return this.#explained(list, options);
  }

  /** Return an answer whose rows say why. Without the database, the products that are reasons have no names. */
  async #explained(answer, { timeLeft }) {
    const names = (ids) =>
      this.#guard.run(timeLeft(), () => this.#catalogue.names(ids)).catch((error) => {
        if (!(error instanceof DatabaseUnavailable)) throw error;
        return new Map();
      });
    return { ...answer, data: await explained(answer.data, names) };
  }
}

function keyOf(userId, kind, { limit }) {
  return `${userId}:${kind}:${sizeFor(limit)}`;
}
