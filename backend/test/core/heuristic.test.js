/** The heuristic score, with values computed by hand. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { discountPercent, featuresOf, intentOf, scoreOf, strongest, WEIGHTS } from '../../src/services/recommendations/heuristic.js';

const PLAIN = { stars: null, reviews: 0, view: 0, originalPrice: 10, discountPrice: null, intent: 0 };
const close = (value, expected) => assert.ok(Math.abs(value - expected) < 1e-12, `${value} should be ${expected}`);

test('a product without information scores 0, the best possible one 1', () => {
  assert.equal(scoreOf(featuresOf(PLAIN)), 0);
  close(scoreOf(featuresOf({ stars: 5, reviews: 50, view: 50, originalPrice: 100, discountPrice: 30, intent: 1 })), 1);
  close(Object.values(WEIGHTS).reduce((sum, weight) => sum + weight), 1);
});

test('each feature adds at most its weight', () => {
  const of = (facts) => scoreOf(featuresOf({ ...PLAIN, ...facts }));
  close(of({ stars: 1, reviews: 1 }), 0.15 / 50); // one star is no praise
  close(of({ stars: 4, reviews: 10 }), 0.45 * 0.75 + 0.15 * 0.2);
  close(of({ stars: 4, reviews: 5000 }), 0.45 * 0.75 + 0.15);
  close(of({ view: 25 }), 0.15 * 0.5);
  close(of({ view: 1_000_000 }), 0.15);
  close(of({ originalPrice: 100, discountPrice: 65 }), 0.15 * 0.5);
  close(of({ originalPrice: 100, discountPrice: 1 }), 0.15);
  close(of({ originalPrice: 100, discountPrice: 120 }), 0); // dearer than before
  close(of({ originalPrice: null, discountPrice: 5 }), 0);
  close(of({ intent: 0.5 }), 0.05);
  close(of({ view: -3 }), 0);
});

test('a discount is in whole percent', () => {
  assert.equal(discountPercent(200, 150), 25);
  assert.equal(discountPercent(3, 2), 33);
  assert.equal(discountPercent(0.5, 0.25), 25); // below a price of one, of one
  assert.equal(discountPercent(0, 0), 0);
});

test('purchase intent is that of the strongest event', () => {
  assert.deepEqual([[], ['view'], ['view', 'cart'], ['cart', 'purchase', 'view']].map(intentOf), [0, 0, 0.5, 1]);
});

test('the reason is the feature that adds most, the first of equals', () => {
  assert.equal(strongest(featuresOf({ ...PLAIN, stars: 2, view: 50 })), 'views'); // 0.1125 against 0.15
  assert.equal(strongest(featuresOf({ ...PLAIN, stars: 3, view: 50 })), 'stars');
  assert.equal(strongest(featuresOf({ ...PLAIN, view: 50, originalPrice: 100, discountPrice: 30 })), 'views');
});
