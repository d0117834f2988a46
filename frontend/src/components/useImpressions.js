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
  const key = items?.map(({ product, position }) => `${position} ${product.id}`).join();

  useEffect(() => {
    if (!isVisible || !recommendationId || !key || !list.current || typeof IntersectionObserver !== 'function') return undefined;
    const places = key.split(',').map((text) => [text.slice(text.indexOf(' ') + 1), Number.parseInt(text, 10)]);
    /** @type {Map<Element, any>} */
    const timers = new Map();
    const observer = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) {
        clearTimeout(timers.get(target));
        const [productId, position] = places[elements.indexOf(target)] ?? [];
        if (!isIntersecting || typeof productId !== 'string' || !position) continue;
        timers.set(target, setTimeout(() => {
          observer.unobserve(target);
          seen.see(productId, { recommendationId, position: Number(position) });
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
