/** What a visitor viewed, and what lies in the cart: of users from `Interactions`, of guests from `rec_guest_events`. */
import { QueryTypes } from 'sequelize';

import { withinMs } from '../concurrency/time.js';
import { cartOf } from './guestEvents.js';
import { Catalogue } from './recommendations/catalogue.js';
import { DEFAULT_RULES } from './recommendations/snapshot.js';

/**
 * @import { Sequelize } from 'sequelize'
 * @import { GuestEvents } from './guestEvents.js'
 * @import { Product } from './products.js'
 * @import { Event } from './recommendations/catalogue.js'
 */

/**
 * @typedef {{userId: number | null, guestId: string | null}} Visitor A guest without an id has done nothing.
 */

const MOST = 400; // newest events of a user that are read
const SPARE = 20; // products read beyond those that are shown, because some may be sold out
const ANSWER_MS = 1000; // the page is complete without these products
const CART_MS = 30 * 86_400_000; // older events of the cart are forgotten: docs/SHOP.md, "In the cart"

/** Reads the products that visitors have seen or chosen. Products that are not active are left out. */
export class VisitorHistory {
  #parts;
  #catalogue;

  /** @param {{sequelize: Sequelize, guests: Pick<GuestEvents, 'newest'>, clock?: {now: () => number}}} parts */
  constructor({ clock = Date, ...parts }) {
    this.#parts = { ...parts, clock };
    this.#catalogue = new Catalogue(parts.sequelize, clock);
  }

  /**
   * Return the products that a visitor viewed, each once, the latest first.
   *
   * @param {Visitor} visitor
   * @param {number} limit
   * @returns {Promise<Product[]>}
   */
  async viewed(visitor, limit) {
    const read = async () => {
      const events = await this.#eventsOf(visitor, ['view'], '1970-01-01 00:00:00');
      return this.#shown([...new Set(events.map(({ productId }) => productId))], limit);
    };
    return withinMs(ANSWER_MS, read());
  }

  /**
   * Return the products in a visitor's cart, the last one put in first.
   *
   * @param {Visitor} visitor
   * @returns {Promise<Product[]>}
   */
  async cart(visitor) {
    const since = new Date(this.#parts.clock.now() - CART_MS).toISOString().slice(0, 19).replace('T', ' ');
    const read = async () => this.#shown(cartOf(await this.#eventsOf(visitor, ['cart', 'uncart', 'purchase'], since)), MOST);
    return withinMs(ANSWER_MS, read());
  }

  /**
   * Return a visitor's events with some actions, newest first.
   *
   * @returns {Promise<Pick<Event, 'productId' | 'actionCode'>[]>}
   */
  async #eventsOf({ userId, guestId }, actions, since) {
    if (userId === null) {
      const events = guestId === null ? [] : await this.#parts.guests.newest(guestId);
      return events.filter(({ actionCode }) => actions.includes(actionCode));
    }
    const places = actions.map((_, n) => `$action${n}`).join(', ');
    const bind = { userId, since, ...Object.fromEntries(actions.map((action, n) => [`action${n}`, action])) };
    return this.#parts.sequelize.query(
      `SELECT productId, actionCode FROM Interactions WHERE userId = $userId AND timestamp >= $since AND actionCode IN (${places})
       ORDER BY timestamp DESC, interId DESC LIMIT ${MOST}`,
      { bind, type: QueryTypes.SELECT },
    );
  }

  /** Return the first `limit` active products among ids, in their order. */
  async #shown(ids, limit) {
    const found = [];
    const size = limit + SPARE;
    for (let start = 0; start < ids.length && found.length < limit; start += size) {
      const some = ids.slice(start, start + size);
      const products = await this.#catalogue.eligible(null, some, DEFAULT_RULES);
      found.push(...some.flatMap((id) => products.get(id) ?? []));
    }
    return found.slice(0, limit);
  }
}
