import assert from 'node:assert/strict';
import { test } from 'node:test';
import { money, priceOf } from '../../src/lib/money.js';

test('đồng have their sign behind a no-break space in both languages', () => {
  assert.equal(money(1290000, 'vi'), '1.290.000\u00a0₫');
  assert.equal(money(1290000, 'en'), '1,290,000\u00a0₫');
  assert.equal(money(0, 'vi'), '0\u00a0₫');
});

test('an amount keeps what a currency without cents has no place for', () => {
  assert.equal(money(12.35, 'en'), '12.35\u00a0₫');
});

test('another currency is written as its language does', () => {
  assert.equal(money(12.5, 'en', 'USD'), '$12.50');
  assert.equal(money(12.5, 'vi', 'EUR'), '12,50\u00a0€');
});

test('what is no amount has no text', () => {
  for (const value of [null, undefined, '12', NaN, Infinity, -1, {}]) assert.equal(money(value, 'vi'), null);
});

test('a reduced price stands beside the original one', () => {
  const cases = [
    [{ price: 80, originalPrice: 100, discountPrice: 80 }, { now: 80, before: 100, percent: 20 }],
    [{ price: null, originalPrice: 100, discountPrice: 66 }, { now: 66, before: 100, percent: 34 }],
    [{ originalPrice: 100 }, { now: 100, before: null, percent: null }],
    [{ price: 100, originalPrice: 90 }, { now: 100, before: null, percent: null }],
    [{ price: 0, originalPrice: 100 }, { now: 0, before: 100, percent: 100 }],
    [{ price: 'free', originalPrice: -3 }, { now: null, before: null, percent: null }],
  ];
  for (const [product, expected] of cases) assert.deepEqual(priceOf(product), expected);
});
