/** The rows of products that several pages show, each with its question to the server. */
import { useState } from 'react';
import { Shelf } from '../components/Shelf.jsx';
import { LIST } from '../lib/paths.js';
import { isNone, isSimple, listOf, productsOf } from '../lib/product.js';
import { useShop, useStore, useText } from '../shop.js';
import { useResource } from '../useResource.js';

/** @import { Recommended } from '../lib/product.js' */

const N_ROW = 10;
const MOST_BASKET = 50; // products that the server takes

/** @param {string[]} ids */
function togetherPath(ids) {
  return `/api/recommendations/together?items=${ids.slice(-MOST_BASKET).map(encodeURIComponent).join(',')}&limit=${N_ROW}`;
}

/**
 * Return a filter of lists, without what lay in the cart or was being bought when the row appeared: an answer from before may still have it.
 *
 * @returns {(items: Recommended[] | undefined) => Recommended[] | null}
 */
function useWanted() {
  const { cart, queue } = useShop();
  const [unwanted] = useState(() => {
    const bought = queue.waiting().filter(({ actionCode }) => actionCode === 'purchase');
    return new Set([...cart.lines.get().map(({ product }) => product.id), ...bought.map(({ productId }) => productId)]);
  });
  return (items) => items?.filter(({ product }) => !unwanted.has(product.id)) ?? null;
}

/** @param {{title?: string, isFirst?: boolean}} props */
export function ForYou({ title, isFirst = false }) {
  const { sessions } = useShop();
  const { t } = useText();
  const session = useStore(sessions.current);
  const wanted = useWanted();
  const { data, error, retry } = useResource(LIST, listOf, { isPersonal: true });
  const isFallback = data !== null && isSimple(data);
  const who = session ? 'for.user' : 'for.guest';
  if (isNone(data)) return null;
  const hint = !session || (isFallback && data.fallbackReason === null) ? 'for.guest.hint' : isFallback ? 'simple.hint' : 'for.user.hint';
  return (
    <Shelf
      title={title ?? t(who)}
      hint={title ? undefined : t(hint)}
      label={isFallback && <span className="tag">{t('simple')}</span>}
      items={wanted(data?.items)}
      recommendationId={data?.recommendationId}
      error={error}
      retry={retry}
      hasWhy
      isFirst={isFirst}
    />
  );
}

/** @param {{id: string}} props */
export function Similar({ id }) {
  const { t } = useText();
  const { data, error, retry } = useResource(`/api/recommendations/similar/${encodeURIComponent(id)}?limit=${N_ROW}`, listOf, { isPersonal: true });
  const wanted = useWanted();
  const items = wanted(data?.items.filter(({ product }) => product.id !== id));
  if (isNone(data)) return null;
  return (
    <Shelf
      title={t('similar')}
      label={data !== null && isSimple(data) && <span className="tag">{t('simple')}</span>}
      items={items}
      recommendationId={data?.recommendationId}
      error={error}
      retry={retry}
    />
  );
}

/**
 * What is bought in one order with a product. There is no row where orders do not say so.
 *
 * @param {{id: string}} props
 */
export function BoughtTogether({ id }) {
  const { t } = useText();
  const { data } = useResource(togetherPath([id]), listOf, { isPersonal: true });
  const wanted = useWanted();
  const items = wanted(data?.items.filter(({ why }) => why?.code === 'together')) ?? [];
  return items.length > 0 && <Shelf title={t('together')} items={items} recommendationId={data?.recommendationId} />;
}

/**
 * What goes with the cart as it was when the row appeared, so that the row stays while the visitor adds from it.
 *
 * @param {{title: string}} props
 */
export function WithCart({ title }) {
  const { cart } = useShop();
  const { t } = useText();
  const [path] = useState(() => togetherPath(cart.lines.get().map(({ product }) => product.id)));
  const { data, error, retry } = useResource(path, listOf, { isPersonal: true });
  const wanted = useWanted();
  if (isNone(data)) return null;
  return (
    <Shelf
      title={title}
      label={data !== null && isSimple(data) && <span className="tag">{t('simple')}</span>}
      items={wanted(data?.items)}
      recommendationId={data?.recommendationId}
      error={error}
      retry={retry}
      hasWhy
    />
  );
}

/** What is chosen more often than before. There is no row where the server does not know. */
export function Trending() {
  const { t } = useText();
  const { data } = useResource(`/api/recommendations/trending?limit=${N_ROW}`, listOf, { isPersonal: true });
  const wanted = useWanted();
  const items = (data?.source === 'trending' && wanted(data.items)) || [];
  return items.length > 0 && <Shelf title={t('trending')} items={items} recommendationId={data?.recommendationId} />;
}

/** What the visitor bought before and may need again. There is no row where nothing is due. */
export function BuyAgain() {
  const { t } = useText();
  const { data } = useResource(`/api/recommendations/again?limit=${N_ROW}`, listOf, { isPersonal: true });
  const wanted = useWanted();
  const items = wanted(data?.items) ?? [];
  return items.length > 0 && <Shelf title={t('again')} items={items} recommendationId={data?.recommendationId} />;
}

/** @param {{title?: string}} props */
export function Newest({ title }) {
  const { t } = useText();
  const { data, error, retry } = useResource(`/api/products?sort=new&limit=${N_ROW}`, productsOf);
  return <Shelf title={title ?? t('new')} items={data?.map((product) => ({ product })) ?? null} error={error} retry={retry} />;
}

/**
 * What the visitor viewed before. There is no row where there is nothing in it.
 *
 * @param {{without?: string}} props
 */
export function Viewed({ without }) {
  const { t } = useText();
  const { data } = useResource(`/api/viewed?limit=${N_ROW}`, productsOf, { isPersonal: true });
  const items = data?.filter(({ id }) => id !== without).map((product) => ({ product })) ?? [];
  return items.length > 0 && <Shelf title={t('viewed')} items={items} />;
}
