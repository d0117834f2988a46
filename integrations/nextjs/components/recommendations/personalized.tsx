/** The visitor's own list, for a home page, a cart or a checkout, or a ranking of the shop such as `most_viewed`. */
import { Shelf } from './shelf';

interface Props {
  title: string;
  /** Where it is shown: homepage, product_page, cart, checkout, top_selling, most_viewed, most_wishlisted, trending or again. */
  context?: string;
  /** The product of the page, or in the cart: by its id, or by the name in its address. */
  productId?: string | number;
  productHandle?: string;
  limit?: number;
}

export function Personalized({ title, context = 'homepage', productId, productHandle, limit = 8 }: Props) {
  const query = new URLSearchParams({ context, limit: String(limit) });
  if (productId !== undefined) query.set('productId', String(productId));
  if (productHandle) query.set('productHandle', productHandle);
  return <Shelf title={title} address={`/api/recommendations?${query}`} limit={limit} />;
}
