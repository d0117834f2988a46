/** The fallback chain: ever simpler ways to fill a list when no model can answer. Its last tier needs no database. */
import { JOIN_MS, Semaphore, SingleFlight } from '../../concurrency/sharing.js';
import { TooLate, withinMs } from '../../concurrency/time.js';
import { PythonBridgeError } from '../pythonInvoker.js';
import { EmptyAnswer } from './client.js';
import { DatabaseUnavailable } from './databaseGuard.js';
import { buildUserProductFeatures, scoreOf, strongest } from './heuristic.js';
import { whyOfFallback } from './reasons.js';

/**
 * @import { Id } from '../pythonInvoker.js'
 * @import { Product } from '../products.js'
 * @import { Catalogue, Event } from './catalogue.js'
 * @import { DatabaseGuard } from './databaseGuard.js'
 * @import { Why } from './reasons.js'
 * @import { Published, Rules } from './snapshot.js'
 */

/**
 * @typedef {object} FallbackItem An item of a list that no model made.
 * @property {Product} product
 * @property {number} score
 * @property {string} source The tier.
 * @property {string} modelName The tier, too.
 * @property {{code: string}} reason
 * @property {Why | null} [why]
 *
 * @typedef {object} FallbackOptions
 * @property {number} limit
 * @property {Id[]} exclude Ids that are left out; at most about a hundred.
 * @property {number | null} like A product instead of a user's preferences.
 * @property {number[]} [complementTo] Products whose categories are left out; the snapshot does not know them.
 * @property {Published | null} published
 * @property {Rules} rules
 * @property {() => number} timeLeft Milliseconds, for the database.
 * @property {{key: string, events: Event[]}} [guest] A guest's history instead of a user's; its key changes with each event.
 */

const MOST_QUERIES = 8; // different ones at once: fewer than the database's connections, so that cached lists can still be read
const HISTORY = 50; // products of the user's newest events that are scored
const PREFERRED = 3; // categories, and brands
const SCORED = { each: 20, all: 50 }; // of each tier, how many are scored; the others follow without a score
const FEW = { most: 40, each: 20, all: 60 }; // rows that suffice for lists of at most `most`
const MANY = { each: 60, all: 250 };
/** @type {Set<string | undefined>} */
const CHOICES = new Set(['purchase', 'cart']);

/**
 * Return the reason of a failure, one word of a closed set, as answers name it and metrics count it.
 *
 * @param {any} error Whatever was thrown.
 * @returns {string}
 * @throws {Error} The error itself, if it is a defect of this program.
 */
export function fallbackReasonOf(error) {
  if (error instanceof TooLate) return 'deadline';
  if ([PythonBridgeError, EmptyAnswer, DatabaseUnavailable].some((kind) => error instanceof kind)) return error.reason;
  throw error;
}

/** The fallback chain for many requests: equal ones share a query, and few run at once. The snapshot answers in place of the database. */
export class FallbackChain {
  #catalogue;
  #guard;
  #flights = new SingleFlight();
  #places = new Semaphore(MOST_QUERIES);

  /**
   * @param {Catalogue} catalogue
   * @param {DatabaseGuard} guard
   */
  constructor(catalogue, guard) {
    this.#catalogue = catalogue;
    this.#guard = guard;
  }

  /**
   * Return items of the chain; those of the snapshot where the database fails, or is too busy with other requests.
   *
   * @param {number | null} userId
   * @param {FallbackOptions} options
   * @returns {Promise<{data: FallbackItem[], modelVersion: string | null}>} `modelVersion`: of the snapshot.
   */
  async items(userId, options) {
    const { limit, exclude, like, complementTo, published, timeLeft, guest } = options;
    try {
      const shared = this.#flights.run(`${userId ?? guest?.key}:${limit}:${like}:${complementTo}:${exclude}`, () => this.#inTurn(userId, options), JOIN_MS);
      return { data: await withinMs(timeLeft(), shared), modelVersion: null };
    } catch (error) {
      if (!(error instanceof DatabaseUnavailable) && !(error instanceof TooLate)) throw error;
      return { data: fallbackFromSnapshot(published, { limit, exclude }), modelVersion: published?.name ?? null };
    }
  }

  /** Let later requests start a new query: the present ones of this user are out of date. */
  forget(userId) {
    this.#flights.forgetAll(`${userId}:`);
  }

  /** Query when a place is free. The place is kept while the database works, even after the request gave up. */
  async #inTurn(userId, options) {
    const release = await this.#places.acquire(options.timeLeft());
    let query;
    try {
      return await this.#guard.run(options.timeLeft(), () => (query = this.#query(userId, options)));
    } finally {
      Promise.allSettled([query]).then(release);
    }
  }

  async #query(userId, { limit, exclude, like, complementTo, rules, guest }) {
    const [product = like === null ? null : {}] = await this.#catalogue.products(like === null ? [] : [like]);
    const without = complementTo === undefined ? null : await this.#categoriesOf(complementTo);
    const options = { userId, limit, exclude, like: product, without, events: guest?.events };
    return fallbackItems(this.#catalogue, options, rules);
  }

  async #categoriesOf(ids) {
    const products = await this.#catalogue.products(ids);
    return [...new Set(products.flatMap(({ categoryId }) => categoryId ?? []))];
  }
}

/**
 * Return items without a model, each with its reason, tier by tier: the best by the heuristic score, then those of the user's preferred
 * categories and brands, then the most viewed, then the newest. The result depends on the shop's tables alone, and takes two statements.
 *
 * @param {Catalogue} catalogue
 * @param {object} options
 * @param {number | null} options.userId
 * @param {number} options.limit
 * @param {Id[]} [options.exclude] Ids that are left out; at most about a hundred.
 * @param {{id?: number, categoryId?: string | null, brandId?: string | null} | null} [options.like] A product instead of a user's preferences.
 * @param {string[] | null} [options.without] Categories that are left out, with what has no category; null for none.
 * @param {Event[]} [options.events] Newest first; by default the user's.
 * @param {Rules} rules
 * @returns {Promise<FallbackItem[]>} Fewer than `limit` only where the shop has no more.
 */
export async function fallbackItems(catalogue, { userId, limit, exclude = [], like = null, without = null, events: given = [] }, rules) {
  const events = like !== null ? [] : userId === null ? given : await catalogue.newestEvents(userId);
  const preferences = preferencesOf(like === null ? events : [like]);
  const rows = limit + exclude.length <= FEW.most ? FEW : MANY;
  const history = [...new Set(events.map(({ productId }) => productId))].slice(0, HISTORY);
  const candidates = await catalogue.candidates(userId, { history, ...preferences, without, each: rows.each, all: rows.all }, rules);
  const tiers = tiersOf(candidates, new Set(exclude));
  const scored = scoredItems(like === null ? tiers : { ...tiers, most_viewed: [] }, events);
  const isPreferred = ({ categoryId }) => preferences.categories.includes(categoryId);
  const items = [
    ...scored,
    ...tiers.category.map((product) => itemOf('category', product, isPreferred(product) ? 'category' : 'brand')),
    ...tiers.most_viewed.filter(({ view }) => view > 0).map((product) => itemOf('most_viewed', product, 'views')),
    ...tiers.newest.map((product) => itemOf('newest', product, 'newest')),
  ];
  return distinct(items)
    .slice(0, limit)
    .map((row) => ({ ...row, why: whyOfFallback(row.product, { events, like, popular: tiers.most_viewed, source: row.source }) }));
}

/**
 * Return items of the version's snapshot, the tier that needs no database.
 *
 * @param {Published | null} published
 * @param {{limit: number, exclude?: Id[]}} options
 * @returns {FallbackItem[]}
 */
export function fallbackFromSnapshot(published, { limit, exclude = [] }) {
  if (published === null) return [];
  const excluded = new Set(exclude);
  const items = [
    ...published.popular.map((product) => itemOf('snapshot', product, 'popular')),
    ...published.newest.map((product) => itemOf('snapshot', product, 'newest')),
  ];
  return distinct(items.filter(({ product }) => !excluded.has(product.id))).slice(0, limit);
}

/**
 * Return the categories and brands that a user chose most often, at most three of each. The more recent comes first among equals. A user
 * who has chosen nothing is judged by what they viewed.
 *
 * @param {Partial<Event>[]} events Newest first.
 * @returns {{categories: string[], brands: string[]}}
 */
export function preferencesOf(events) {
  const choices = events.filter(({ actionCode }) => CHOICES.has(actionCode));
  const evidence = choices.length > 0 ? choices : events;
  return { categories: commonest(evidence, 'categoryId'), brands: commonest(evidence, 'brandId') };
}

function commonest(events, column) {
  const counts = new Map();
  for (const { [column]: value } of events) {
    if (value !== null && value !== undefined) counts.set(value, (counts.get(value) ?? 0) + 1);
  }
  const ranked = [...counts].sort(([, one], [, other]) => other - one); // stable: the map is in the order of the newest events
  return ranked.slice(0, PREFERRED).map(([value]) => value);
}

/** Return the products of each tier in the order in which they are shown. */
function tiersOf(candidates, excluded) {
  const eligible = candidates.filter(({ product }) => !excluded.has(product.id));
  const of = (...tiers) => eligible.filter(({ tier }) => tiers.includes(tier)).map(({ product }) => product);
  return {
    history: of('history').sort(byId),
    category: of('category', 'brand').sort(byViews),
    most_viewed: of('most_viewed').sort(byViews),
    newest: of('newest').sort((one, other) => other.id - one.id),
  };
}

/** Return the products with a heuristic score above 0, best first. */
function scoredItems(tiers, events) {
  const ofCategory = tiers.category.slice(0, 2 * PREFERRED * SCORED.each);
  const products = [...tiers.history, ...ofCategory, ...tiers.most_viewed.slice(0, SCORED.all)];
  const ofId = new Map(products.map((product) => [product.id, product]));
  const features = buildUserProductFeatures([...ofId.values()], events);
  const items = features.map((row) => ({ ...itemOf('heuristic', ofId.get(row.productId), strongest(row)), score: scoreOf(row) }));
  return items.filter(({ score }) => score > 0).sort((one, other) => other.score - one.score || byId(one.product, other.product));
}

/** @returns {FallbackItem} */
export function itemOf(source, product, code) {
  return { product, score: 0, source, modelName: source, reason: { code } };
}

/** Return the first item of each product. */
function distinct(items) {
  const seen = new Set();
  return items.filter(({ product }) => !seen.has(product.id) && seen.add(product.id));
}

function byViews(one, other) {
  return other.view - one.view || other.id - one.id;
}

function byId(one, other) {
  return one.id - other.id;
}
