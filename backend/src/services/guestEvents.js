/** The events of guests: few of each, kept for 30 days at most, until they join a customer. */
import { QueryTypes } from 'sequelize';

import { ownTable } from '../config/database.js';
import { isDuplicate, isMissingTable, isRowsFault, retriedAfterDeadlock } from '../config/databaseErrors.js';
import { OF_GUESTS } from './tracking/listEvents.js';

/**
 * @import { Logger } from 'pino'
 * @import { Sequelize, Transaction } from 'sequelize'
 * @import { Models } from '../models/index.js'
 * @import { Event } from './recommendations/catalogue.js'
 */

/**
 * @typedef {Event & {id: number, second: number}} GuestEvent `second`: since 1970.
 */

const DAY_MS = 86_400_000;
const KEPT_MS = 30 * DAY_MS; // as docs/SHOP.md says of carts
const KEPT_EACH = 100; // views of one guest, and as many other events
const KEPT_IN_ALL = 1_000_000; // rows, about 200 MB; whoever sends no cookie is a new guest each time
const SWEEP_MS = { first: 60_000, next: 3_600_000 };
const BATCH = { rows: 1000, most: 200 };
const { INSERT, SELECT } = QueryTypes;
const COLUMNS = 'productId, actionCode, device_type, timestamp, eventId';


const GUEST_EVENTS = 'rec_guest_events';
const LIST_EVENTS = 'rec_user_interactions';

/** Reads and removes the rows of `rec_guest_events`, which `InteractionService` inserts. */
export class GuestEvents {
  #parts;
  /** @type {NodeJS.Timeout | undefined} */
  #timer;
  #isClosed = false;

  /** @param {{sequelize: Sequelize, models: Models, log: Pick<Logger, 'info' | 'warn'>, now?: () => number}} parts */
  constructor({ now = Date.now, ...parts }) {
    this.#parts = { ...parts, now };
  }

  /**
   * Return a guest's events of the last 30 days, newest first. There are none before the table is made.
   *
   * @param {string} guestId
   * @returns {Promise<GuestEvent[]>}
   */
  async newest(guestId) {
    const sql = `SELECT e.id, e.productId, e.actionCode, CAST(e.timestamp AS CHAR(19)) AS moment, p.categoryId, p.brandId
                 FROM (SELECT id, productId, actionCode, timestamp FROM ${this.#table} WHERE guestId = $guestId AND timestamp >= $since
                       ORDER BY timestamp DESC, id DESC LIMIT ${2 * KEPT_EACH}) e
                 LEFT JOIN Products p ON p.id = e.productId ORDER BY e.timestamp DESC, e.id DESC`;
    const rows = await this.#select(sql, { guestId, since: this.#oldest() }).catch((error) => {
      if (!isMissingTable(error)) throw error;
      return [];
    });
    return rows.map(({ moment, ...event }) => ({ .../** @type {Omit<GuestEvent, 'second'>} */ (event), second: Date.parse(`${moment.slice(0, 19).replace(' ', 'T')}Z`) / 1000 }));
  }

  /**
   * Delete a guest's oldest events beyond those that are kept. Views do not push what lies in the cart out.
   *
   * @param {{guestId: string, actionCode: string}} event The newest one.
   */
  async trim({ guestId, actionCode }) {
    const isOfKind = `actionCode ${actionCode === 'view' ? '=' : '<>'} 'view'`;
    const rows = await this.#select(
      `SELECT id FROM ${this.#table} WHERE guestId = $guestId AND ${isOfKind}
       ORDER BY timestamp DESC, id DESC LIMIT ${BATCH.rows} OFFSET ${KEPT_EACH}`,
      { guestId },
    );
    await this.#delete(rows);
  }

  /**
   * Move a guest's events into a customer's, in their order, in one transaction. What the shop knows already, or would not have, is
   * left out.
   *
   * @param {string} guestId
   * @param {number} userId
   * @returns {Promise<number>} How many events the guest had.
   */
  async join(guestId, userId) {
    try {
      return await retriedAfterDeadlock(() => this.#parts.sequelize.transaction((transaction) => this.#move(guestId, userId, transaction)));
    } catch (error) {
      if (!isMissingTable(error)) throw error;
      return 0;
    }
  }

  /** Begin to delete old events now and then. It is called when the server listens. */
  start() {
    this.#sweepIn(SWEEP_MS.first);
  }

  close() {
    this.#isClosed = true;
    clearTimeout(this.#timer);
  }

  /**
   * Delete events of more than 30 days, and the oldest of too many, in small statements; the same of what lists have shown to guests.
   * Several servers may do so at once.
   *
   * @returns {Promise<number>} How many were deleted.
   */
  async sweep() {
    const [{ last }] = await this.#select(`SELECT MAX(id) AS last FROM ${this.#table}`, {});
    const nOld = await this.#deleteWhere('timestamp < $bound ORDER BY timestamp', this.#oldest());
    const nMany = await this.#deleteWhere('id <= $bound ORDER BY id', (last ?? 0) - KEPT_IN_ALL);
    return nOld + nMany + (await this.#sweepShown());
  }

  /** Sweep impressions and clicks of guests. Other events of guests are those of the service. */
  async #sweepShown() {
    const table = LIST_EVENTS;
    const isShown = `${OF_GUESTS} AND interaction_type IN ('impression', 'click')`;
    try {
      const nOld = await this.#deleteWhere(`${isShown} AND occurred_at < $bound`, Math.floor((this.#parts.now() - KEPT_MS) / 1000), table);
      const [first] = await this.#select(`SELECT id FROM ${this.#named(table)} WHERE ${isShown} ORDER BY id DESC LIMIT 1 OFFSET ${KEPT_IN_ALL}`, {});
      return nOld + (first === undefined ? 0 : await this.#deleteWhere(`${isShown} AND id <= $bound`, first.id, table));
    } catch (error) {
      if (!isMissingTable(error)) throw error;
      return 0;
    }
  }

  /** @param {Transaction} transaction */
  async #move(guestId, userId, transaction) {
    const { GuestEvent } = this.#parts.models;
    const options = { where: { guestId }, attributes: ['id'], order: ['timestamp', 'id'], raw: true };
    const rows = await GuestEvent.findAll({ ...options, transaction, lock: transaction.LOCK.UPDATE });
    if (rows.length === 0) return 0;
    await this.#insert('e.guestId = $guestId', { userId, guestId }, transaction).catch(async (error) => {
      if (!isRefused(error)) throw error;
      for (const { id } of rows) await this.#insertOne(userId, id, transaction);
    });
    await GuestEvent.destroy({ where: { id: rows.map(({ id }) => id) }, transaction });
    return rows.length;
  }

  async #insertOne(userId, id, transaction) {
    try {
      await this.#insert('e.id = $id', { userId, id }, transaction);
    } catch (error) {
      if (!isRefused(error)) throw error;
      this.#parts.log.warn({ reason: error.message }, 'an event of a guest did not join the customer');
    }
  }

  #insert(which, bind, transaction) {
    const columns = COLUMNS.split(', ').map((name) => `e.${name}`).join(', ');
    const sql = `INSERT INTO Interactions (userId, ${COLUMNS})
                 SELECT $userId, ${columns} FROM ${this.#table} e LEFT JOIN Interactions i ON i.eventId = e.eventId
                 WHERE ${which} AND i.eventId IS NULL ORDER BY e.timestamp, e.id`;
    return this.#parts.sequelize.query(sql, { bind, type: INSERT, transaction });
  }

  async #deleteWhere(condition, bound, table = GUEST_EVENTS) {
    let deleted = 0;
    for (let batch = 0; batch < BATCH.most && !this.#isClosed; batch += 1) {
      const rows = await this.#select(`SELECT id FROM ${this.#named(table)} WHERE ${condition} LIMIT ${BATCH.rows}`, { bound });
      await this.#delete(rows, table);
      deleted += rows.length;
      if (rows.length < BATCH.rows) break;
    }
    return deleted;
  }

  async #delete(rows, table = GUEST_EVENTS) {
    const { GuestEvent, ListEvent } = this.#parts.models;
    const Table = table === GUEST_EVENTS ? GuestEvent : ListEvent;
    const id = rows.map((row) => row.id);
    if (id.length > 0) await retriedAfterDeadlock(() => Table.destroy({ where: { id } }));
  }

  #sweepIn(ms) {
    this.#timer = setTimeout(() => this.#sweepNow(), ms);
    this.#timer.unref();
  }

  async #sweepNow() {
    const { log } = this.#parts;
    try {
      const deleted = await this.sweep();
      if (deleted > 0) log.info({ deleted }, 'old events of guests were deleted');
    } catch (error) {
      log.warn({ reason: error.message }, 'old events of guests could not be deleted');
    }
    if (!this.#isClosed) this.#sweepIn(SWEEP_MS.next);
  }

  get #table() {
    return this.#named(GUEST_EVENTS);
  }

  #named(table) {
    return ownTable(this.#parts.sequelize, table);
  }

  #oldest() {
    return new Date(this.#parts.now() - KEPT_MS).toISOString().slice(0, 19).replace('T', ' ');
  }

  /** @returns {Promise<any[]>} */
  #select(sql, bind) {
    return this.#parts.sequelize.query(sql, { bind, type: SELECT });
  }
}

function isRefused(error) {
  return isDuplicate(error) || isRowsFault(error);
}

/**
 * Return the ids of the products that lie in a visitor's cart: those whose last event but views is `cart`.
 *
 * @param {Pick<Event, 'productId' | 'actionCode'>[]} events Newest first.
 * @returns {number[]} The last one put in first.
 */
export function cartOf(events) {
  const last = new Map();
  for (const { productId, actionCode } of events) if (actionCode !== 'view' && !last.has(productId)) last.set(productId, actionCode);
  return [...last.keys()].filter((productId) => last.get(productId) === 'cart');
}
