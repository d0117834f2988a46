/** What a product is worth showing by what everybody can see of it, where no model says more. Pure. */

/** What each feature counts for; each is from 0 to 1, and so is the score. */
export const WEIGHTS = Object.freeze({ stars: 0.45, reviews: 0.15, views: 0.15, discount: 0.15, intent: 0.1 });

const MOST_STARS = 5;
const MANY = 50; // reviews, and views: more say no more
const LARGE_DISCOUNT = 70; // percent
const INTENT = new Map([
  ['purchase', 1],
  ['cart', 0.5],
]);

/**
 * Return a product's features.
 *
 * @param {object} facts
 * @param {number | null} facts.stars Mean of its reviews, 1 to 5; null where there are none.
 * @param {number} facts.reviews Their number.
 * @param {number} facts.view How often it was looked at.
 * @param {number | null} facts.originalPrice
 * @param {number | null} facts.discountPrice
 * @param {number} facts.intent What `intentOf` says of the customer's events on it.
 * @returns {Record<keyof typeof WEIGHTS, number>} Each from 0 to 1.
 */
export function featuresOf({ stars, reviews, view, originalPrice, discountPrice, intent }) {
  return {
    stars: stars === null ? 0 : clipped((stars - 1) / (MOST_STARS - 1)),
    reviews: clipped(reviews / MANY),
    views: clipped(view / MANY),
    discount: clipped(discountPercent(originalPrice, discountPrice) / LARGE_DISCOUNT),
    intent: clipped(intent),
  };
}

/** Return the weighted sum of features, from 0 to 1. */
export function scoreOf(features) {
  return Object.entries(WEIGHTS).reduce((sum, [name, weight]) => sum + weight * features[name], 0);
}

/** Return the name of the feature that adds most to the score; the first of equal ones. */
export function strongest(features) {
  const parts = Object.entries(WEIGHTS).map(([name, weight]) => [name, weight * features[name]]);
  return parts.reduce((best, part) => (part[1] > best[1] ? part : best))[0];
}

/** Return what a customer's events on a product say of her wish to buy it: 1 bought, 0.5 in the cart, 0 neither. */
export function intentOf(events) {
  return Math.max(0, ...events.map((event) => INTENT.get(event) ?? 0));
}

/** Return how many whole percent a price is reduced by; 0 where it is not, or unknown. */
export function discountPercent(originalPrice, discountPrice) {
  if (originalPrice === null || discountPrice === null) return 0;
  return Math.max(0, Math.round(((originalPrice - discountPrice) / Math.max(1, originalPrice)) * 100));
}

function clipped(value) {
  return Math.min(1, Math.max(0, value));
}
