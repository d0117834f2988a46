/** A heuristic score of products, for the fallback chain: reviews, views, discount, and the user's purchase intent. */

/**
 * @import { Product } from '../products.js'
 * @import { Event } from './catalogue.js'
 */

/** The weight of each feature. Features and score are from 0 to 1. */
export const WEIGHTS = Object.freeze({ stars: 0.45, reviews: 0.15, views: 0.15, discount: 0.15, intent: 0.1 });

const MOST_STARS = 5;
const MANY = 50; // reviews, and views; more of them do not raise the feature
const LARGE_DISCOUNT = 70; // percent
const INTENT = new Map([
  ['purchase', 1],
  ['cart', 0.5],
]);

/**
 * Return the features of products for a user.
 *
 * @param {Product[]} products
 * @param {Pick<Event, 'productId' | 'actionCode'>[]} events What the user did, with these products or others.
 * @returns {({productId: number} & Features)[]} One row for each product, in their order.
 */
export function buildUserProductFeatures(products, events) {
  return products.map((product) => {
    const actions = events.filter(({ productId }) => productId === product.id).map(({ actionCode }) => actionCode);
    return { productId: product.id, ...featuresOf({ ...product, intent: intentOf(actions) }) };
  });
}

/**
 * Return a product's features.
 *
 * @typedef {Record<keyof typeof WEIGHTS, number>} Features Each from 0 to 1.
 *
 * @param {object} facts
 * @param {number | null} facts.stars Mean of its reviews, 1 to 5; null where there are none.
 * @param {number} facts.reviews The number of reviews.
 * @param {number | null} facts.view How often it was viewed; null counts as never.
 * @param {number | null} facts.originalPrice
 * @param {number | null} facts.discountPrice
 * @param {number} facts.intent What `intentOf` returns for the user's events on it.
 * @returns {Features}
 */
export function featuresOf({ stars, reviews, view, originalPrice, discountPrice, intent }) {
  return {
    stars: stars === null ? 0 : clipped((stars - 1) / (MOST_STARS - 1)),
    reviews: clipped(reviews / MANY),
    views: clipped((view ?? 0) / MANY),
    discount: clipped(discountPercent(originalPrice, discountPrice) / LARGE_DISCOUNT),
    intent: clipped(intent),
  };
}

/** Return the weighted sum of features, from 0 to 1. */
export function scoreOf(features) {
  return Object.entries(WEIGHTS).reduce((sum, [name, weight]) => sum + weight * features[name], 0);
}

/** Return the name of the feature that adds most to the score; among equal ones the first of `WEIGHTS`. */
export function strongest(features) {
  const parts = Object.entries(WEIGHTS).map(([name, weight]) => [name, weight * features[name]]);
  return parts.reduce((best, part) => (part[1] > best[1] ? part : best))[0];
}

/** Return a user's purchase intent from their events on a product: 1 for a purchase, 0.5 for the cart, 0 without either. */
export function intentOf(events) {
  return Math.max(0, ...events.map((event) => INTENT.get(event) ?? 0));
}

/** Return by how many whole percent a price is reduced; 0 where it is not, or where a price is unknown. */
export function discountPercent(originalPrice, discountPrice) {
  if (originalPrice === null || discountPrice === null) return 0;
  return Math.max(0, Math.round(((originalPrice - discountPrice) / Math.max(1, originalPrice)) * 100));
}

function clipped(value) {
  return Math.min(1, Math.max(0, value));
}
