import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newEventId } from '../../src/lib/eventId.js';
import { keyOf, openStorage } from '../../src/lib/storage.js';
import { FakeStorage } from './fakes.js';

test('values are kept in the browser’s storage under the shop’s names', () => {
  const browser = new FakeStorage();
  const storage = openStorage(() => browser);
  storage.set('cart', [1]);
  assert.deepEqual([storage.isKept, browser.getItem('shop.cart'), openStorage(() => browser).get('cart')], [true, '[1]', [1]]);
  storage.remove('cart');
  assert.deepEqual([storage.get('cart'), Object.keys(browser)], [null, []]);
});

test('values stay in memory where storage is missing, forbidden or full', () => {
  const full = new FakeStorage();
  full.setItem = () => {
    throw new Error('QuotaExceededError');
  };
  const forbidden = () => {
    throw new Error('SecurityError');
  };
  for (const open of [() => null, () => undefined, forbidden, () => full]) {
    const storage = openStorage(open);
    storage.set('event.a', { x: 1 });
    assert.deepEqual([storage.isKept, storage.get('event.a'), storage.keys('event.')], [false, { x: 1 }, ['event.a']]);
    storage.remove('event.a');
    assert.deepEqual([storage.get('event.a'), storage.keys('event.')], [null, []]);
  }
});

test('a storage that fills up later is completed by memory', () => {
  const browser = new FakeStorage();
  const storage = openStorage(() => browser);
  storage.set('a', 1);
  browser.setItem = () => {
    throw new Error('QuotaExceededError');
  };
  storage.set('a', 2);
  storage.set('b', 3);
  assert.deepEqual([storage.get('a'), storage.get('b'), storage.keys('').sort()], [2, 3, ['a', 'b']]);
});

test('an unreadable value counts as missing', () => {
  const browser = new FakeStorage();
  browser.setItem('shop.cart', '{oops');
  assert.equal(openStorage(() => browser).get('cart'), null);
});

test('keys are those of the shop alone', () => {
  const browser = new FakeStorage();
  browser.setItem('other', '1');
  const storage = openStorage(() => browser);
  storage.set('event.1', 1);
  storage.set('cart', 1);
  assert.deepEqual([storage.keys('event.'), keyOf({ key: 'shop.cart' }), keyOf({ key: 'other' }), keyOf({ key: null })], [['event.1'], 'cart', null, null]);
});

test('event ids are UUIDs with any kind of randomness', () => {
  const { getRandomValues } = globalThis.crypto;
  for (const source of [globalThis.crypto, { getRandomValues: getRandomValues.bind(globalThis.crypto) }, {}, undefined]) {
    const ids = new Set(Array.from({ length: 50 }, () => newEventId(source)));
    assert.equal(ids.size, 50);
    for (const id of ids) assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  }
});
