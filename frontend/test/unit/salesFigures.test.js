import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sales } from '../../dev/mockAdmin.js';
import { placesOf, salesOf } from '../../src/admin/salesFigures.js';

test('a report is read with its arms, their intervals and what is not counted', () => {
  const { report, isComputing, failure } = salesOf(sales());
  assert.deepEqual([isComputing, failure], [false, null]);
  const { credited, algorithms, notes, comparison } = report;
  assert.equal(credited.click.revenue + credited.view.revenue + credited.none.revenue, credited.total.revenue);
  assert.deepEqual(algorithms[0], { name: 'neumf', purchases: 402, revenue: 210_400_000 });
  assert.deepEqual(notes.map(([reason]) => reason), ['repeated', 'clicks without an impression', 'by bots', 'unpriced']);
  assert.deepEqual(comparison.arms.map(({ means }) => means.ctr), [null, { value: 0.042, low: 0.0405, high: 0.0435 }]);
  assert.deepEqual([comparison.verdict, comparison.ratio.isOk], ['better', true]);
});

test('an answer may lack anything', () => {
  for (const answer of [null, {}, { report: null }, { report: 7 }]) assert.equal(salesOf(answer).report, null);
  const { report } = salesOf({ report: { comparison: { arms: [{}, null], difference: { value: null } } }, failure: {} });
  assert.deepEqual(report.credited.total, { purchases: 0, revenue: 0 });
  assert.deepEqual([report.comparison.difference, report.comparison.arms[1].means.ctr, report.comparison.arms[0].name], [null, null, '?']);
  assert.equal(salesOf({ report: { comparison: { arms: [] } } }).report.comparison, null);
});

test('the interval lies around 0 in the middle of its line', () => {
  const cases = [
    [{ value: 5, low: 0, high: 10 }, { low: 50, value: 73, high: 96 }],
    [{ value: -5, low: -10, high: 0 }, { low: 4, value: 27, high: 50 }],
    [{ value: 0, low: null, high: null }, { low: 50, value: 50, high: 50 }],
  ];
  for (const [difference, expected] of cases) assert.deepEqual(placesOf(difference), expected);
});
