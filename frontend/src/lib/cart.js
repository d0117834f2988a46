/** The cart: lines of products with quantities, kept in the storage, and the same in all tabs. */
import { productOf } from './product.js';
import { createStore } from './store.js';

/**
 * @import { Product } from './product.js'
 * @import { Store } from './store.js'
 * @import { Values } from './storage.js'
 */

const KEY = 'cart';
export const MOST = 99;

/**
 * @typedef {object} Line
 * @property {Product} product As it was when it was put in.
 * @property {number} quantity 1 to `MOST`.
 */

/**
 * @typedef {object} Cart
 * @property {Store<Line[]>} lines
 * @property {(product: Product, quantity?: number) => void} add
 * @property {(id: string, quantity: number) => void} setQuantity
 * @property {(id: string) => void} remove
 * @property {() => void} clear
 * @property {(products: Product[], isLeaving: (id: string) => boolean) => void} merge Adds what the server knows of.
 * @property {() => void} reload Reads what another tab wrote.
 */

/**
 * @param {Values} storage
 * @returns {Cart}
 */
export function createCart(storage) {
  const lines = createStore(linesOf(storage.get(KEY)));

  /** @param {(lines: Line[]) => Line[]} change */
  function update(change) {
    const changed = change(linesOf(storage.get(KEY))); // another tab may have written since
    storage.set(KEY, changed);
    lines.set(changed);
  }

  return {
    lines,
    add(product, quantity = 1) {
      update((old) => {
        const before = old.find((line) => line.product.id === product.id);
        if (!before) return [...old, { product, quantity: within(quantity) }];
        return old.map((line) => (line === before ? { product, quantity: within(line.quantity + quantity) } : line));
      });
    },
    setQuantity: (id, quantity) =>
      update((old) => old.map((line) => (line.product.id === id ? { ...line, quantity: within(quantity) } : line))),
    remove: (id) => update((old) => old.filter((line) => line.product.id !== id)),
    clear: () => update(() => []),
    merge(products, isLeaving) {
      update((old) => {
        const known = new Set(old.map(({ product }) => product.id));
        const added = products.filter(({ id }) => !known.has(id) && !isLeaving(id));
        return [...old, ...added.map((product) => ({ product, quantity: 1 }))];
      });
    },
    reload: () => lines.set(linesOf(storage.get(KEY))),
  };
}

/**
 * Return the cart's sum.
 *
 * @param {Line[]} lines
 * @returns {{sum: number, pieces: number, unpriced: number}} `unpriced` counts the lines that the sum leaves out.
 */
export function totalOf(lines) {
  const priced = lines.filter(({ product }) => product.price !== null);
  return {
    sum: priced.reduce((sum, { product, quantity }) => sum + Number(product.price) * quantity, 0),
    pieces: lines.reduce((sum, { quantity }) => sum + quantity, 0),
    unpriced: lines.length - priced.length,
  };
}

/**
 * Return the readable lines of what the storage holds.
 *
 * @param {any} stored
 * @returns {Line[]}
 */
function linesOf(stored) {
  if (!Array.isArray(stored)) return [];
  return stored.flatMap((line) => {
    const product = productOf(line?.product);
    return product ? [{ product, quantity: within(line.quantity) }] : [];
  });
}

/** @param {unknown} quantity */
function within(quantity) {
  return Math.min(MOST, Math.max(1, Math.floor(Number(quantity)) || 1));
}
