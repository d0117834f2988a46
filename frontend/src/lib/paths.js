/** What the page asks the server for, in one place, because it is asked for early as well. */
import { keyOf } from './answers.js';

/** @import { Answers } from './answers.js' */
/** @import { Route } from './router.js' */

const N_LIST = 12;
export const N_POPULAR = 10; // fills rows of two and of five

export const LIST = `/api/recommendations/list?limit=${N_LIST}`;

/** @param {string | null} category @param {number} [count] */
export function popular(category, count = N_POPULAR) {
  return `/api/products?sort=popular&limit=${count}${category ? `&category=${encodeURIComponent(category)}` : ''}`;
}

/** @param {string} id */
export function product(id) {
  return `/api/products/${encodeURIComponent(id)}`;
}

/** The category in the address of the home page, or `null`. */
export function categoryIn(/** @type {string} */ query) {
  return new URLSearchParams(query).get('category');
}

/**
 * Ask for what a page shows first. Resolves when all is answered, or has failed.
 *
 * @param {Answers} answers
 * @param {Route} route
 * @param {string} visitor The user's id, or empty.
 */
export function askEarly(answers, { page, query, id }, visitor) {
  const mostViewed = popular(categoryIn(query));
  const asked = [];
  if (page === 'home') asked.push(answers.askEarly(keyOf(LIST, visitor), LIST), answers.askEarly(mostViewed, mostViewed));
  if (id !== undefined) asked.push(answers.askEarly(product(id), product(id)));
  return Promise.all(asked);
}
