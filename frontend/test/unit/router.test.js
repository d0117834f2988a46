import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRouter, nextPath, productPath, routeOf } from '../../src/lib/router.js';

test('addresses name pages', () => {
  const cases = {
    '/': 'home', '/cart': 'cart', '/cart/': 'cart', '/login': 'login', '/admin': 'admin', '/p/7': 'product',
    '/p': 'missing', '/p/': 'missing', '/p/7/8': 'missing', '/p/%': 'missing', '/constructor': 'missing', '/nowhere': 'missing',
  };
  for (const [path, page] of Object.entries(cases)) assert.equal(routeOf(path).page, page, path);
});

test('any id has an address', () => {
  for (const id of ['7', 'a/b', 'ê %', '../x', '?q#h']) assert.equal(routeOf(productPath(id)).id, id);
});

test('after signing in one stays in the shop', () => {
  const cases = { '/cart': '/cart', '/admin?user=7': '/admin?user=7', '//evil.example': '/', '/\\evil.example': '/', 'https://evil.example': '/', '/login?next=/login': '/', '': '/' };
  for (const [next, expected] of Object.entries(cases)) assert.equal(nextPath(`?next=${encodeURIComponent(next)}`), expected, next);
  assert.equal(nextPath(''), '/');
});

/** A window with a history, as far as the router uses them. */
function fakeWindow(path) {
  const entries = [{ path, state: null }];
  let at = 0;
  const listeners = [];
  const parts = () => new URL(entries[at].path, 'http://shop');
  return {
    history: {
      get state() {
        return entries[at].state;
      },
      pushState(state, _title, to) {
        entries.splice(at + 1, Infinity, { path: to, state });
        at += 1;
      },
      replaceState(state, _title, to = entries[at].path) {
        entries[at] = { path: to, state };
      },
    },
    location: {
      get pathname() {
        return parts().pathname;
      },
      get search() {
        return parts().search;
      },
    },
    addEventListener: (_type, listener) => listeners.push(listener),
    back() {
      at -= 1;
      for (const listener of listeners) listener();
    },
    entries,
  };
}

test('the back button returns to the entry with what it remembers', () => {
  const window = fakeWindow('/?category=audio');
  let keys = 0;
  const router = createRouter(window, () => `k${(keys += 1)}`);
  const seen = [];
  router.route.subscribe(() => seen.push(router.route.get().path));
  router.remember('viewed', 'x');
  router.go('/p/7');
  assert.equal(router.recall('viewed'), undefined);
  window.back();
  assert.deepEqual([seen, router.recall('viewed'), router.route.get().query, router.route.get().key], [['/p/7', '/'], 'x', '?category=audio', 'k1']);
});

test('a replaced entry leaves no trace', () => {
  const window = fakeWindow('/');
  const router = createRouter(window, () => 'k');
  router.go('/login');
  router.go('/cart', { replace: true });
  assert.deepEqual(window.entries.map(({ path }) => path), ['/', '/cart']);
});
