/** Why a product is in a list: tables of reasons, and one look-up for all names. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { explained, whyOf, whyOfFallback } from '../../src/services/recommendations/reasons.js';

const CUP = { id: 1, categoryId: 'tea', category: 'Tea & herbs', brandId: 'nord', view: 0, isNew: false };
const NAMELESS = { ...CUP, category: null };

/** A reason, the product, and `why`. */
for (const [reason, product, why] of [
  [{ code: 'viewed', item_id: 3 }, CUP, { code: 'viewed', itemId: 3 }],
  [{ code: 'bought', item_id: 3 }, CUP, { code: 'bought', itemId: 3 }],
  [{ code: 'cart', item_id: 3 }, CUP, { code: 'cart', itemId: 3 }],
  [{ code: 'similar', item_id: 3 }, CUP, { code: 'similar', itemId: 3 }],
  [{ code: 'together', item_id: 3 }, CUP, { code: 'together', itemId: 3 }],
  [{ code: 'again' }, CUP, { code: 'again' }],
  [{ code: 'history', item_id: 3 }, CUP, { code: 'viewed', itemId: 3 }], // of version 0.1.0
  [{ code: 'viewed', item_id: 1 }, CUP, null], // the product itself
  [{ code: 'viewed' }, CUP, null],
  [{ code: 'viewed', item_id: '3' }, CUP, null],
  [{ code: 'popular' }, CUP, { code: 'popular' }],
  [{ code: 'popular', category: 'tea' }, CUP, { code: 'popular', category: 'Tea & herbs' }],
  [{ code: 'popular', category: 'tea' }, NAMELESS, { code: 'popular' }],
  [{ code: 'popular', category: 'coffee' }, CUP, { code: 'popular' }],
  [{ code: 'new' }, CUP, { code: 'new' }],
  [{ code: 'newest' }, CUP, { code: 'new' }], // of the snapshot
  [{ code: 'stars' }, CUP, null],
  [{ code: 'toString' }, CUP, null],
  [{}, CUP, null],
  ['viewed', CUP, null],
  [null, CUP, null],
]) {
  test(`why of ${JSON.stringify(reason)} for ${JSON.stringify(product.category)}`, () => assert.deepEqual(whyOf(reason, product), why));
}

const event = (productId, categoryId) => ({ productId, categoryId, brandId: null, actionCode: 'view' });
const POPULAR = { ...CUP, view: 5 };

/** What is known besides the product, the product, and `why`. */
for (const [what, facts, product, why] of [
  ['nothing', {}, CUP, null],
  ['a product of the same category was seen', { events: [event(4, 'coffee'), event(2, 'tea'), event(3, 'tea')] }, CUP, { code: 'viewed', itemId: 2 }],
  ['only the product itself was seen', { events: [event(1, 'tea')] }, CUP, null],
  ['the products have no category', { events: [event(2, null)] }, { ...CUP, categoryId: null }, null],
  ['the page shows one of the category', { like: { id: 9, categoryId: 'tea' } }, CUP, { code: 'similar', itemId: 9 }],
  ['the page shows one of the brand', { like: { id: 9, brandId: 'nord', categoryId: 'x' } }, CUP, { code: 'similar', itemId: 9 }],
  ['the page shows another', { like: { id: 9, brandId: null, categoryId: 'x' } }, { ...CUP, brandId: null }, null],
  ['the page shows an unknown product', { like: {} }, CUP, null],
  ['it is among the most viewed', { popular: [POPULAR] }, POPULAR, { code: 'popular' }],
  ['it is among the most viewed, which nobody viewed', { popular: [CUP] }, CUP, null],
  ['it is among the newest, and new', { source: 'newest' }, { ...CUP, isNew: true }, { code: 'new' }],
  ['it is among the newest, and old', { source: 'newest' }, CUP, null],
]) {
  test(`why of the fallback chain: ${what}`, () => {
    assert.deepEqual(whyOfFallback(product, { events: [], like: null, popular: [], source: 'heuristic', ...facts }), why);
  });
}

test('names are read once, and not where there are none', async () => {
  const asked = [];
  const names = async (ids) => {
    asked.push(ids);
    return new Map([[3, 'A pot']]);
  };
  const row = (reason, more = {}) => ({ product: CUP, reason, ...more });
  const whys = async (rows) => (await explained(rows, names)).map(({ why }) => why);

  assert.deepEqual(await whys([row({ code: 'popular' }), row(null), row({ code: 'stars' }, { why: null })]), [{ code: 'popular' }, null, null]);
  assert.deepEqual(asked, []);
  const reasons = [row({ code: 'viewed', item_id: 3 }), row({ code: 'cart', item_id: 4 }), row({ code: 'intent' }, { why: { code: 'viewed', itemId: 3 } })];
  assert.deepEqual(await whys(reasons), [
    { code: 'viewed', itemId: 3, name: 'A pot' },
    { code: 'cart', itemId: 4, name: null },
    { code: 'viewed', itemId: 3, name: 'A pot' },
  ]);
  assert.deepEqual(asked, [[3, 4]]);
});
