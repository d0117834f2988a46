/** Which products are not recommended to a user: what they bought, by the repeat rule, and what lies in their cart. */

/** @import { Rules } from './snapshot.js' */

/**
 * @typedef {object} StoredEvent An event as the tables hold it.
 * @property {number} item
 * @property {string} event
 * @property {string} moment In UTC, as 2026-11-20 14:00:00 or 2026-11-20T14:00:00.
 * @property {number} rowId
 * @property {number} [quantity] The pieces that were bought or taken back, of any sign; NaN or nothing where they are not known.
 */

export const DAY_S = 86_400;
const CART_DAYS = 30; // what was put into the cart earlier is forgotten
const NO_PIECE = 1e-9; // quantities may be weights, whose sums are rounded
const NO_TIME = '1970-01-01 00:00:00';

/**
 * Return what a statement has to read for `hiddenItems`: the names of events, and their earliest moment.
 *
 * Earlier events change nothing, because a cancellation takes back the newest purchases that stand.
 *
 * @param {Rules} rules
 * @param {number} now Milliseconds since 1970.
 * @returns {{names: string[], since: string}}
 */
export function neededEvents(rules, now) {
  return { names: [...kindsOf(rules).keys()], since: startOf(Math.max(rules.repeatAfterDays, CART_DAYS), now) };
}

/**
 * Return the ids of the products that are hidden from a user: docs/SHOP.md, "Bought" and "In the cart".
 *
 * @param {StoredEvent[]} events Of one user, in any order; other events than the rules name are left out.
 * @param {Rules} rules
 * @param {number} now Milliseconds since 1970.
 * @returns {Set<number>}
 */
export function hiddenItems(events, rules, now) {
  const { purchases, cart } = chosenItems(events, rules, now);
  const [boughtSince, inCartSince] = [startOf(rules.repeatAfterDays, now), startOf(CART_DAYS, now)];
  const bought = rules.repeatAfterDays === 0 ? [] : [...purchases].filter(([, seconds]) => seconds.at(-1) >= boughtSince);
  return new Set([...bought, ...[...cart].filter(([, second]) => second >= inCartSince)].map(([item]) => item));
}

/**
 * Return the purchases of each product that stand, as seconds, oldest first.
 *
 * @param {StoredEvent[]} events Of one user, in any order; other events than the rules name are left out.
 * @param {Rules} rules
 * @param {number} now Milliseconds since 1970.
 * @returns {Map<number, string[]>}
 */
export function standingPurchases(events, rules, now) {
  return chosenItems(events, rules, now).purchases;
}

/** Return the seconds of the purchases of each item that stand, oldest first, and the second in which each was put into the cart where it may lie. */
function chosenItems(events, rules, now) {
  const kinds = kindsOf(rules);
  const purchases = new Map();
  const cart = new Map();
  for (const { item, event, second, quantity = NaN } of validEvents(events, now)) {
    const kind = kinds.get(event);
    if (kind === undefined) continue;
    if (kind === 'cart') cart.set(item, second);
    else cart.delete(item);
    if (kind === 'cancel') takeBack(purchases.get(item) ?? [], quantity);
    const bought = { second, pieces: quantity > 0 ? quantity : 1 };
    if (kind === 'purchase' && purchases.has(item)) purchases.get(item).push(bought);
    else if (kind === 'purchase') purchases.set(item, [bought]);
  }
  const standing = [...purchases].filter(([, open]) => open.length > 0);
  return { purchases: new Map(standing.map(([item, open]) => [item, open.map(({ second }) => second)])), cart };
}

/** Take pieces back from the newest purchases, oldest first in `open`; without a quantity the whole of the newest one. */
function takeBack(open, quantity) {
  if (Number.isNaN(quantity)) open.pop();
  for (let left = Math.abs(quantity); open.length > 0 && left > NO_PIECE;) {
    const newest = open.pop();
    if (newest.pieces - left > NO_PIECE) open.push({ ...newest, pieces: newest.pieces - left });
    left -= newest.pieces;
  }
}

/** Return what each name of an event means; where a name is in several lists, the later kind counts. */
function kindsOf({ cartEvents, uncartEvents, purchaseEvents, cancelEvents }) {
  const kinds = { cart: cartEvents, uncart: uncartEvents, purchase: purchaseEvents, cancel: cancelEvents };
  return new Map(Object.entries(kinds).flatMap(([kind, names]) => names.map((name) => [name, kind])));
}

/** Return the events in the order of time, with their seconds. One that is stored twice in one second counts once, but for lines of an order with other quantities. */
function validEvents(events, now) {
  const until = utcText(Math.floor(now / 1000) + DAY_S); // a clock that is further ahead is wrong
  const seen = new Set();
  return events
    .map((row) => ({ ...row, second: row.moment.slice(0, NO_TIME.length).replace('T', ' ') }))
    .filter(({ second }) => second > NO_TIME && second <= until)
    .sort(inOrder)
    .filter(({ item, event, second, quantity = NaN }) => {
      const row = `${item} ${second} ${quantity} ${event}`;
      return !seen.has(row) && seen.add(row);
    });
}

function inOrder(one, other) {
  if (one.second !== other.second) return one.second < other.second ? -1 : 1;
  return one.rowId - other.rowId;
}

/** Return the first second of the last days. */
function startOf(days, now) {
  return utcText(Math.max(0, Math.ceil(Math.floor(now / 1000) - days * DAY_S)));
}

/** Return a second since 1970 as the tables store it, in UTC. */
export function utcText(seconds) {
  return new Date(seconds * 1000).toISOString().slice(0, NO_TIME.length).replace('T', ' ');
}
