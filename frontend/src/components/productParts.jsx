/** The parts of which product cards and pages are made. */
import { useState } from 'react';
import { CURRENCY } from '../config.js';
import { money, priceOf } from '../lib/money.js';
import { productPath } from '../lib/router.js';
import { whyText } from '../lib/why.js';
import { useAddToCart, useShop, useStore, useText } from '../shop.js';
import { BagIcon, CheckIcon, PlusIcon } from './icons.jsx';
import { Link } from './Link.jsx';

/**
 * @import { Product, Why } from '../lib/product.js'
 * @import { Place } from '../lib/seen.js'
 */

const SIDE = 640; // px, of a picture

/** The products of the cards that were followed, so that their pages need not wait for what is known. @type {Map<string, Product>} */
export const followed = new Map();

/** @param {{product: Product}} props */
export function Name({ product }) {
  const { t } = useText();
  return product.name === null ? t('unnamed', { id: product.id }) : <bdi dir="auto">{product.name}</bdi>;
}

/**
 * The product's picture in a square, or a drawing where there is none.
 *
 * @param {{product: Product, isFirst?: boolean}} props
 */
export function Picture({ product, isFirst = false }) {
  const [failed, setFailed] = useState(/** @type {string | null} */ (null));
  const { image } = product;
  return (
    <span className="picture">
      {image === null || image === failed ? (
        <BagIcon />
      ) : (
        <img
          src={image}
          alt=""
          width={SIDE}
          height={SIDE}
          loading={isFirst ? 'eager' : 'lazy'}
          fetchPriority={isFirst ? 'high' : 'auto'}
          decoding="async"
          onError={() => setFailed(image)}
        />
      )}
    </span>
  );
}

/** @param {{product: Product}} props */
export function Price({ product }) {
  const { t, language } = useText();
  const { now, before, percent } = priceOf(product);
  if (now === null) return <p className="price none">{t('noPrice')}</p>;
  return (
    <p className="price">
      <span className="hidden">{t('price.now')}: </span>
      <strong>{money(now, language, CURRENCY)}</strong>
      {before !== null && (
        <>
          {' '}
          <s>
            <span className="hidden">{t('price.before')}: </span>
            {money(before, language, CURRENCY)}
          </s>
          {percent !== null && percent > 0 && <span className="percent">{t('reduced', { percent })}</span>}
        </>
      )}
    </p>
  );
}

/** @param {{product: Product, isLong?: boolean}} props */
export function Stars({ product, isLong = false }) {
  const { t, language } = useText();
  const { stars, reviews } = product;
  if (stars === null) return <p className="rating none">{isLong ? t('noReviews') : '\u00a0'}</p>;
  const mean = new Intl.NumberFormat(language, { maximumFractionDigits: 1 }).format(stars);
  return (
    <p className="rating">
      <span className="stars" role="img" aria-label={t('stars', { stars: mean, n: reviews })}>
        <span style={{ width: `${(stars / 5) * 100}%` }} />
      </span>
      <span aria-hidden="true">
        {isLong ? `${mean} · ${t('reviews', { n: reviews })}` : `(${reviews})`}
      </span>
    </p>
  );
}

/** @param {{product: Product, why?: Why | null, isFirst?: boolean, hasWhy?: boolean, place?: Place | null}} props `place`: in a list of recommendations. */
export function ProductCard({ product, why = null, isFirst = false, hasWhy = false, place = null }) {
  const { queue, seen } = useShop();
  const { t } = useText();
  const { percent } = priceOf(product);
  const reason = whyText(why, t);
  function follow() {
    followed.set(product.id, product);
    if (place === null) return;
    seen.see(product.id, place); // also where it was in view for a moment only
    seen.flush();
    queue.add('click', product.id, { recommendation_id: place.recommendationId, position: place.position });
  }
  return (
    <article className="card">
      <div className="card-picture">
        <Picture product={product} isFirst={isFirst} />
        {percent !== null && percent > 0 ? (
          <span className="badge sale">{t('reduced', { percent })}</span>
        ) : (
          product.isNew && <span className="badge">{t('isNew')}</span>
        )}
        <AddButton product={product} place={place} />
      </div>
      <h3 className="card-name">
        <Link to={productPath(product.id)} onClick={follow}>
          <Name product={product} />
        </Link>
      </h3>
      <Stars product={product} />
      <Price product={product} />
      {hasWhy && <p className="why">{reason && <span>{reason}</span>}</p>}
    </article>
  );
}

/** @param {{product: Product, place: Place | null}} props */
function AddButton({ product, place }) {
  const { cart } = useShop();
  const { t } = useText();
  const add = useAddToCart();
  const isIn = useStore(cart.lines).some((line) => line.product.id === product.id);
  return (
    <button
      className={isIn ? 'add in' : 'add'}
      type="button"
      aria-label={t(isIn ? 'added' : 'add.named', { name: product.name ?? t('unnamed', { id: product.id }) })}
      onClick={() => add(product, place)}
    >
      {isIn ? <CheckIcon /> : <PlusIcon />}
    </button>
  );
}

/** @param {{hasWhy?: boolean}} props */
export function CardSkeleton({ hasWhy = false }) {
  return (
    <div className="card skeleton" aria-hidden="true">
      <div className="picture" />
      <p className="card-name">
        <span className="line" />
      </p>
      <p className="rating">
        <span className="line short" />
      </p>
      <p className="price">
        <span className="line half" />
      </p>
      {hasWhy && (
        <p className="why">
          <span className="line" />
        </p>
      )}
    </div>
  );
}
