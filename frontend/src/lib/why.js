/** Why a product is recommended, in words. */

/** @import { Why } from './product.js' */

/** @type {Record<string, 'name' | 'category' | null>} what is named with each code */
const NAMED = { viewed: 'name', bought: 'name', cart: 'name', similar: 'name', together: 'name', again: null, popular: 'category', new: 'category' };
const [ISOLATE, END] = ['\u2068', '\u2069']; // a name from right to left leaves the words around it in place

/**
 * Return the label of a recommendation, or `null` where nothing true can be said.
 *
 * @param {Why | null} why
 * @param {(key: string, values?: Record<string, string>) => string} t
 * @returns {string | null}
 */
export function whyText(why, t) {
  if (why === null || !Object.hasOwn(NAMED, why.code)) return null;
  const field = NAMED[why.code];
  const value = field === null ? null : why[field];
  return field === null || value === null ? t(`why.${why.code}`) : t(`why.${why.code}.${field}`, { [field]: ISOLATE + value + END });
}
