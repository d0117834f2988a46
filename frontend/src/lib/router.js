/** The addresses of the page, and a small router over the browser's history. */
import { createStore } from './store.js';

/** @import { Store } from './store.js' */

/**
 * @typedef {object} Route
 * @property {'home' | 'product' | 'cart' | 'login' | 'admin' | 'missing'} page
 * @property {string} path
 * @property {string} query With its question mark, or empty.
 * @property {string} [id] Of the product.
 * @property {string} key One for each entry of the history.
 */

/** @type {Record<string, Route['page']>} */
const PAGES = { '/': 'home', '/cart': 'cart', '/login': 'login', '/admin': 'admin' };

/**
 * Return the route of an address.
 *
 * @param {string} path
 * @param {string} [query]
 * @param {string} [key]
 * @returns {Route}
 */
export function routeOf(path, query = '', key = 'first') {
  const clean = path.length > 1 ? path.replace(/\/+$/, '') : path;
  const route = { path: clean || '/', query, key };
  if (Object.hasOwn(PAGES, route.path)) return { page: PAGES[route.path], ...route };
  const id = decoded(/^\/p\/([^/]+)$/.exec(route.path)?.[1]);
  return id ? { page: 'product', id, ...route } : { page: 'missing', ...route };
}

/** The address of a product. */
export function productPath(/** @type {string} */ id) {
  return `/p/${encodeURIComponent(id)}`;
}

/** Where to go after signing in: a path of this page, whatever the address says. */
export function nextPath(/** @type {string} */ query) {
  const next = new URLSearchParams(query).get('next') ?? '/';
  return /^\/(?![/\\])/.test(next) && routeOf(next.split('?')[0]).page !== 'login' ? next : '/';
}

/** @param {string | undefined} text */
function decoded(text) {
  try {
    return text === undefined ? null : decodeURIComponent(text);
  } catch {
    return null; // a lone per cent sign
  }
}

/**
 * @typedef {object} Router
 * @property {Store<Route>} route
 * @property {(to: string, options?: {replace?: boolean}) => void} go
 * @property {(name: string) => unknown} recall A value that belongs to the entry of the history; it outlives a reload.
 * @property {(name: string, value: unknown) => void} remember
 */

/**
 * @param {Window} window
 * @param {() => string} newKey
 * @returns {Router}
 */
export function createRouter(window, newKey) {
  const { history, location } = window;
  const current = () => routeOf(location.pathname, location.search, history.state?.key);
  if (!history.state?.key) history.replaceState({ key: newKey() }, '');
  const route = createStore(current());
  window.addEventListener('popstate', () => route.set(current()));

  return {
    route,
    go(to, { replace = false } = {}) {
      if (replace) history.replaceState({ key: newKey() }, '', to);
      else history.pushState({ key: newKey() }, '', to);
      route.set(current());
    },
    recall: (name) => history.state?.[name],
    remember: (name, value) => history.replaceState({ ...history.state, [name]: value }, ''),
  };
}
