import { featuresOf, intentOf, scoreOf, strongest } from './heuristic.js';

const OWN = 50; // products of her newest events that are weighed
const LIKED = 3; // categories, and brands
const WEIGHED = { each: 20, all: 50 }; // of each list, how many are weighed; the others stand by unweighed
const FEW = { most: 40, each: 20, all: 60 }; // rows that suffice for so many products
const MANY = { each: 60, all: 250 };
const CHOSEN = new Set(['purchase', 'cart']);

/**
 * Return products for somebody whom no model has an answer for, and why each: the best by what can be seen of it, then of the categories
 * and brands that she likes, then the most viewed, then the newest. The same question on the same shop has the same answer. Three
 * statements, whoever asks.
 *
 * @param {Catalogue} catalogue
 * @param {object} wanted
 * @param {number | null} wanted.userId
 * @param {number} wanted.limit
 * @param {number[]} [wanted.exclude] Ids that may not come; at most a hundred or so.
 * @param {{categoryId?: string | null, brandId?: string | null}} [wanted.like] A product that stands for her taste: its like come first.
 * @param {object} rules
 * @returns {Promise<{product: object, score: number, source: string, modelName: string, reason: {code: string}}[]>} Fewer than `limit`
 *   only where the shop has no more.
 */
export async function climb(catalogue, { userId, limit, exclude = [], like = null }, rules) {
  const events = userId === null || like !== null ? [] : await catalogue.newestEvents(userId);
  const taste = tasteOf(like === null ? events : [like]);
  const rows = limit + exclude.length <= FEW.most ? FEW : MANY;
  const own = [...new Set(events.map(({ productId }) => productId))].slice(0, OWN);
  const found = await catalogue.candidates(userId, { own, ...taste, each: rows.each, all: rows.all }, rules);
  const lists = listsOf(found, new Set(exclude));
  const weighed = await weigh(catalogue, like === null ? lists : { ...lists, most_viewed: [] }, events);
  const steps = [
    ...weighed,
    ...lists.category.map((product) => step('category', product, taste.categories.includes(product.categoryId) ? 'category' : 'brand')),
    ...lists.most_viewed.filter(({ view }) => view > 0).map((product) => step('most_viewed', product, 'views')),
    ...lists.newest.map((product) => step('newest', product, 'newest')),
  ];
  return distinct(steps).slice(0, limit);
}

/**
 * Return products of the version's snapshot: what is left when the database cannot be asked.
 *
 * @param {Published | null} published
 */
export function climbSnapshot(published, { limit, exclude = [] }) {
  if (published === null) return [];
  const unwanted = new Set(exclude);
  const steps = [
    ...published.popular.map((product) => step('snapshot', product, 'popular')),
    ...published.newest.map((product) => step('snapshot', product, 'newest')),
  ];
  return distinct(steps.filter(({ product }) => !unwanted.has(product.id))).slice(0, limit);
}

/** Return the categories and brands that a customer chose most often, the more recent first among equals; what she viewed, if nothing. */
export function tasteOf(events) {
  const chosen = events.filter(({ actionCode }) => CHOSEN.has(actionCode));
  const told = chosen.length > 0 ? chosen : events;
  return { categories: commonest(told, 'categoryId'), brands: commonest(told, 'brandId') };
}

function commonest(events, column) {
  const counts = new Map();
  for (const { [column]: value } of events) if (value !== null && value !== undefined) counts.set(value, (counts.get(value) ?? 0) + 1);
  const ranked = [...counts].sort(([, one], [, other]) => other - one); // stable: the map's order is that of the newest events
  return ranked.slice(0, LIKED).map(([value]) => value);
}

/** Return each rung's products in the order in which they would be shown. */
function listsOf(found, unwanted) {
  const wanted = found.filter(({ product }) => !unwanted.has(product.id));
  const of = (...rungs) => wanted.filter(({ rung }) => rungs.includes(rung)).map(({ product }) => product);
  return {
    own: of('own').sort(byId),
    category: of('category', 'brand').sort(byViews),
    most_viewed: of('most_viewed').sort(byViews),
    newest: of('newest').sort((one, other) => other.id - one.id),
  };
}

/** Return the products about which there is something to say, best first. */
async function weigh(catalogue, lists, events) {
  const products = [...lists.own, ...lists.category.slice(0, 2 * LIKED * WEIGHED.each), ...lists.most_viewed.slice(0, WEIGHED.all)];
  const ofId = new Map(products.map((product) => [product.id, product]));
  const reviews = await catalogue.reviews([...ofId.keys()].sort((one, other) => one - other));
  const steps = [...ofId.values()].map((product) => weighed(product, reviews.get(product.id), eventsOn(product, events)));
  return steps.filter(({ score }) => score > 0).sort((one, other) => other.score - one.score || byId(one.product, other.product));
}

function weighed(product, review, events) {
  const features = featuresOf({ stars: null, reviews: 0, ...review, ...product, intent: intentOf(events) });
  return { ...step('heuristic', product, strongest(features)), score: scoreOf(features) };
}

function eventsOn(product, events) {
  return events.filter(({ productId }) => productId === product.id).map(({ actionCode }) => actionCode);
}

function step(source, product, code) {
  return { product, score: 0, source, modelName: source, reason: { code } };
}

/** Return the first step of each product. */
function distinct(steps) {
  const seen = new Set();
  return steps.filter(({ product }) => !seen.has(product.id) && seen.add(product.id));
}

function byViews(one, other) {
  return other.view - one.view || other.id - one.id;
}

function byId(one, other) {
  return one.id - other.id;
}
