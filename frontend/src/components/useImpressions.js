/** Tells which products of a list were really in view. */
import { useEffect, useSyncExternalStore } from 'react';
import { useShop } from '../shop.js';

/** @import { RefObject } from 'react' */

const HALF = 0.5; // of a card
const LOOK_MS = 1000; // for so long

/**
 * Watch the elements of a list, in the order of its items.
 *
 * @param {RefObject<HTMLElement | null>} list
 * @param {{product: {id: string}, position?: number}[] | null} items
 * @param {string | null} recommendationId Of the answer; null where it is no list of recommendations.
 */
export function useImpressions(list, items, recommendationId) {
  const { seen } = useShop();
  const isVisible = useSyncExternalStore(subscribe, () => document.visibilityState === 'visible');
  const key = items && JSON.stringify(items.map(({ product, position = 0 }) => [product.id, position])); // the same for the same items

  useEffect(() => {
    if (!isVisible || !recommendationId || !key || !list.current || typeof IntersectionObserver !== 'function') return undefined;
    /** @type {[string, number][]} */
    const places = JSON.parse(key);
    /** @type {Map<Element, any>} */
    const timers = new Map();
    const observer = new IntersectionObserver((entries) => {
      for (const { target, intersectionRatio } of entries) {
        clearTimeout(timers.get(target));
        const [productId, position] = places[elements.indexOf(target)] ?? ['', 0];
        if (intersectionRatio < HALF || position === 0) continue;
        timers.set(target, setTimeout(() => {
          observer.unobserve(target);
          seen.see(productId, { recommendationId, position });
        }, LOOK_MS));
      }
    }, { threshold: HALF });
    const elements = [...list.current.children];
    for (const element of elements) observer.observe(element);
    return () => {
      observer.disconnect();
      for (const timer of timers.values()) clearTimeout(timer);
    };
  }, [list, key, recommendationId, isVisible, seen]);
}

/** @param {() => void} onChange */
function subscribe(onChange) {
  document.addEventListener('visibilitychange', onChange);
  return () => document.removeEventListener('visibilitychange', onChange);
}
