import { randomUUID } from 'node:crypto';

import { Pause } from '../concurrency/pause.js';
import { TooLate, withinMs } from '../concurrency/withinMs.js';
import { isDeadlock, isDuplicate, isOfDatabase, isRowsFault } from './databaseErrors.js';

const STORE_MS = 1000; // of a request's time, for the database; then it is the spool's turn
const AWAY_MS = 1000; // after the database has failed, the next ones do not wait for another failure
const DRAIN_MS = { first: 250, most: 5000 }; // between attempts to empty the spool: soon, then ever later
const CLOSING_MS = 1000;
const EARLIEST_MS = 30 * 86_400_000; // a page that was offline for longer reports nothing that still matters

/** The product is none of the shop's. */
export class UnknownProduct extends Error {
  name = 'UnknownProduct';
}

/** The event id stands for another interaction already. */
export class EventConflict extends Error {
  name = 'EventConflict';
}

/**
 * Return what stores what customers do: once for each event id, and acknowledged only when it is in the database or, while that is away, on
 * the disk.
 *
 * @param {object} services
 * @param {object} services.models `Interaction` and `Product`.
 * @param {object} services.spool What `openSpool` returned.
 * @param {(interaction: object) => void} [services.onStored] Called after each commit; a repetition is none.
 * @param {object} services.log
 * @param {() => number} [services.now] Milliseconds since 1970.
 */
export function createInteractionService(services) {
  return new InteractionService(services);
}

class InteractionService {
  #models;
  #spool;
  #onStored;
  #log;
  #now;
  #away;
  #timer = null;
  #pauseMs = DRAIN_MS.first;
  #isStarted = false;
  #isClosed = false;

  constructor({ models, spool, onStored = () => {}, log, now = Date.now }) {
    this.#models = models;
    this.#spool = spool;
    this.#onStored = onStored;
    this.#log = log;
    this.#now = now;
    this.#away = new Pause(AWAY_MS, { now });
  }

  /** Begin to store what a former process has left: not before it is certain that this one serves. */
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
   * @param {string} [interaction.eventId] The sender's own; without one, the same interaction sent twice counts twice.
   * @param {Date} [interaction.timestamp] Now, if left out; from the future it counts as now, from long ago as of 30 days ago.
   * @returns {Promise<{eventId: string, stored: boolean, duplicate: boolean, spooled: boolean, clamped: 'future' | 'past' | null}>}
   * @throws {UnknownProduct}
   * @throws {EventConflict}
   * @throws {SpoolFailed} It is nowhere: neither the database nor the disk would have it.
   */
  async record({ userId, productId, actionCode, device = null, eventId = randomUUID(), timestamp }) {
    const { moment, clamped } = this.#clamp(timestamp);
    const record = { userId, productId, actionCode, device, eventId, timestamp: moment.toISOString() };
    const waiting = this.#spool.get(eventId);
    const outcome = waiting === undefined ? await this.#store(record) : await this.#keep(record);
    return { eventId, stored: outcome === 'stored', duplicate: outcome.startsWith('duplicate'), spooled: outcome.endsWith('spooled'), clamped };
  }

  /** Store what waits in the spool, in its order, until the database refuses. */
  drain() {
    return this.#spool.drain((record) => this.#storeLate(record));
  }

  stats() {
    return this.#spool.stats();
  }

  /** Try once more to store what waits; what still does stays on the disk for the next start, and all of it where there was none. */
  async close() {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    if (!this.#isStarted) {
      await this.#spool.close();
      return;
    }
    const failure = await withinMs(CLOSING_MS, this.drain()).then(() => null, (error) => error);
    await this.#spool.close().finally(() => {
      if (failure !== null) this.#log.warn({ reason: failure.message, ...this.stats() }, 'interactions stay in the spool'); // counted at the end
    });
  }

  async #store(record) {
    if (this.#away.isOn) return this.#keep(record);
    try {
      return await withinMs(STORE_MS, this.#toDatabase(record));
    } catch (error) {
      if (error instanceof UnknownProduct || error instanceof EventConflict || isRowsFault(error)) throw error;
      if (!isOfDatabase(error) && !(error instanceof TooLate)) throw error;
      this.#away.begin();
      this.#log.warn({ reason: error.message }, 'an interaction goes to the spool');
      return this.#keep(record);
    }
  }

  async #toDatabase(record) {
    const product = await this.#models.Product.findByPk(record.productId, { attributes: ['id'], raw: true });
    if (product === null) throw new UnknownProduct(`\`productId\` should be a product of the shop. Received: ${record.productId}.`);
    return this.#insert(record);
  }

  async #insert(record) {
    const row = { ...record, device_type: record.device, timestamp: new Date(record.timestamp) };
    try {
      await this.#onceMoreAfterDeadlock(() => this.#models.Interaction.create(row));
    } catch (error) {
      if (!isDuplicate(error)) throw error;
      checkSame(await this.#models.Interaction.findOne({ where: { eventId: record.eventId }, raw: true }), record);
      return 'duplicate';
    }
    this.#tell(record);
    return 'stored';
  }

  async #onceMoreAfterDeadlock(work) {
    try {
      return await work();
    } catch (error) {
      if (!isDeadlock(error)) throw error;
      return work();
    }
  }

  async #keep(record) {
    const kept = await this.#spool.append(record.eventId, record);
    checkSame(kept, record);
    this.#drainSoon();
    return kept === record ? 'spooled' : 'duplicate spooled';
  }

  /** Product or not: what was acknowledged is stored, unless the database can never hold it. */
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
    this.#timer = setTimeout(() => this.#drainNow(), this.#pauseMs);
    this.#timer.unref();
  }

  async #drainNow() {
    try {
      const done = await this.drain();
      this.#log.info(done, 'the spool is empty');
      this.#pauseMs = DRAIN_MS.first;
      this.#away.end();
    } catch (error) {
      this.#log.warn({ reason: error.message, pending: this.#spool.pending }, 'interactions wait in the spool');
      this.#pauseMs = Math.min(2 * this.#pauseMs, DRAIN_MS.most);
    }
    this.#timer = null;
    this.#drainSoon();
  }

  #clamp(timestamp) {
    const now = this.#now();
    if (timestamp === undefined) return { moment: new Date(now), clamped: null };
    if (timestamp.getTime() > now) return { moment: new Date(now), clamped: 'future' };
    if (timestamp.getTime() < now - EARLIEST_MS) return { moment: new Date(now - EARLIEST_MS), clamped: 'past' };
    return { moment: timestamp, clamped: null };
  }

  #tell(record) {
    try {
      this.#onStored(record);
    } catch (error) {
      this.#log.error({ err: error }, 'a listener failed after an interaction was stored');
    }
  }
}

/** Of an event that is sent again, who did what is the same; when, may be the moment of sending. */
function checkSame(kept, { eventId, ...sent }) {
  const isSame = kept !== null && ['userId', 'productId', 'actionCode'].every((name) => String(kept[name]) === String(sent[name]));
  if (!isSame) throw new EventConflict(`\`eventId\` should be new, or sent again with the same interaction. Received: ${eventId}, with another.`);
}
