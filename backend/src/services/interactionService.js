/** Stores interactions in the database, or in the spool while the database is unavailable. */
import { randomUUID } from 'node:crypto';

import { Pause, TooLate, withinMs } from '../concurrency/time.js';
import { isDeadlock, isDuplicate, isOfDatabase, isRowsFault } from '../config/databaseErrors.js';

/**
 * @import { Logger } from 'pino'
 * @import { Models } from '../models/index.js'
 * @import { Spool } from './spool/spool.js'
 */

/**
 * @typedef {object} InteractionServices
 * @property {Pick<Models, 'Interaction' | 'Product'>} models
 * @property {Spool} spool
 * @property {(interaction: InteractionRecord) => void} [onStored] Called after each commit, except for repetitions.
 * @property {Logger} log
 * @property {() => number} [now] Milliseconds since 1970.
 *
 * @typedef {object} InteractionRecord An interaction as the spool keeps it.
 * @property {number} userId
 * @property {number} productId
 * @property {string} actionCode
 * @property {string | null} device
 * @property {string} eventId
 * @property {string} timestamp ISO 8601.
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
const DRAIN_MS = { first: 250, most: 5000 }; // between attempts to empty the spool, doubled each time
const CLOSING_MS = 1000;
const EARLIEST_MS = 30 * 86_400_000; // older timestamps are moved to this age

/** The shop does not have the product. */
export class UnknownProduct extends Error {
  name = 'UnknownProduct';
}

/** The event id belongs to another interaction already. */
export class EventConflict extends Error {
  name = 'EventConflict';
}

/**
 * Create the service that stores interactions, once for each event id. An interaction is acknowledged when it is in the database or, while
 * the database is unavailable, on the disk.
 *
 * @param {InteractionServices} services
 */
export function createInteractionService(services) {
  return new InteractionService(services);
}

export class InteractionService {
  #models;
  /** @type {Spool} */
  #spool;
  #onStored;
  #log;
  #now;
  #pause;
  /** @type {NodeJS.Timeout | null} */
  #timer = null;
  #drainWaitMs = DRAIN_MS.first;
  #isStarted = false;
  #isClosed = false;

  /** @param {InteractionServices} services */
  constructor({ models, spool, onStored = () => {}, log, now = Date.now }) {
    this.#models = models;
    this.#spool = spool;
    this.#onStored = onStored;
    this.#log = log;
    this.#now = now;
    this.#pause = new Pause(PAUSE_MS, { now });
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
   * @param {number} interaction.userId
   * @param {number} interaction.productId
   * @param {string} interaction.actionCode
   * @param {string | null} [interaction.device]
   * @param {string} [interaction.eventId] Set by the sender. Without it, an interaction that is sent twice counts twice.
   * @param {Date} [interaction.timestamp] By default now. A time in the future becomes now, an older one than 30 days becomes 30 days ago.
   * @returns {Promise<Receipt>}
   * @throws {UnknownProduct}
   * @throws {EventConflict}
   * @throws {SpoolFailed} Neither the database nor the disk could store it.
   */
  async record({ userId, productId, actionCode, device = null, eventId = randomUUID(), timestamp }) {
    const { moment, clamped } = this.#clamp(timestamp);
    const record = { userId, productId, actionCode, device, eventId, timestamp: moment.toISOString() };
    const waiting = this.#spool.get(eventId);
    const outcome = waiting === undefined ? await this.#store(record) : await this.#spoolRecord(record);
    return { eventId, stored: outcome === 'stored', duplicate: outcome.startsWith('duplicate'), spooled: outcome.endsWith('spooled'), clamped };
  }

  /** Store the records of the spool in their order, until the database fails. */
  drain() {
    return this.#spool.drain((record) => this.#storeLate(record));
  }

  stats() {
    return this.#spool.stats();
  }

  /** Try once more to store the records of the spool, if `start` was called. Those that remain stay on the disk for the next start. */
  async close() {
    this.#isClosed = true;
    clearTimeout(this.#timer ?? undefined);
    if (!this.#isStarted) {
      await this.#spool.close();
      return;
    }
    const failure = await withinMs(CLOSING_MS, this.drain()).then(() => null, (error) => error);
    await this.#spool.close().finally(() => {
      if (failure !== null) this.#log.warn({ reason: failure.message, ...this.stats() }, 'interactions stay in the spool'); // with the counts after closing
    });
  }

  async #store(record) {
    if (this.#pause.isOn) return this.#spoolRecord(record);
    try {
      return await withinMs(STORE_MS, this.#storeInDatabase(record));
    } catch (error) {
      if (error instanceof UnknownProduct || error instanceof EventConflict || isRowsFault(error)) throw error;
      if (!isOfDatabase(error) && !(error instanceof TooLate)) throw error;
      this.#pause.begin();
      this.#log.warn({ reason: error.message }, 'an interaction goes to the spool');
      return this.#spoolRecord(record);
    }
  }

  async #storeInDatabase(record) {
    const product = await this.#models.Product.findByPk(record.productId, { attributes: ['id'], raw: true });
    if (product === null) throw new UnknownProduct(`\`productId\` should be a product of the shop. Received: ${record.productId}.`);
    return this.#insert(record);
  }

  async #insert(record) {
    const row = { ...record, device_type: record.device, timestamp: new Date(record.timestamp) };
    try {
      await this.#retryAfterDeadlock(() => this.#models.Interaction.create(row));
    } catch (error) {
      if (!isDuplicate(error)) throw error;
      checkSame(await this.#models.Interaction.findOne({ where: { eventId: record.eventId }, raw: true }), record);
      return 'duplicate';
    }
    this.#notify(record);
    return 'stored';
  }

  async #retryAfterDeadlock(work) {
    try {
      return await work();
    } catch (error) {
      if (!isDeadlock(error)) throw error;
      return work();
    }
  }

  async #spoolRecord(record) {
    const spooled = await this.#spool.append(record.eventId, record);
    checkSame(spooled, record);
    this.#drainSoon();
    return spooled === record ? 'spooled' : 'duplicate spooled';
  }

  /** Store an acknowledged record, even of an unknown product. It is rejected only if the database can never store it. */
  async #storeLate(record) {
    try {
      return await withinMs(STORE_MS, this.#insert(record));
    } catch (error) {
      if (!(error instanceof EventConflict) && !isRowsFault(error)) throw error;
      this.#log.error({ reason: error.message, eventId: record.eventId }, 'an interaction was set aside in rejected.jsonl');
      return 'rejected';
    }
  }

  #drainSoon() {
    if (this.#timer !== null || this.#isClosed || !this.#isStarted || this.#spool.pending === 0) return;
    this.#timer = setTimeout(() => this.#drainNow(), this.#drainWaitMs);
    this.#timer.unref();
  }

  async #drainNow() {
    try {
      const counts = await this.drain();
      this.#log.info(counts, 'the spool is empty');
      this.#drainWaitMs = DRAIN_MS.first;
      this.#pause.end();
    } catch (error) {
      this.#log.warn({ reason: error.message, pending: this.#spool.pending }, 'interactions wait in the spool');
      this.#drainWaitMs = Math.min(2 * this.#drainWaitMs, DRAIN_MS.most);
    }
    this.#timer = null;
    this.#drainSoon();
  }

  /** @returns {{moment: Date, clamped: Receipt['clamped']}} */
  #clamp(timestamp) {
    const now = this.#now();
    if (timestamp === undefined) return { moment: new Date(now), clamped: null };
    if (timestamp.getTime() > now) return { moment: new Date(now), clamped: 'future' };
    if (timestamp.getTime() < now - EARLIEST_MS) return { moment: new Date(now - EARLIEST_MS), clamped: 'past' };
    return { moment: timestamp, clamped: null };
  }

  #notify(record) {
    try {
      this.#onStored(record);
    } catch (error) {
      this.#log.error({ err: error }, 'a listener failed after an interaction was stored');
    }
  }
}

/** Check that a repeated event has the same user, product and action. Its timestamp may differ. */
function checkSame(stored, { eventId, ...sent }) {
  const isSame = stored !== null && ['userId', 'productId', 'actionCode'].every((name) => String(stored[name]) === String(sent[name]));
  if (!isSame) throw new EventConflict(`\`eventId\` should be new, or sent again with the same interaction. Received: ${eventId}, with another.`);
}
