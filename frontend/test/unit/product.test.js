import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isSimple, listOf, productOf, productsOf, textOf } from '../../src/lib/product.js';

test('a product may lack everything but its id', () => {
  assert.deepEqual(productOf({ id: 7 }), {
    id: '7', name: null, category: null, brand: null, description: null, price: null, originalPrice: null, discountPrice: null,
    image: null, stars: null, reviews: 0, isNew: false,
  });
});

test('what has no id is no product', () => {
  for (const raw of [null, undefined, 'x', {}, { id: null }, { id: '' }, { id: 1.5 }, { id: {} }]) assert.equal(productOf(raw), null);
});

test('values of another kind count as missing', () => {
  const product = productOf({ id: 'a', name: 5, price: '12', stars: 6, reviews: -2, image: 'javascript:alert(1)', isNew: 'yes', more: [] });
  assert.deepEqual([product.name, product.price, product.stars, product.reviews, product.image, product.isNew], [null, null, null, 0, null, false]);
});

test('pictures come from this server or over http', () => {
  const images = ['/api/products/7/image', 'https://example.com/7.png', '//example.com/7.png', 'data:image/png,x', ''];
  assert.deepEqual(images.map((image) => productOf({ id: 1, image }).image), [images[0], images[1], null, null, null]);
});

test('a text is one line without marks that turn the text around', () => {
  assert.equal(textOf('  a\n\u202eb\u0000  c '), 'a b c');
  assert.equal(textOf(' \u200f '), null);
  assert.equal(textOf('<img onerror=alert(1)>'), '<img onerror=alert(1)>');
});

test('a long text is cut between characters', () => {
  assert.equal(textOf('😀'.repeat(301)), `${'😀'.repeat(299)}…`);
  assert.equal(textOf('x'.repeat(300)).length, 300);
});

test('a list has each product once, and no row without one', () => {
  const answer = { data: [{ product: { id: 1 }, score: 0.5 }, { product: null }, null, { product: { id: '1' } }], source: 'model', unknown: 1 };
  const { items, source, fallbackReason } = listOf(answer);
  assert.deepEqual(items.map(({ product, score, why }) => [product.id, score, why]), [['1', 0.5, null]]);
  assert.deepEqual([source, fallbackReason], ['model', null]);
});

test('an answer without a list is an empty list', () => {
  for (const answer of [null, {}, { data: 'x' }, []]) {
    assert.deepEqual(listOf(answer).items, []);
    assert.deepEqual(productsOf(answer), []);
  }
});

test('a product is no reason for itself', () => {
  const rows = [{ product: { id: 1 }, why: { code: 'viewed', itemId: 1, name: 'A' } }, { product: { id: 2 }, why: { code: 'viewed', itemId: 1, name: 'A' } }];
  assert.deepEqual(listOf({ data: rows }).items.map(({ why }) => why?.name ?? null), [null, 'A']);
});

test('a list is simple without a model, whatever an unknown source means', () => {
  const cases = [['model', null, false], ['popularity', null, true], ['cache', 'deadline', true], ['tomorrows', null, false], [null, null, false]];
  for (const [source, fallbackReason, expected] of cases) assert.equal(isSimple({ source, fallbackReason }), expected);
});
