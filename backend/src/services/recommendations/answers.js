/** Lists as answers: from a model, or from the cache. */

/**
 * @import { Product } from '../products.js'
 * @import { Id, Reason, Recommendation } from '../pythonInvoker.js'
 * @import { CachedRow } from './catalogue.js'
 * @import { Why } from './reasons.js'
 */

/**
 * @typedef {object} ComputedList A model's answer, and its products that may be shown.
 * @property {Recommendation} answer
 * @property {Map<Id, Product>} products
 * @property {Promise<Map<Id, Product>>} [checked] The products that may be shown at the end of the computation.
 *
 * @typedef {object} ListItem
 * @property {Product} product
 * @property {number} score
 * @property {string} modelName
 * @property {Reason | {code: string} | null} reason
 * @property {Why | null} [why] The reason as the page shows it.
 * @property {string} source
 *
 * @typedef {object} List An answer.
 * @property {ListItem[]} data
 * @property {string} source
 * @property {string | null} fallbackReason Why no model answered; null where one did.
 * @property {string | null} modelVersion
 */

/**
 * Return the ids of an answer's items that can be products of this shop: whole numbers.
 *
 * @param {Pick<Recommendation, 'items'>} answer
 * @returns {number[]}
 */
export function idsOf({ items }) {
  return /** @type {number[]} */ (items.map(({ productId }) => productId).filter(Number.isSafeInteger));
}

/**
 * Return a model's list as an answer, without products that may not be shown.
 *
 * @param {ComputedList} list
 * @returns {List}
 */
export function modelAnswer({ answer, products }) {
  const { items, model: modelName, model_version: modelVersion, source } = answer;
  const data = items.flatMap(({ productId, score, reason = null }) => {
    const product = products.get(productId);
    return product === undefined ? [] : [{ product, score, modelName, reason, source }];
  });
  return { data, source, fallbackReason: null, modelVersion };
}

/**
 * Return cached rows as an answer, without products that may no longer be shown.
 *
 * @param {CachedRow[]} cached
 * @returns {List}
 */
export function cachedAnswer(cached) {
  const [{ modelName, modelVersion, source }] = cached;
  const data = cached.flatMap(({ product, score, details }) =>
    product === null ? [] : [{ product, score, modelName, reason: reasonIn(details), source }],
  );
  return { data, source: 'cache', fallbackReason: null, modelVersion };
}

/**
 * Return the source of a list's first item.
 *
 * @param {{data: {source: string}[]}} list
 */
export function sourceOf({ data }) {
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
