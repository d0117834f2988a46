/** Rows of products: a carousel that scrolls by touch, wheel, keys and buttons; and a grid. */
import { useCallback, useEffect, useId, useRef, useState } from 'react';
import { useText } from '../shop.js';
import { Failed } from './Failed.jsx';
import { LeftIcon, RightIcon } from './icons.jsx';
import { CardSkeleton, ProductCard } from './productParts.jsx';
import { useImpressions } from './useImpressions.js';

/**
 * @import { Product, Why } from '../lib/product.js'
 * @import { ApiError } from '../lib/api.js'
 */

/**
 * @typedef {object} ShelfProps
 * @property {string} title
 * @property {string} [hint]
 * @property {import('react').ReactNode} [label]
 * @property {import('react').ReactNode} [tools] Between the title and the products.
 * @property {import('react').ReactNode} [foot]
 * @property {{product: Product, why?: Why | null, position?: number}[] | null} items `null` while they are loading.
 * @property {string | null} [recommendationId] Of the answer, if they are recommended.
 * @property {ApiError | null} [error]
 * @property {() => void} [retry]
 * @property {boolean} [hasWhy]
 * @property {boolean} [isFirst] Whether the products are the first that a visitor sees.
 * @property {boolean} [isGrid]
 * @property {boolean} [isBusy]
 * @property {number} [expected] Skeletons.
 */

/** @param {ShelfProps} props */
export function Shelf({
  title, hint, label, tools, foot, items, error = null, retry, hasWhy = false, isFirst = false, isGrid = false, isBusy = false, expected = 6, recommendationId = null,
}) {
  const { t } = useText();
  const id = useId();
  const { track, edges, turn } = useTrack(items?.length ?? 0);
  const isLoading = items === null && error === null;
  useImpressions(track, items, recommendationId);
  return (
    <section className="shelf" aria-labelledby={id} aria-busy={isLoading || isBusy}>
      <div className="shelf-head">
        <div>
          <h2 id={id}>
            {title} {label}
          </h2>
          {hint && <p className="quiet">{hint}</p>}
        </div>
        {!isGrid && !edges.isWhole && (
          <div className="turns">
            <button className="icon-button" type="button" aria-label={t('previous')} aria-disabled={edges.isAtStart} onClick={() => turn(-1)}>
              <LeftIcon />
            </button>
            <button className="icon-button" type="button" aria-label={t('next')} aria-disabled={edges.isAtEnd} onClick={() => turn(1)}>
              <RightIcon />
            </button>
          </div>
        )}
      </div>
      {tools}
      {error !== null && <Failed error={error} retry={retry} hasRoom={hasWhy} />}
      {items?.length === 0 && <p className="empty">{t('empty.list')}</p>}
      {(isLoading || (items?.length ?? 0) > 0) && (
        <ul className={isGrid ? 'grid' : 'track'} ref={track} role="list">
          {items === null
            ? Array.from({ length: expected }, (_, index) => (
                <li key={`skeleton ${index}` /* never a product's id */}>
                  <CardSkeleton hasWhy={hasWhy} />
                </li>
              ))
            : items.map(({ product, why, position }, index) => (
                <li key={product.id}>
                  <ProductCard product={product} why={why} hasWhy={hasWhy} isFirst={isFirst && index < 4} place={recommendationId && position ? { recommendationId, position } : null} />
                </li>
              ))}
        </ul>
      )}
      {isLoading && <p className="hidden" role="status">{t('loading')}</p>}
      {foot}
    </section>
  );
}

/**
 * @param {number} length Of the list in the track.
 */
function useTrack(length) {
  const track = useRef(/** @type {HTMLUListElement | null} */ (null));
  const [edges, setEdges] = useState({ isAtStart: true, isAtEnd: true, isWhole: false });

  useEffect(() => {
    const element = track.current;
    if (!element) return undefined;
    const look = () => {
      const { scrollLeft, clientWidth, scrollWidth } = element;
      const next = {
        isAtStart: scrollLeft < 8,
        isAtEnd: scrollLeft + clientWidth > scrollWidth - 8,
        isWhole: scrollWidth <= clientWidth + 8,
      };
      setEdges((old) => (Object.keys(next).every((key) => old[key] === next[key]) ? old : next));
    };
    look();
    const observer = new ResizeObserver(look);
    observer.observe(element);
    element.addEventListener('scroll', look, { passive: true });
    return () => {
      observer.disconnect();
      element.removeEventListener('scroll', look);
    };
  }, [length]);

  const turn = useCallback((/** @type {1 | -1} */ direction) => {
    const element = track.current;
    element?.scrollBy({ left: direction * Math.max(200, element.clientWidth * 0.85) }); // smooth, or not, as the style says
  }, []);
  return { track, edges, turn };
}
