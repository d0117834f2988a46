'use client';
/** A row of recommended products. It tells which of them were seen and clicked, and at which place. */
import Link from 'next/link';
import { useEffect, useRef, useState } from 'react';
import { priceText } from '@/lib/money';
import { track, trackOnce } from '@/lib/queue';
import type { Reason, Recommendation, Recommendations } from '@/lib/service';

const SEEN = 0.5; // of a card, which then counts as seen
const WHY: Record<string, string> = {
  viewed: 'Because of what you viewed',
  bought: 'Because of what you bought',
  cart: 'Goes with your cart',
  similar: 'Similar',
  together: 'Often bought together',
  again: 'You may need it again',
  popular: 'Popular now',
  new: 'New',
};

/** Show the list of an address of `/api/recommendations`, of at most `limit` products. Without any, for whatever reason, there is nothing. */
export function Shelf({ title, address, limit }: { title: string; address: string; limit: number }) {
  const list = useList(address);
  if (list !== null && list.recommendations.length === 0) return null;
  return (
    <section className="shelf" aria-busy={list === null} data-algorithm={list?.algorithm}>
      <h2>{title}</h2>
      <ul>
        {list === null
          ? Array.from({ length: limit }, (_, place) => <li key={place} className="card waiting" aria-hidden="true" />)
          : list.recommendations.map((product, index) => (
              <Card key={product.id} product={product} position={index + 1} recommendationId={list.recommendationId} />
            ))}
      </ul>
    </section>
  );
}

function Card({ product, position, recommendationId }: { product: Recommendation; position: number; recommendationId: string | null }) {
  const { id, handle, title, thumbnail, price, currency, reason } = product;
  const shown = { productId: id, recommendationId, position };
  const card = useSeen(() => trackOnce({ interactionType: 'impression', ...shown }));
  const name = title || `Product ${id}`;
  return (
    <li className="card" ref={card}>
      <Link href={`/products/${encodeURIComponent(handle ?? id)}`} prefetch={false} onClick={() => track({ interactionType: 'click', ...shown })}>
        {thumbnail ? <img src={thumbnail} alt="" loading="lazy" /> : <span className="picture">{name.slice(0, 1)}</span>}
        <bdi className="name">{name}</bdi>
        {price !== null && <span className="price">{priceText(price, currency)}</span>}
        <span className="why">{whyText(reason)}</span>
      </Link>
    </li>
  );
}

/** Return the list of an address; null while it is on its way. */
function useList(address: string): Recommendations | null {
  const [list, setList] = useState<Recommendations | null>(null);
  useEffect(() => {
    const leaving = new AbortController();
    setList(null);
    fetchList(address, leaving.signal).then((found) => leaving.signal.aborted || setList(found));
    return () => leaving.abort();
  }, [address]);
  return list;
}

async function fetchList(address: string, signal: AbortSignal): Promise<Recommendations> {
  try {
    const response = await fetch(address, { signal });
    const list = await response.json();
    if (response.ok && Array.isArray(list.recommendations)) return list;
  } catch {
    // no network, or no JSON: the page does without
  }
  return { recommendations: [], algorithm: 'none', cached: false, recommendationId: null };
}

/** Return a ref; the action is called once when half of its element is seen. */
function useSeen(action: () => void) {
  const element = useRef<HTMLLIElement>(null);
  useEffect(() => {
    const observer = new IntersectionObserver((entries) => {
      if (!entries.some(({ isIntersecting }) => isIntersecting)) return;
      observer.disconnect();
      action();
    }, { threshold: SEEN });
    if (element.current) observer.observe(element.current);
    return () => observer.disconnect();
  }, []);
  return element;
}

function whyText(reason: Reason | null): string {
  if (reason === null) return '';
  return reason.code === 'popular' && reason.category ? `Popular in ${reason.category}` : (WHY[reason.code] ?? '');
}
