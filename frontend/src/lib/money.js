/** Prices as text. */

const NO_BREAK_SPACE = '\u00a0';

/** @type {Map<string, Intl.NumberFormat>} by language, currency and whether the amount is whole */
const formats = new Map();

/**
 * Return an amount of money as text, or `null` for what is no amount. The sign of the đồng stands behind the number in both
 * languages, after a no-break space.
 *
 * @param {unknown} amount
 * @param {string} language 'vi' or 'en'
 * @param {string} [currency] An ISO 4217 code.
 * @returns {string | null}
 */
export function money(amount, language, currency = 'VND') {
  if (typeof amount !== 'number' || !Number.isFinite(amount) || amount < 0) return null;
  const parts = formatOf(language, currency, Number.isInteger(amount)).formatToParts(amount);
  if (currency !== 'VND') return parts.map(({ value }) => value).join('');
  const sign = parts.find(({ type }) => type === 'currency')?.value ?? currency;
  const digits = parts.filter(({ type }) => type !== 'currency' && type !== 'literal').map(({ value }) => value);
  return digits.join('') + NO_BREAK_SPACE + sign;
}

/**
 * @param {string} language
 * @param {string} currency
 * @param {boolean} isWhole
 */
function formatOf(language, currency, isWhole) {
  const key = `${language} ${currency} ${isWhole}`;
  let format = formats.get(key);
  if (!format) {
    const hasNoCents = new Intl.NumberFormat('en', { style: 'currency', currency }).resolvedOptions().maximumFractionDigits === 0;
    const digits = hasNoCents && !isWhole ? { minimumFractionDigits: 2, maximumFractionDigits: 2 } : {};
    format = new Intl.NumberFormat(language, { style: 'currency', currency, currencyDisplay: 'narrowSymbol', ...digits });
    formats.set(key, format);
  }
  return format;
}

/**
 * Return what a product costs: the price now, and the original one where it is higher. Amounts that are none count as missing.
 *
 * @param {{price?: unknown, originalPrice?: unknown, discountPrice?: unknown}} product
 * @returns {{now: number | null, before: number | null, percent: number | null}} `percent` is the reduction, rounded down.
 */
export function priceOf({ price, originalPrice, discountPrice }) {
  const [asked, original, reduced] = [price, originalPrice, discountPrice].map(amountOf);
  const now = asked ?? reduced ?? original;
  const before = now !== null && original !== null && original > now ? original : null;
  return { now, before, percent: before === null || now === null ? null : Math.floor(((before - now) * 100) / before) };
}

/** @param {unknown} value */
function amountOf(value) {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0 ? value : null;
}
