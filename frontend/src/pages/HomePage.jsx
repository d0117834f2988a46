/** The shop's first page. */
import { useState } from 'react';
import { Link } from '../components/Link.jsx';
import { Shelf } from '../components/Shelf.jsx';
import { useTitle } from '../components/useTitle.js';
import { N_POPULAR, categoryIn, popular } from '../lib/paths.js';
import { idOf, productsOf, textOf } from '../lib/product.js';
import { useText } from '../shop.js';
import { useResource } from '../useResource.js';
import { BuyAgain, ForYou, Newest, Trending, Viewed } from './shelves.jsx';

const MOST_POPULAR = 100; // the server gives at most 100

/** @param {{query: string}} props */
export function HomePage({ query }) {
  const { t } = useText();
  useTitle(null);
  return (
    <div className="page">
      <section className="hero">
        <h1>{t('hero.title')}</h1>
        <p>{t('hero.text')}</p>
      </section>
      <ForYou isFirst />
      <Popular category={categoryIn(query)} />
      <BuyAgain />
      <Trending />
      <Newest />
      <Viewed />
    </div>
  );
}

/** @param {{category: string | null}} props */
function Popular({ category }) {
  const { t } = useText();
  const [count, setCount] = useState(N_POPULAR);
  const { data, error, isLoading, retry } = useResource(popular(category, count), popularOf, { keepsLast: true });
  const name = data?.categories.find(({ id }) => id === category)?.name;
  const canGrow = data?.hasMore && count < MOST_POPULAR;
  return (
    <Shelf
      title={name ? t('popular.in', { category: name }) : t('popular')}
      items={data?.products.map((product) => ({ product })) ?? null}
      error={error}
      retry={retry}
      isGrid
      isBusy={isLoading}
      expected={N_POPULAR}
      tools={
        <nav className="chips" aria-label={t('categories')}>
          {data !== null && data.categories.length > 0 && <Chip to="/" text={t('all')} isCurrent={!category} />}
          {data?.categories.map(({ id, name: text }) => (
            <Chip key={id} to={`/?category=${encodeURIComponent(id)}`} text={text} isCurrent={id === category} />
          ))}
        </nav>
      }
      foot={
        canGrow && (
          <p className="more">
            <button className="button plain" type="button" disabled={isLoading} onClick={() => setCount(count + N_POPULAR)}>
              {t('more')}
            </button>
          </p>
        )
      }
    />
  );
}

/** @param {{to: string, text: string, isCurrent: boolean}} props */
function Chip({ to, text, isCurrent }) {
  return (
    <Link className="chip" to={to} aria-current={isCurrent ? 'true' : undefined}>
      <bdi>{text}</bdi>
    </Link>
  );
}

/** @param {any} answer */
function popularOf(answer) {
  const categories = Array.isArray(answer?.categories) ? answer.categories : [];
  return {
    products: productsOf(answer),
    categories: categories.flatMap((/** @type {any} */ category) => {
      const [id, name] = [idOf(category?.id), textOf(category?.name)];
      return id !== null && name !== null ? [{ id, name }] : [];
    }),
    hasMore: Number(answer?.pages) > Number(answer?.page ?? 1),
  };
}
