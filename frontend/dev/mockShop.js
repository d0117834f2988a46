/** What the servers for shoppers and for administrators share: users, lists by simple rules, and errors. */
import { randomUUID } from 'node:crypto';

export const USERS = [
  { id: 1, email: 'linh.nguyen@example.com', firstName: 'Linh', lastName: 'Nguyễn', isAdmin: false },
  { id: 2, email: 'amelia.taylor@example.com', firstName: 'Amelia', lastName: 'Taylor', isAdmin: true },
  { id: 3, email: 'minh.tran@example.com', firstName: 'Minh', lastName: 'Trần', isAdmin: false },
];

/** Products of the categories that were viewed last come first. What was bought, or lies in the cart, is left out. */
export function listFor(state, user, limit) {
  const viewed = latest(state, user, 'view');
  const bought = latest(state, user, 'purchase');
  const cart = inCart(state, user);
  const hidden = new Set([...bought, ...cart].map(({ id }) => id));
  const reasons = [...cart.map((product) => ['cart', product]), ...viewed.map((product) => ['viewed', product]), ...bought.map((product) => ['bought', product])];
  const rows = [];
  for (const [code, reason] of reasons) {
    for (const product of state.products.filter(({ categoryId, id }) => categoryId === reason.categoryId && id !== reason.id)) {
      rows.push({ product, why: { code, itemId: reason.id, name: reason.name } });
    }
  }
  const popular = state.products.toSorted((a, b) => b.reviews - a.reviews);
  rows.push(...popular.map((product, index) => ({ product, why: index % 3 === 1 ? { code: 'popular', category: product.category } : { code: 'popular' } })));
  const modelName = reasons.length > 0 ? 'NeuMF' : 'popularity';
  return {
    errCode: 0,
    data: uniqueRows(rows.filter(({ product }) => !hidden.has(product.id)), limit, modelName),
    source: reasons.length === 0 ? 'popularity' : user ? 'model' : 'fold_in',
    fallbackReason: null,
    modelVersion: '20261120T0310Z-4f2a',
  };
}

export function similarTo(state, known, limit) {
  const why = { code: 'similar', itemId: known.id, name: known.name };
  const alike = state.products.filter(({ categoryId, id }) => categoryId === known.categoryId && id !== known.id);
  const others = state.products.filter(({ brandId, id }) => brandId === known.brandId && id !== known.id);
  const data = uniqueRows([...alike, ...others].map((product) => ({ product, why })), limit, 'item_cf');
  return { errCode: 0, data, source: 'item_cf', fallbackReason: null, modelVersion: '20261120T0310Z-4f2a' };
}

/** Every third product goes with a basket; the last ones are only similar to its first product. */
export function togetherWith(state, ids, user, limit) {
  const hidden = new Set([...ids, ...[...latest(state, user, 'purchase'), ...inCart(state, user)].map(({ id }) => id)]);
  const basket = state.products.filter(({ id }) => ids.includes(id));
  const others = state.products.filter(({ id }) => !hidden.has(id));
  const because = (code, { id, name }) => ({ code, itemId: id, name });
  const rows = basket.flatMap((known) =>
    others.filter(({ id }) => (id + known.id) % 3 === 0).slice(0, 4).map((product) => ({ product, why: because('together', known) })),
  );
  const alike = basket.slice(0, 1).flatMap((known) => others.map((product) => ({ product, why: because('similar', known) })));
  return { errCode: 0, data: uniqueRows([...rows, ...alike], limit, 'together'), source: 'together', fallbackReason: null, modelVersion: '20261120T0310Z-4f2a' };
}

/** What has the most reviews among the newer half. */
export function trendingNow(state, user, limit) {
  const hidden = new Set([...latest(state, user, 'purchase'), ...inCart(state, user)].map(({ id }) => id));
  const newer = state.products.slice(state.products.length / 2).filter(({ id }) => !hidden.has(id));
  const rows = newer.toSorted((a, b) => b.reviews - a.reviews).map((product) => ({ product, why: { code: 'popular' } }));
  return { errCode: 0, data: uniqueRows(rows, limit, 'trending'), source: 'trending', fallbackReason: null, modelVersion: '20261120T0310Z-4f2a' };
}

/** What was bought at least twice. */
export function dueAgain(state, user, limit) {
  const bought = state.events.filter((event) => event.user === user && event.actionCode === 'purchase').map(({ productId }) => productId);
  const hidden = new Set(inCart(state, user).map(({ id }) => id));
  const often = state.products.filter(({ id }) => !hidden.has(id) && bought.filter((other) => other === id).length > 1);
  const rows = often.map((product) => ({ product, why: { code: 'again' } }));
  return { errCode: 0, data: uniqueRows(rows, limit, 'again'), source: 'again', fallbackReason: null, modelVersion: '20261120T0310Z-4f2a' };
}

function uniqueRows(rows, limit, modelName) {
  const byId = new Map();
  for (const row of rows) if (!byId.has(row.product.id)) byId.set(row.product.id, row);
  return [...byId.values()]
    .slice(0, limit)
    .map((row, index) => ({ ...row, score: Number((0.93 - 0.041 * index).toFixed(3)), modelName, reason: row.why }));
}

export function latest(state, user, action) {
  const ids = state.events.filter((event) => event.user === user && event.actionCode === action).map(({ productId }) => productId);
  return [...new Set(ids.toReversed())].flatMap((id) => state.products.find((product) => product.id === id) ?? []);
}

export function inCart(state, user) {
  const last = new Map();
  for (const { user: owner, productId, actionCode } of state.events) if (owner === user && actionCode !== 'view') last.set(productId, actionCode);
  return state.products.filter(({ id }) => last.get(id) === 'cart');
}

export function errorOf(errCode, message) {
  return { errCode, message, requestId: randomUUID() };
}
