/** Why a product is in a list, as the page shows it. */

/**
 * @import { Product } from '../products.js'
 * @import { Id, Reason } from '../pythonInvoker.js'
 * @import { Event } from './catalogue.js'
 */

/**
 * @typedef {object} Why
 * @property {'viewed' | 'bought' | 'cart' | 'similar' | 'together' | 'again' | 'popular' | 'new'} code
 * @property {Id} [itemId] The product that is the reason, never the row's own.
 * @property {string | null} [name] Its name; null where the shop has it no more.
 * @property {string | null} [category] The name of the category in which the product is popular or new.
 */

const OF_ITEM = new Set(['viewed', 'bought', 'cart', 'similar', 'together']);
/** What older caches and the fallback chain call these codes. */
const CODES = { history: 'viewed', newest: 'new', ...Object.fromEntries([...OF_ITEM, 'again', 'popular', 'new'].map((code) => [code, code])) };

/**
 * Return a stored or computed reason as `why`, without a name. It is null where nothing true can be said.
 *
 * @param {any} reason Of Python, of a cache or of the snapshot.
 * @param {Product} product
 * @returns {Why | null}
 */
export function whyOf(reason, product) {
  if (!Object.hasOwn(CODES, reason?.code)) return null;
  const code = CODES[reason.code];
  if (OF_ITEM.has(code)) return Number.isSafeInteger(reason.item_id) && reason.item_id !== product.id ? { code, itemId: reason.item_id } : null;
  const isNamed = reason.category === product.categoryId && product.category !== null;
  return isNamed ? { code, category: product.category } : { code };
}

/**
 * Return why the fallback chain brings a product: it is like one that the user knows, or popular, or new.
 *
 * @param {Product} product
 * @param {{events: Event[], like: any, popular: Product[], source: string}} circumstances `popular`: the most viewed products.
 * @returns {Why | null}
 */
export function whyOfFallback(product, { events, like, popular, source }) {
  const isAlike = (other) => ['categoryId', 'brandId'].some((column) => other[column] && other[column] === product[column]);
  if (like?.id !== undefined && isAlike(like)) return { code: 'similar', itemId: like.id };
  const seen = events.find((event) => event.productId !== product.id && event.categoryId && event.categoryId === product.categoryId);
  if (seen !== undefined) return { code: 'viewed', itemId: seen.productId };
  if (popular.some(({ id, view }) => id === product.id && (view ?? 0) > 0)) return { code: 'popular' };
  return source === 'newest' && product.isNew ? { code: 'new' } : null;
}

/**
 * Return the rows of a list with `why`. All names are read at once, and nothing where there is none to read.
 *
 * @template {{product: Product, reason: Reason | {code: string} | null, why?: Why | null}} Row
 * @param {Row[]} rows
 * @param {(ids: number[]) => Promise<Map<Id, string>>} readNames
 * @returns {Promise<(Row & {why: Why | null})[]>}
 */
export async function explained(rows, readNames) {
  const whys = rows.map(({ product, reason, why = whyOf(reason, product) }) => why);
  const ids = /** @type {number[]} */ ([...new Set(whys.flatMap((why) => why?.itemId ?? []))]);
  const names = ids.length === 0 ? new Map() : await readNames(ids);
  const named = (why) => (why?.itemId === undefined ? why : { ...why, name: names.get(why.itemId) ?? null });
  return rows.map((row, n) => ({ ...row, why: named(whys[n]) }));
}
