/** Stores interactions in the database, or in the spool while the database is unavailable. */
import { randomUUID } from 'node:crypto';

import { LRUCache } from 'lru-cache';

import { Breaker } from '../concurrency/breaker.js';
import { TooLate, withinMs } from '../concurrency/time.js';
import { isDuplicate, isMissingTable, isOfDatabase, isRowsFault, retriedAfterDeadlock } from '../config/databaseErrors.js';
import { SpoolFailed } from './spool/spool.js';
import { isListEvent } from './tracking/listEvents.js';

/**
 * @import { Logger } from 'pino'
 * @import { Transaction } from 'sequelize'
 * @import { Models } from '../models/index.js'
 * @import { GuestEvents } from './guestEvents.js'
 * @import { Spool } from './spool/spool.js'
 * @import { ListEvents } from './tracking/listEvents.js'
 */

/**
 * @typedef {object} InteractionServices
 * @property {Pick<Models, 'Interaction' | 'Product' | 'GuestEvent'>} models
 * @property {Spool} spool
 * @property {Pick<GuestEvents, 'join'>} [guests]
 * @property {Pick<ListEvents, 'store' | 'counted' | 'join'>} [lists]
 * @property {(interaction: InteractionRecord) => void} [onStored] Called after each commit, except for repetitions.
 * @property {(userId: number) => Promise<void>} [onJoined] Called when a guest's events have become a customer's.
 * @property {Logger} log
 * @property {() => number} [now] Milliseconds since 1970.
 *
 * @typedef {object} InteractionRecord An interaction as the spool keeps it.
 * @property {number} [userId] Either this or `guestId`.
 * @property {string} [guestId]
 * @property {number} [productId] Every event but an impression of several products has one.
 * @property {string} actionCode
 * @property {string | null} device
 * @property {string} eventId
 * @property {string} timestamp ISO 8601.
 * @property {string} [recommendation_id] The answer that showed the product.
 * @property {number} [position] The product's place in that answer, from 1.
 * @property {string} [session_id] The visit.
 * @property {{productId: number, position: number}[]} [shown] The products of an impression of several.
 *
 * @typedef {object} Receipt What became of an interaction.
 * @property {string} eventId
 * @property {boolean} stored
 * @property {boolean} duplicate
 * @property {boolean} spooled
 * @property {'future' | 'past' | null} clamped Where its timestamp was before it was moved.
 */

const STORE_MS = 1000; // of a request's time, for the database; after that the spool is used
const PAUSE_MS = 1000; // after a failure of the database, interactions go straight to the spool
const DRAIN = { waitMs: 250, longestMs: 5000 }; // between attempts to empty the spool, doubled after each failure
const CHOICES = { max: 10_000, ttl: 600_000 };
const CHOICES_EACH = 100;
const JOINED = { max: 10_000, ttl: 60_000 };
const CLOSING_MS = 1000;
const EARLIEST_MS = 30 * 86_400_000; // older timestamps are moved to this age

/** The shop does not have the product. */
export class UnknownProduct extends Error {
  name = 'UnknownProduct';
}

/** There is no table for what lists have shown. */
export class NotCounted extends Error {
  name = 'NotCounted';
}

/** The event id belongs to another interaction already. */
export class EventConflict extends Error {
  name = 'EventConflict';
}

/**
 * Stores interactions, once for each event id. An interaction is acknowledged when it is in the database or, while the database is
 * unavailable, on the disk.
 */
export class InteractionService {
  #parts;
  #database = new Breaker({ waitMs: PAUSE_MS });
  #drains = new Breaker(DRAIN);
  /** @type {LRUCache<string, Map<number, string>>} What each visitor did last with products, but views. The tables may not have it yet. */
  #choices = new LRUCache(CHOICES);
  /** @type {LRUCache<string, number>} The user that a guest became. Events of the guest may have been under way at the login. */
  #joined = new LRUCache(JOINED);
  /** @type {NodeJS.Timeout | null} */
  #timer = null;
  #isStarted = false;
  #isClosed = false;

  /** @param {InteractionServices} services */
  constructor({ onStored = () => {}, onJoined = async () => {}, now = Date.now, ...parts }) {
    this.#parts = { ...parts, onStored, onJoined, now };
  }

  /** Begin to store the records of an earlier process. It is called when the server listens. */
  start() {
    this.#isStarted = true;
    this.#drainSoon();
  }

  /**
   * Store an interaction.
   *
   * @param {object} interaction
   * @param {number} [interaction.userId] The customer; else `guestId` is the guest.
   * @param {string} [interaction.guestId]
   * @param {number} [interaction.productId]
   * @param {string} interaction.actionCode
   * @param {string | null} [interaction.device]
   * @param {string} [interaction.eventId] Set by the sender. Without it, an interaction that is sent twice counts twice.
   * @param {Date} [interaction.timestamp] By default now. A time in the future becomes now, an older one than 30 days becomes 30 days ago.
   * @param {string} [interaction.recommendation_id] As in `InteractionRecord`, like the next ones.
   * @param {number} [interaction.position]
   * @param {string} [interaction.session_id]
   * @param {{productId: number, position: number}[]} [interaction.shown]
   * @returns {Promise<Receipt>}
   * @throws {UnknownProduct}
   * @throws {NotCounted}
   * @throws {EventConflict}
   * @throws {SpoolFailed} Neither the database nor the disk could store it.
   */
  async record({ userId, guestId, productId, actionCode, device = null, eventId = randomUUID(), timestamp, ...ofList }) {
    const { moment, clamped } = this.#clamp(timestamp);
    const owner = guestId === undefined ? { userId } : { guestId };
    /** @type {InteractionRecord} */
    const record = { ...owner, productId, actionCode, device, eventId, timestamp: moment.toISOString(), ...ofList };
    const waiting = this.#parts.spool.get(eventId);
    const outcome = waiting === undefined ? await this.#store(record) : await this.#spoolRecord(record);
    if (actionCode !== 'view' && !isListEvent(record)) this.#choose(owner, productId, actionCode);
    return { eventId, stored: outcome === 'stored', duplicate: outcome.startsWith('duplicate'), spooled: outcome.endsWith('spooled'), clamped };
  }

  /**
   * Return what a visitor did last with some products in the last minutes, as far as this process knows it.
   *
   * @param {{userId?: number, guestId?: string}} owner
   * @returns {{productId: number, actionCode: string}[]}
   */
  choicesOf(owner) {
    return [...(this.#choices.get(ownerKey(owner)) ?? [])].map(([productId, actionCode]) => ({ productId, actionCode }));
  }

  /** Whether a guest has become a user in the last minute. */
  hasJoined(guestId) {
    return this.#joined.has(guestId);
  }

  /**
   * Give a guest's events to a customer: at once, or after what waits in the spool. Resolves when that is done, or certain to be done.
   *
   * @param {string} guestId
   * @param {number} userId
   * @throws {SpoolFailed} The events stay with the guest.
   */
  async join(guestId, userId) {
    const { spool, log } = this.#parts;
    this.#joined.set(guestId, userId);
    try {
      if (!this.#database.isOpen && spool.pending === 0) return await withinMs(STORE_MS, this.#joinNow({ guestId, userId }));
    } catch (error) {
      if (!isOfDatabase(error) && !(error instanceof TooLate)) {
        this.#joined.delete(guestId);
        throw error;
      }
      log.warn({ reason: error.message }, 'a guest joins a customer later');
    }
    const key = `join ${guestId} ${userId} ${randomUUID()}`; // no event id has a space; an earlier join comes before what waits now
    await spool.append(key, { join: { guestId, userId } }).catch((error) => {
      this.#joined.delete(guestId);
      throw error;
    });
    this.#drainSoon();
  }

  /** Store the records of the spool in their order, until the database fails. */
  drain() {
    return this.#parts.spool.drain((record) => this.#storeLate(record));
  }

  stats() {
    return this.#parts.spool.stats();
  }

  /** Try once more to store the records of the spool, if `start` was called. Those that remain stay on the disk for the next start. */
  async close() {
    this.#isClosed = true;
    clearTimeout(this.#timer ?? undefined);
    if (!this.#isStarted) {
      await this.#parts.spool.close();
      return;
    }
    const failure = await withinMs(CLOSING_MS, this.drain()).then(() => null, (error) => error);
    await this.#parts.spool.close().finally(() => {
      if (failure !== null) this.#parts.log.warn({ reason: failure.message, ...this.stats() }, 'interactions stay in the spool'); // with the counts after closing
    });
  }

  async #store(record) {
    if (this.#database.isOpen) return this.#spoolRecord(record);
    try {
      return await withinMs(STORE_MS, this.#storeInDatabase(record));
    } catch (error) {
      if (error instanceof UnknownProduct || error instanceof EventConflict || isRowsFault(error)) throw error;
      if (!isOfDatabase(error) && !(error instanceof TooLate)) throw error;
      if (isListEvent(record) && isMissingTable(error)) throw new NotCounted('The tables of docs/TRACKING.md should exist. Received: none; train.py makes them.');
      if (isOfGuest(record) && isMissingTable(error)) throw new SpoolFailed('The table rec_guest_events should exist. Received: none; train.py makes it.');
      this.#database.fail();
      this.#parts.log.warn({ reason: error.message }, 'an interaction goes to the spool');
      return this.#spoolRecord(record);
    }
  }

  async #storeInDatabase(record) {
    if (isListEvent(record)) return this.#insert(record); // also of a product that was deleted meanwhile
    const product = await this.#parts.models.Product.findByPk(record.productId, { attributes: ['id'], raw: true });
    if (product === null) throw new UnknownProduct(`\`productId\` should be a product of the shop. Received: ${record.productId}.`);
    return this.#insert(record);
  }

  async #insert(record) {
    const { GuestEvent, Interaction } = this.#parts.models;
    const { guestId, eventId } = record;
    const { lists } = this.#parts;
    if (isListEvent(record) && lists) {
      const outcome = await lists.store(record);
      if (outcome === 'stored') this.#joinLate(record);
      return outcome;
    }
    const Table = isOfGuest(record) ? GuestEvent : Interaction;
    const row = { ...record, device_type: record.device, timestamp: new Date(record.timestamp) };
    /** @param {Transaction} [transaction] */
    const create = (transaction) => Table.create(row, { transaction });
    try {
      await retriedAfterDeadlock(() => lists?.counted(record, create) ?? create());
    } catch (error) {
      if (!isDuplicate(error)) throw error;
      checkSame(await Table.findOne({ where: { eventId }, raw: true }), record);
      if (isOfGuest(record)) await Table.update({ guestId }, { where: { eventId } }); // the first answer, with the cookie, did not arrive
      return 'duplicate';
    }
    this.#notify(record);
    this.#joinLate(record);
    return 'stored';
  }

  /** Give an event to the user, if it was stored after its guest became one. */
  #joinLate({ guestId }) {
    const userId = this.#joined.get(guestId ?? '');
    if (userId === undefined) return;
    this.join(guestId, userId).catch((error) => this.#parts.log.warn({ reason: error.message }, 'a late event of a guest did not join the user'));
  }

  #choose(owner, productId, actionCode) {
    const key = ownerKey(owner);
    const chosen = new Map(this.#choices.get(key));
    chosen.delete(productId);
    chosen.set(productId, actionCode);
    this.#choices.set(key, new Map([...chosen].slice(-CHOICES_EACH)));
  }

  async #joinNow({ guestId, userId }) {
    await this.#parts.lists?.join(guestId, userId);
    const n = (await this.#parts.guests?.join(guestId, userId)) ?? 0;
    if (n > 0) await this.#parts.onJoined(userId);
  }

  async #spoolRecord(record) {
    const spooled = await this.#parts.spool.append(record.eventId, record);
    checkSame(spooled, record);
    this.#drainSoon();
    return spooled === record ? 'spooled' : 'duplicate spooled';
  }

  /** Store an acknowledged record, even of an unknown product. It is rejected only if the database can never store it. */
  async #storeLate(record) {
    try {
      if (record.join) return await withinMs(STORE_MS, this.#joinNow(record.join)).then(() => 'stored');
      return await withinMs(STORE_MS, this.#insert(record));
    } catch (error) {
      const isHopeless = error instanceof EventConflict || isRowsFault(error) || ((isOfGuest(record) || isListEvent(record)) && isMissingTable(error));
      if (!isHopeless) throw error;
      this.#parts.log.error({ reason: error.message, eventId: record.eventId }, 'an interaction was set aside in rejected.jsonl');
      return 'rejected';
    }
  }

  #drainSoon() {
    if (this.#timer !== null || this.#isClosed || !this.#isStarted || this.#parts.spool.pending === 0) return;
    this.#timer = setTimeout(() => this.#drainNow(), this.#drains.waitMs);
    this.#timer.unref();
  }

  async #drainNow() {
    try {
      const counts = await this.drain();
      this.#parts.log.info(counts, 'the spool is empty');
      this.#drains.succeed();
      this.#database.succeed();
    } catch (error) {
      this.#parts.log.warn({ reason: error.message, pending: this.#parts.spool.pending }, 'interactions wait in the spool');
      this.#drains.fail();
    }
    this.#timer = null;
    this.#drainSoon();
  }

  /** @returns {{moment: Date, clamped: Receipt['clamped']}} */
  #clamp(timestamp) {
    const now = this.#parts.now();
    if (timestamp === undefined) return { moment: new Date(now), clamped: null };
    if (timestamp.getTime() > now) return { moment: new Date(now), clamped: 'future' };
    if (timestamp.getTime() < now - EARLIEST_MS) return { moment: new Date(now - EARLIEST_MS), clamped: 'past' };
    return { moment: timestamp, clamped: null };
  }

  #notify(record) {
    try {
      this.#parts.onStored(record);
    } catch (error) {
      this.#parts.log.error({ err: error }, 'a listener failed after an interaction was stored');
    }
  }
}

/** @param {{userId?: number, guestId?: string}} owner */
function ownerKey({ userId, guestId }) {
  return guestId === undefined ? `user ${userId}` : `guest ${guestId}`;
}

/** @param {{guestId?: string}} record */
function isOfGuest({ guestId }) {
  return guestId !== undefined;
}

/**
 * Check that a repeated event has the same user, product and action. Its timestamp may differ. A guest's may come back from another guest,
 * or from the customer: a browser that has lost its cookie, or has signed in.
 */
function checkSame(stored, { eventId, ...sent }) {
  const isEqual = (name) => String(stored[name]) === String(sent[name]);
  const isSame = stored !== null && isEqual('productId') && isEqual('actionCode') && (isOfGuest(stored) || isOfGuest(sent) || isEqual('userId'));
  if (!isSame) throw new EventConflict(`\`eventId\` should be new, or sent again with the same interaction. Received: ${eventId}, with another.`);
}
