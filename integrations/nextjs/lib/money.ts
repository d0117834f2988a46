/** Return a price as text; without a currency it is a number. */
export function priceText(price: number, currency: string | null): string {
  const digits = { minimumFractionDigits: Number.isInteger(price) ? 0 : 2, maximumFractionDigits: 2 };
  try {
    return new Intl.NumberFormat('en', currency ? { style: 'currency', currency } : digits).format(price);
  } catch {
    return String(price); // no code of a currency
  }
}
