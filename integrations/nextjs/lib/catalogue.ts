/** The products of this tiny shop, from the Express server at `SHOP_URL`. A shop of your own has its catalogue already: replace this file. */

const TIMEOUT_MS = 1500;
const ID = /^\d{1,16}$/; // of the default schema

export interface Product {
  id: string;
  name: string;
  price: number | null;
}

/** Return a product by the last part of its page's address; null if the shop does not sell it. While it is not known, only its id is shown. */
export async function productAt(part: string): Promise<Product | null> {
  const unknown = { id: part, name: `Product ${part}`, price: null };
  if (!process.env.SHOP_URL) return unknown;
  if (!ID.test(part)) return null;
  try {
    const address = new URL(`/api/products/${part}`, process.env.SHOP_URL);
    const response = await fetch(address, { cache: 'no-store', signal: AbortSignal.timeout(TIMEOUT_MS) });
    if (response.status === 404) return null;
    const { data } = await response.json();
    return { id: part, name: data.name || unknown.name, price: data.price };
  } catch {
    return unknown; // the server is away; the page is not
  }
}
