/** A product, and what else is liked by those who like it. */
import { useEffect } from 'react';
import { Failed } from '../components/Failed.jsx';
import { BagIcon } from '../components/icons.jsx';
import { Link } from '../components/Link.jsx';
import { Name, Picture, Price, Stars, followed } from '../components/productParts.jsx';
import { useTitle } from '../components/useTitle.js';
import { product as productPath } from '../lib/paths.js';
import { productOf } from '../lib/product.js';
import { useAddToCart, useShop, useText } from '../shop.js';
import { useResource } from '../useResource.js';
import { BoughtTogether, ForYou, Similar, Viewed } from './shelves.jsx';

/** @import { Product } from '../lib/product.js' */

/** @param {{id: string}} props */
export function ProductPage({ id }) {
  const { t } = useText();
  const { data, error, retry } = useResource(productPath(id), answeredProduct);
  const shown = data ?? (error === null ? followed.get(id) : null) ?? null;
  const isMissing = error?.status === 404 || error?.status === 400;
  useTitle(shown ? (shown.name ?? t('unnamed', { id })) : isMissing ? t('missingProduct') : null);
  useView(data);

  return (
    <div className="page">
      {shown !== null && <Details product={shown} />}
      {shown === null && error === null && <DetailsSkeleton />}
      {isMissing && (
        <section className="message">
          <h1>{t('missingProduct')}</h1>
          <p>{t('missingProduct.text')}</p>
        </section>
      )}
      {error !== null && !isMissing && <Failed error={error} retry={retry} />}
      {isMissing ? <ForYou /> : <Similar id={id} />}
      {!isMissing && <BoughtTogether id={id} />}
      <Viewed without={id} />
    </div>
  );
}

/** @param {{product: Product}} props */
function Details({ product }) {
  const { t } = useText();
  const add = useAddToCart();
  return (
    <article className="details">
      <Picture product={product} isFirst />
      <div className="details-text">
        {product.category && <p className="eyebrow"><bdi>{product.category}</bdi></p>}
        <h1>
          <Name product={product} />
        </h1>
        {product.brand && <p className="quiet">{t('by', { brand: product.brand })}</p>}
        <Stars product={product} isLong />
        <Price product={product} />
        {product.description && <p className="description" dir="auto">{product.description}</p>}
        <p className="actions">
          <button className="button" type="button" onClick={() => add(product)}>
            <BagIcon /> {t('add')}
          </button>
          <Link className="button plain" to="/cart">
            {t('toCart')}
          </Link>
        </p>
      </div>
    </article>
  );
}

function DetailsSkeleton() {
  const { t } = useText();
  return (
    <div className="details skeleton" role="status">
      <span className="hidden">{t('loading')}</span>
      <div className="picture" />
      <div className="details-text">
        <p className="line short" />
        <p className="line title" />
        <p className="line half" />
        <p className="line" />
        <p className="line" />
      </div>
    </div>
  );
}

/**
 * Record a view of the product: one for each time that a visitor comes to the page, and none for a reload.
 *
 * @param {Product | null} product
 */
function useView(product) {
  const { queue, router } = useShop();
  const id = product?.id ?? null;
  useEffect(() => {
    if (id === null || router.recall('viewed') === id) return;
    router.remember('viewed', id);
    queue.add('view', id);
  }, [id, queue, router]);
}

/** @param {any} answer */
function answeredProduct(answer) {
  return productOf(answer?.data);
}
