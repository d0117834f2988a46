/** Products similar to the one of the page; the list is the same for everybody. */
import { Shelf } from './shelf';

export function Similar({ title, productId, limit = 8 }: { title: string; productId: string | number; limit?: number }) {
  const query = new URLSearchParams({ productId: String(productId), limit: String(limit) });
  return <Shelf title={title} address={`/api/recommendations/similar?${query}`} limit={limit} />;
}
