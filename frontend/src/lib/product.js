/** Products and lists as the page uses them, from answers that may lack anything and hold anything. */

const CONTROL = /[\u0000-\u001f\u007f-\u009f]/g;
const DIRECTION = /[\u200e\u200f\u202a-\u202e\u2066-\u2069]/g; // would turn round the text after the name
const LONGEST_NAME = 300;

/**
 * @typedef {object} Product
 * @property {string} id
 * @property {string | null} name
 * @property {string | null} category The category's name.
 * @property {string | null} brand
 * @property {string | null} description
 * @property {number | null} price
 * @property {number | null} originalPrice
 * @property {number | null} discountPrice
 * @property {string | null} image
 * @property {number | null} stars 1 to 5.
 * @property {number} reviews
 * @property {boolean} isNew
 */

/**
 * @typedef {object} Why
 * @property {string} code
 * @property {string | null} itemId
 * @property {string | null} name
 * @property {string | null} category
 */

/**
 * @typedef {object} Recommended
 * @property {Product} product
 * @property {Why | null} why
 * @property {number | null} score
 * @property {string | null} modelName
 * @property {number} position In the answer, from 1.
 */

/**
 * @typedef {object} List
 * @property {Recommended[]} items
 * @property {string | null} source
 * @property {string | null} fallbackReason
 * @property {string | null} modelVersion
 * @property {string | null} recommendationId The answer's id, with which events on its products are sent.
 */

/**
 * Return a product, or `null` for what has no id.
 *
 * @param {any} raw
 * @returns {Product | null}
 */
export function productOf(raw) {
  const id = idOf(raw?.id);
  if (id === null) return null;
  const stars = numberOf(raw.stars);
  return {
    id,
    name: textOf(raw.name),
    category: textOf(raw.category),
    brand: textOf(raw.brand),
    description: textOf(raw.description, 5000),
    price: numberOf(raw.price),
    originalPrice: numberOf(raw.originalPrice),
    discountPrice: numberOf(raw.discountPrice),
    image: imageOf(raw.image),
    stars: stars === null || stars < 1 || stars > 5 ? null : stars,
    reviews: Math.max(0, Math.floor(numberOf(raw.reviews) ?? 0)),
    isNew: raw.isNew === true,
  };
}

/**
 * Return the products of an answer, each once.
 *
 * @param {any} answer
 * @returns {Product[]}
 */
export function productsOf(answer) {
  return onceEach(rowsOf(answer).map(productOf), ({ id }) => id);
}

/**
 * Return the list of an answer, each product once.
 *
 * @param {any} answer
 * @returns {List}
 */
export function listOf(answer) {
  const items = rowsOf(answer).map((row, index) => {
    const product = productOf(row?.product);
    return product && { product, why: whyOf(row.why, product.id), score: numberOf(row.score), modelName: textOf(row.modelName), position: index + 1 };
  });
  return {
    items: onceEach(items, ({ product }) => product.id),
    source: textOf(answer?.source),
    fallbackReason: textOf(answer?.fallbackReason),
    modelVersion: textOf(answer?.modelVersion),
    recommendationId: textOf(answer?.recommendation_id),
  };
}

/** Return whether the visitor gets no recommendations: they are in an arm of an experiment without any. @param {{source: string | null} | null} list */
export function isNone(list) {
  return list?.source === 'none';
}

const SIMPLE_SOURCES = ['popularity', 'heuristic', 'fallback', 'newest', 'popular'];

/**
 * Return whether no model made the list for this visitor.
 *
 * @param {{source: string | null, fallbackReason: string | null}} list
 */
export function isSimple({ source, fallbackReason }) {
  return fallbackReason !== null || SIMPLE_SOURCES.includes(source ?? '');
}

/**
 * @param {any} raw
 * @param {string} productId
 * @returns {Why | null}
 */
function whyOf(raw, productId) {
  const code = textOf(raw?.code);
  if (code === null) return null;
  const itemId = idOf(raw.itemId);
  if (itemId === productId) return null; // a product is no reason for itself
  return { code, itemId, name: textOf(raw.name), category: textOf(raw.category) };
}

/** @param {unknown} value */
export function idOf(value) {
  if (typeof value === 'number') return Number.isSafeInteger(value) ? String(value) : null;
  return typeof value === 'string' && value.trim() !== '' ? value : null;
}

/**
 * Return a text on one line, or `null` for none.
 *
 * @param {unknown} value
 * @param {number} [longest]
 */
export function textOf(value, longest = LONGEST_NAME) {
  if (typeof value !== 'string') return null;
  const text = value.replace(CONTROL, ' ').replace(DIRECTION, '').replace(/\s+/g, ' ').trim();
  if (text === '') return null;
  const characters = [...text];
  return characters.length > longest ? `${characters.slice(0, longest - 1).join('')}…` : text;
}

/** @param {unknown} value */
function numberOf(value) {
  return typeof value === 'number' && Number.isFinite(value) ? value : null;
}

/** @param {unknown} value */
function imageOf(value) {
  return typeof value === 'string' && /^(\/(?!\/)|https?:\/\/)/.test(value) ? value : null;
}

/** @param {any} answer */
function rowsOf(answer) {
  return Array.isArray(answer?.data) ? answer.data : [];
}

/**
 * @template T
 * @param {(T | null)[]} values
 * @param {(value: T) => string} keyOf
 * @returns {T[]}
 */
function onceEach(values, keyOf) {
  const byKey = new Map();
  for (const value of values) if (value !== null && !byKey.has(keyOf(value))) byKey.set(keyOf(value), value);
  return [...byKey.values()];
}
