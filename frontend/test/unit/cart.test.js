import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createCart, totalOf } from '../../src/lib/cart.js';
import { productOf } from '../../src/lib/product.js';
import { createSessions } from '../../src/lib/session.js';
import { openStorage } from '../../src/lib/storage.js';
import { FakeStorage } from './fakes.js';

const product = (id, price = 100) => productOf({ id, price });
const contents = (cart) => cart.lines.get().map(({ product: { id }, quantity }) => [id, quantity]);

function newCart(browser = new FakeStorage()) {
  return createCart(openStorage(() => browser));
}

test('a product is put in once, with a quantity of 1 to 99', () => {
  const cart = newCart();
  cart.add(product(1));
  cart.add(product(1), 2);
  cart.add(product(2));
  assert.deepEqual(contents(cart), [['1', 3], ['2', 1]]);
  cart.setQuantity('1', 500);
  cart.setQuantity('2', 0);
  assert.deepEqual(contents(cart), [['1', 99], ['2', 1]]);
  cart.remove('1');
  cart.clear();
  assert.deepEqual(contents(cart), []);
});

test('two tabs share one cart', () => {
  const browser = new FakeStorage();
  const [one, two] = [newCart(browser), newCart(browser)];
  one.add(product(1));
  two.add(product(2));
  assert.deepEqual(contents(two), [['1', 1], ['2', 1]]);
  one.reload();
  assert.deepEqual(contents(one), [['1', 1], ['2', 1]]);
});

test('the server’s knowledge joins the cart, but for what is leaving it', () => {
  const cart = newCart();
  cart.add(product(1), 3);
  cart.merge([product(1), product(2), product(3)], (id) => id === '3');
  assert.deepEqual(contents(cart), [['1', 3], ['2', 1]]);
});

test('a stored cart of any content can be read', () => {
  for (const stored of ['{"a":1}', '[null, {"product":{}}, 5]', 'oops']) {
    const browser = new FakeStorage();
    browser.setItem('shop.cart', stored);
    assert.deepEqual(contents(newCart(browser)), []);
  }
  const browser = new FakeStorage();
  browser.setItem('shop.cart', '[{"product":{"id":4},"quantity":"x"}]');
  assert.deepEqual(contents(newCart(browser)), [['4', 1]]);
});

test('the total leaves out what has no price, and says so', () => {
  const lines = [{ product: product(1, 100), quantity: 2 }, { product: product(2, null), quantity: 1 }];
  assert.deepEqual(totalOf(lines), { sum: 200, pieces: 3, unpriced: 1 });
});

const answerWith = (token) => ({ errCode: 0, data: { token, user: { id: 5, email: 'linh@example.com', firstName: 'Linh', lastName: null, isAdmin: false } } });
const ANSWER = answerWith('t1');

test('a session is kept, and ends with its token', () => {
  const browser = new FakeStorage();
  const sessions = createSessions(openStorage(() => browser));
  assert.deepEqual(sessions.open(ANSWER), { token: 't1', userId: '5', name: 'Linh', isAdmin: false });
  assert.equal(createSessions(openStorage(() => browser)).current.get().userId, '5');
  sessions.expire('an older one');
  assert.equal(sessions.hasExpired.get(), false);
  sessions.expire('t1');
  assert.deepEqual([sessions.current.get(), sessions.hasExpired.get()], [null, true]);
  sessions.open(answerWith('t2'));
  assert.deepEqual([sessions.current.get().token, sessions.hasExpired.get()], ['t2', false]);
  sessions.close();
  assert.deepEqual([sessions.current.get(), sessions.hasExpired.get(), Object.keys(browser)], [null, false, []]);
});

test('a sign-in in another tab counts in this one', () => {
  const browser = new FakeStorage();
  const [one, two] = [0, 1].map(() => createSessions(openStorage(() => browser)));
  one.open(ANSWER);
  two.reload();
  assert.equal(two.current.get().token, 't1');
  one.close();
  two.reload();
  assert.equal(two.current.get(), null);
});

test('an unusable answer opens no session', () => {
  const sessions = createSessions(openStorage(() => null));
  for (const answer of [null, {}, { data: { token: 5, user: { id: 1 } } }, { data: { token: 'x', user: {} } }, { token: 'x', user: { id: 1 } }]) assert.equal(sessions.open(answer), null);
});
