/** The administrators' figures, from answers that may lack anything. */
import { listOf, productOf, productsOf, textOf } from '../lib/product.js';

const HOUR_MS = 3_600_000;
const DAYS = 7;

/**
 * @import { List, Product } from '../lib/product.js'
 */

/**
 * @typedef {object} Estimate A metric and its interval.
 * @property {number} value
 * @property {number | null} low Null where the interval is not known.
 * @property {number | null} high
 */

/**
 * @typedef {object} Fact
 * @property {string} key The server's name for it.
 * @property {string | null} value
 * @property {boolean} isAlarming Whether an administrator should look into it.
 */

/** When a fact is alarming. @type {Record<string, (value: any, record: any) => boolean>} */
const ALARMS = {
  ready: (ready, { workers }) => ready < workers,
  failed: (failed) => failed > 0,
  deaths: (deaths) => deaths > 0,
  breaker: (breaker) => breaker !== 'closed',
  refused: (refused) => refused !== null,
  refusedVersion: (refusal) => typeof refusal === 'string',
  waiting: (waiting) => waiting > 0,
  rejected: (rejected) => rejected > 0,
  elsewhere: (names) => names?.length > 0,
};

/**
 * @typedef {object} Model
 * @property {string} name
 * @property {boolean} isBaseline
 * @property {boolean} isWinner
 * @property {Estimate | null} precision10
 * @property {Estimate | null} map10
 */

/**
 * @typedef {object} Count
 * @property {number} at Milliseconds since 1970.
 * @property {string} source
 * @property {string | null} reason
 * @property {number} count
 */

/** @param {any} answer */
export function overviewOf(answer) {
  return {
    version: textOf(answer?.version?.name) === null ? null : /** @type {Record<string, any>} */ (answer.version),
    models: rows(answer?.models).flatMap((model) => modelOf(model) ?? []),
    sentence: answer?.sentence ?? {},
    latency: answer?.latency ?? {},
    answers: answer?.answers === null ? null : rows(answer?.answers).flatMap((row) => countOf(row) ?? []),
    python: factsOf(answer?.python),
    spool: factsOf(answer?.spool),
    server: factsOf(answer?.server),
  };
}

/** @param {any} answer */
export function customerOf(answer) {
  const { user, list } = answer ?? {};
  return {
    id: user?.id,
    name: textOf(user?.name),
    list: list ? { ...listOf(list), computedAt: list.computedAt } : null,
    context: factsOf(answer?.context),
    runs: rows(answer?.runs).map((run) => ({
      model: textOf(run?.model) ?? '?',
      precision10: numberOf(run?.metrics?.precision10),
      map10: numberOf(run?.metrics?.map10),
      basis: textOf(run?.metrics?.basis),
      error: textOf(run?.error),
      products: productsOf({ data: run?.items }),
      createdAt: run?.createdAt,
    })),
    history: rows(answer?.history).flatMap((event) => {
      const product = productOf(event?.product);
      return product ? [{ product, action: textOf(event.actionCode) ?? '?', at: event.timestamp }] : [];
    }),
  };
}

/**
 * Return the counts as columns of some hours, oldest first, for each source; the most frequent source comes first.
 *
 * @param {Count[]} counts
 * @param {number} now
 * @param {number} hours Of each column.
 * @returns {{starts: number[], series: {source: string, values: number[]}[]}}
 */
export function columnsOf(counts, now, hours) {
  const width = hours * HOUR_MS;
  const n = Math.ceil((DAYS * 24) / hours);
  const end = Math.ceil(now / width) * width;
  const starts = Array.from({ length: n }, (_, index) => end - (n - index) * width);
  /** @type {Map<string, number[]>} */
  const bySource = new Map();
  for (const { at, source, count } of counts) {
    const column = Math.floor((at - starts[0]) / width);
    if (column < 0 || column >= n) continue;
    const values = bySource.get(source) ?? new Array(n).fill(0);
    values[column] += count;
    bySource.set(source, values);
  }
  const series = [...bySource].map(([source, values]) => ({ source, values }));
  return { starts, series: series.sort((a, b) => sum(b.values) - sum(a.values)) };
}

/**
 * Return the share of each source and reason, the largest first.
 *
 * @param {Count[]} counts
 */
export function sharesOf(counts) {
  /** @type {Map<string, {source: string, reason: string | null, count: number}>} */
  const groups = new Map();
  for (const { source, reason, count } of counts) {
    const key = JSON.stringify([source, reason]);
    const group = groups.get(key) ?? { source, reason, count: 0 };
    group.count += count;
    groups.set(key, group);
  }
  const total = sum([...groups.values()].map(({ count }) => count));
  return [...groups.values()].map((group) => ({ ...group, share: group.count / total })).sort((a, b) => b.count - a.count);
}

/** Return the facts of a record of any content, nested ones as JSON. @param {any} record @returns {Fact[]} */
function factsOf(record) {
  if (record === null || typeof record !== 'object') return [];
  return Object.entries(record).map(([key, value]) => ({
    key,
    value: textOf(valueText(value)),
    isAlarming: Object.hasOwn(ALARMS, key) && ALARMS[key](value, record),
  }));
}

/** @param {any} value */
function valueText(value) {
  if (value === null || typeof value === 'string') return value;
  return Array.isArray(value) ? value.map((one) => valueText(one) ?? '').join(', ') : JSON.stringify(value);
}

/** @param {any} raw @returns {Model | null} */
function modelOf(raw) {
  const name = textOf(raw?.name);
  if (name === null) return null;
  return {
    name,
    isBaseline: raw.kind === 'baseline',
    isWinner: raw.winner === true,
    precision10: estimateOf(raw.precision10, raw.precision10Low, raw.precision10High),
    map10: estimateOf(raw.map10, raw.map10Low, raw.map10High),
  };
}

/** @param {unknown} value @param {unknown} low @param {unknown} high */
function estimateOf(value, low, high) {
  const number = numberOf(value);
  return number === null ? null : { value: number, low: numberOf(low), high: numberOf(high) };
}

/** @param {any} raw @returns {Count | null} */
function countOf(raw) {
  const [at, source, count] = [Date.parse(raw?.hour), textOf(raw?.source), numberOf(raw?.count)];
  return Number.isNaN(at) || source === null || count === null || count <= 0 ? null : { at, source, reason: textOf(raw.reason), count };
}

/** @param {any} value @returns {any[]} */
function rows(value) {
  return Array.isArray(value) ? value : [];
}

/** @param {any} value */
function numberOf(value) {
  return typeof value === 'number' && Number.isFinite(value) ? value : null;
}

/** @param {number[]} values */
function sum(values) {
  return values.reduce((total, value) => total + value, 0);
}
