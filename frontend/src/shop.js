/** How components reach the parts of the page. */
import { createContext, useCallback, useContext, useMemo, useSyncExternalStore } from 'react';
import { translator } from './i18n/index.js';

/**
 * @import { Shop } from './createShop.js'
 * @import { Store } from './lib/store.js'
 * @import { Language, Translate } from './i18n/index.js'
 */

export const ShopContext = createContext(/** @type {Shop | null} */ (null));

/** @returns {Shop} */
export function useShop() {
  return /** @type {Shop} */ (useContext(ShopContext));
}

/**
 * @template T
 * @param {Store<T>} store
 * @returns {T}
 */
export function useStore(store) {
  return useSyncExternalStore(store.subscribe, store.get);
}

/** @returns {{t: Translate, language: Language}} */
export function useText() {
  const language = useStore(useShop().language.current);
  return useMemo(() => ({ t: translator(language), language }), [language]);
}

/** Return the function that puts a product into the cart, and tells in which list it stood. */
export function useAddToCart() {
  const { cart, queue, say } = useShop();
  const { t } = useText();
  return useCallback(
    (/** @type {import('./lib/product.js').Product} */ product, /** @type {import('./lib/seen.js').Place | null} */ place = null) => {
      cart.add(product);
      queue.add('cart', product.id, place ? { recommendation_id: place.recommendationId, position: place.position } : undefined);
      say(t('added', { name: product.name ?? t('unnamed', { id: product.id }) }), { isAboutCart: true });
    },
    [cart, queue, say, t],
  );
}
