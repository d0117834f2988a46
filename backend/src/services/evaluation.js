/** How good the scorers of the active version were in its test, as rows and as a sentence. */

/** @import { Published } from './recommendations/snapshot.js' */

/**
 * @typedef {object} ModelRow
 * @property {string} name
 * @property {'model' | 'baseline'} kind
 * @property {number | null} precision10
 * @property {number | null} precision10Low Of the 95 % interval; null in older versions.
 * @property {number | null} precision10High
 * @property {number | null} map10
 * @property {number | null} map10Low
 * @property {number | null} map10High
 * @property {boolean} winner Whether it serves.
 */

const MODELS = ['ENCM', 'LNCM', 'NeuMF', 'BMF'];

/**
 * Return a row for each scorer: the four models, then the baselines, each best Precision@10 first.
 *
 * @param {Pick<Published, 'winner' | 'offline'>} published
 * @returns {ModelRow[]}
 */
export function modelRows({ winner, offline }) {
  const rows = Object.entries(offline).map(([name, metrics]) => rowOf(name, metrics, name === winner));
  return rows.sort((one, other) => Number(one.kind === 'baseline') - Number(other.kind === 'baseline') || best(other) - best(one));
}

/** @returns {ModelRow} */
function rowOf(name, metrics, winner) {
  const [precision10, precision10Low, precision10High, map10, map10Low, map10High] = [
    'precision10', 'precision10_low', 'precision10_high', 'map10', 'map10_low', 'map10_high',
  ].map((key) => (Number.isFinite(metrics?.[key]) ? metrics[key] : null));
  const kind = MODELS.includes(name) ? 'model' : 'baseline';
  return { name, kind, precision10, precision10Low, precision10High, map10, map10Low, map10High, winner };
}

/**
 * Return one sentence about the scorer that serves, beside the best of the other kind, in English and in Vietnamese.
 *
 * @param {ModelRow[]} rows What `modelRows` returned.
 * @returns {{en: string | null, vi: string | null}} Null without figures.
 */
export function sentenceOf(rows) {
  const serving = rows.find(({ winner }) => winner);
  const rival = rows.find(({ kind, precision10 }) => kind !== serving?.kind && precision10 !== null); // the best, because rows are in that order
  if (serving === undefined || serving.precision10 === null || rival === undefined) return { en: null, vi: null };
  const more = Math.round(1000 * (best(serving) - best(rival))) / 100; // of ten products
  const facts = { name: serving.name, rival: rival.name, chosen: 10 * best(serving), more, overlap: overlap(serving, rival) };
  return { en: english(facts, rival.kind), vi: vietnamese(facts, rival.kind) };
}

function english({ name, rival, chosen, more, overlap }, kind) {
  const written = (value) => value.toLocaleString('en', { minimumFractionDigits: 2, maximumFractionDigits: 2 });
  const other = kind === 'baseline' ? `the best method without a network (${rival})` : `the best of the four models (${rival})`;
  const difference = more === 0 ? `as many as with ${other}` : `${written(Math.abs(more))} ${more > 0 ? 'more' : 'fewer'} than with ${other}`;
  const intervals = { true: '; the intervals overlap', false: '; the intervals do not overlap', null: '' }[String(overlap)];
  return `${name} serves: of ten recommended products, customers chose ${written(chosen)} on average in the test, ${difference}${intervals}.`;
}

function vietnamese({ name, rival, chosen, more, overlap }, kind) {
  const written = (value) => value.toLocaleString('vi', { minimumFractionDigits: 2, maximumFractionDigits: 2 });
  const other = kind === 'baseline' ? `phương pháp tốt nhất không dùng mạng nơ-ron (${rival})` : `mô hình tốt nhất trong bốn mô hình (${rival})`;
  const difference = more === 0 ? `bằng ${other}` : `${more > 0 ? 'nhiều hơn' : 'ít hơn'} ${written(Math.abs(more))} so với ${other}`;
  const intervals = { true: '; các khoảng tin cậy chồng lên nhau', false: '; các khoảng tin cậy không chồng lên nhau', null: '' }[String(overlap)];
  return `${name} đang phục vụ: trong mười sản phẩm gợi ý, khách hàng trung bình chọn ${written(chosen)} sản phẩm khi kiểm tra, ${difference}${intervals}.`;
}

/** Whether the intervals of two rows overlap; null where one is not known. */
function overlap(one, other) {
  const bounds = [one.precision10Low, one.precision10High, other.precision10Low, other.precision10High];
  if (bounds.includes(null)) return null;
  const [low, high, otherLow, otherHigh] = bounds;
  return low <= otherHigh && otherLow <= high;
}

function best({ precision10 }) {
  return precision10 ?? -Infinity;
}
