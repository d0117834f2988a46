/** What recommendations have sold, from an answer that may lack anything. */
import { textOf } from '../lib/product.js';

/**
 * @typedef {object} Mean A mean of each customer, or clicks of an impression, with its 95 % interval.
 * @property {number} value
 * @property {number | null} low
 * @property {number | null} high
 *
 * @typedef {object} Arm
 * @property {string} name
 * @property {string} model
 * @property {Record<'users' | 'observed' | 'impressions' | 'clicks' | 'carts' | 'purchases' | 'revenue', number>} counts
 * @property {Record<'ctr' | 'carts_per_user' | 'purchases_per_user' | 'revenue_per_user', Mean | null>} means
 *
 * @typedef {object} Comparison
 * @property {string} name
 * @property {string} metric
 * @property {Arm[]} arms Two; the second one is compared with the first.
 * @property {string} verdict
 * @property {{value: number, relative: number | null, low: number | null, high: number | null, p: number} | null} difference
 * @property {{counts: number[], expected: number[], p: number, isOk: boolean}} ratio
 * @property {[string, number][]} leftOut Customers, by reason.
 *
 * @typedef {object} Report
 * @property {number} since Milliseconds since 1970.
 * @property {number} until
 * @property {Record<'click' | 'view' | 'none' | 'total', {purchases: number, revenue: number}>} credited
 * @property {{name: string, purchases: number, revenue: number}[]} algorithms Those with credits, the most revenue first.
 * @property {[string, number][]} notes What is not counted as it came, by reason.
 * @property {Comparison | null} comparison
 */

const COUNTS = /** @type {const} */ (['users', 'observed', 'impressions', 'clicks', 'carts', 'purchases', 'revenue']);
const MEANS = /** @type {const} */ (['ctr', 'carts_per_user', 'purchases_per_user', 'revenue_per_user']);

/** @param {any} answer */
export function salesOf(answer) {
  return {
    report: reportOf(answer?.report),
    computedAt: answer?.computedAt ?? null,
    isComputing: answer?.isComputing === true,
    failure: answer?.failure ? { code: textOf(answer.failure.code) ?? 'failed', message: textOf(answer.failure.message, 500) ?? '' } : null,
  };
}

/** @param {any} raw @returns {Report | null} */
function reportOf(raw) {
  if (typeof raw !== 'object' || raw === null) return null;
  const { click, view, none } = raw.credited ?? {};
  return {
    since: 1000 * numberOf(raw.since),
    until: 1000 * numberOf(raw.until),
    credited: { click: sumsOf(click), view: sumsOf(view), none: sumsOf(none), total: sumsOf(raw.total) },
    algorithms: Object.entries(raw.by_algorithm ?? {}).map(([name, sums]) => ({ name, ...sumsOf(sums) })),
    notes: [...countsOf(raw.left_out), ...countsOf({ unpriced: raw.unpriced, copies: raw.copies })],
    comparison: comparisonOf(raw.comparison),
  };
}

/** @param {any} raw @returns {Comparison | null} */
function comparisonOf(raw) {
  if (!Array.isArray(raw?.arms) || raw.arms.length !== 2) return null;
  const { difference, sample_ratio: ratio } = raw;
  const value = orNull(difference?.value);
  return {
    name: textOf(raw.name) ?? '?',
    metric: textOf(raw.metric) ?? '?',
    arms: raw.arms.map(armOf),
    verdict: textOf(raw.verdict) ?? '?',
    difference: value === null ? null : { value, relative: orNull(difference.relative), low: orNull(difference.low), high: orNull(difference.high), p: numberOf(difference.p) },
    ratio: { counts: [0, 1].map((n) => numberOf(ratio?.counts?.[n])), expected: [0, 1].map((n) => numberOf(ratio?.expected?.[n])), p: numberOf(ratio?.p), isOk: raw.verdict !== 'wrong shares' },
    leftOut: countsOf(raw.left_out),
  };
}

/** @param {any} raw @returns {Arm} */
function armOf(raw) {
  return {
    name: textOf(raw?.name) ?? '?',
    model: textOf(raw?.model) ?? '?',
    counts: /** @type {Arm['counts']} */ (Object.fromEntries(COUNTS.map((name) => [name, numberOf(raw?.[name])]))),
    means: /** @type {Arm['means']} */ (Object.fromEntries(MEANS.map((name) => [name, meanOf(raw?.[name])]))),
  };
}

/** @param {any} raw @returns {Mean | null} */
function meanOf(raw) {
  const value = orNull(raw?.value);
  return value === null ? null : { value, low: orNull(raw.low), high: orNull(raw.high) };
}

/** @param {any} raw */
function sumsOf(raw) {
  return { purchases: numberOf(raw?.purchases), revenue: numberOf(raw?.revenue) };
}

/** @param {any} raw @returns {[string, number][]} */
function countsOf(raw) {
  return Object.entries(raw ?? {}).flatMap(([reason, n]) => (typeof n === 'number' && n > 0 ? [/** @type {[string, number]} */ ([reason, n])] : []));
}

/** @param {unknown} value */
function orNull(value) {
  return typeof value === 'number' && Number.isFinite(value) ? value : null;
}

/** @param {unknown} value */
function numberOf(value) {
  return orNull(value) ?? 0;
}

/**
 * Return where an interval lies on a line that has 0 in its middle, in percent from the left.
 *
 * @param {{value: number, low: number | null, high: number | null}} difference
 * @returns {{low: number, value: number, high: number}}
 */
export function placesOf({ value, low, high }) {
  const bounds = [low ?? value, value, high ?? value];
  const longest = Math.max(...bounds.map(Math.abs)) || 1;
  const [lowAt, valueAt, highAt] = bounds.map((bound) => 50 + (46 * bound) / longest);
  return { low: lowAt, value: valueAt, high: highAt };
}
