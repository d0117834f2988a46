/**
 * The ids of answers, and what lists have shown and what of it was clicked: `rec_user_interactions` and `rec_analytics`, from which the
 * report counts. Impressions and clicks come back with the id of an answer, built as the service does.
 */
import { createHash, randomUUID } from 'node:crypto';

import { LRUCache } from 'lru-cache';
import { QueryTypes } from 'sequelize';

import { ownTable } from '../../config/database.js';
import { isDuplicate, isMissingTable, retriedAfterDeadlock } from '../../config/databaseErrors.js';
import { NAMES, NO_LISTS } from '../../config/experiment.js';

/**
 * @import { Logger } from 'pino'
 * @import { Sequelize, Transaction } from 'sequelize'
 * @import { Models } from '../../models/index.js'
 * @import { InteractionRecord } from '../interactionService.js'
 * @import { Arms } from './arms.js'
 */

/**
 * @typedef {{userId?: number, guestId?: string}} Owner
 */

/** The condition of rows of guests: their ids begin with guest_, and the index knows where that is. */
export const OF_GUESTS = "user_id > 'guest_' AND user_id < 'guest`'";
const LIST_EVENTS = new Set(['impression', 'click']);
/** What is counted of each answer, by the names of the service. @type {Map<string, string>} */
const COUNTED = new Map([['impression', 'impression'], ['click', 'click'], ['cart', 'add_to_cart'], ['purchase', 'purchase']]);
const VISIT = 'visit'; // a customer was in a visit: by it the report finds who has seen both arms
const VISITS = { max: 100_000, ttl: 86_400_000 };
const FALLBACK = 'fallback';
const OTHER = 'other';
const ALGORITHMS = new Set(NAMES.algorithms);
const DIGITS = 32; // of an interaction's id
const { INSERT, UPDATE } = QueryTypes;

/** Whether an event says what a list has shown, or what of it was clicked. @param {{actionCode?: string}} record */
export function isListEvent({ actionCode }) {
  return LIST_EVENTS.has(actionCode ?? '');
}

/** Return the id of a visitor as `rec_user_interactions` has it. @param {Owner} owner */
export function trackedId({ userId, guestId }) {
  return guestId === undefined ? String(userId) : `guest_${guestId}`; // no guest can have the id of a customer
}

/** Stores list events once, with their counts. */
export class ListEvents {
  #parts;
  /** @type {LRUCache<string, true>} Visitors and visits whose beginning is stored. */
  #visits = new LRUCache(VISITS);

  /** @param {{sequelize: Sequelize, models: Pick<Models, 'ListEvent'>, arms: Pick<Arms, 'isRunning'>, log: Pick<Logger, 'warn'>, now?: () => number}} parts */
  constructor({ now = Date.now, ...parts }) {
    this.#parts = { ...parts, now };
  }

  /**
   * Store an impression of one or more products, or a click. One that comes again after a login is the customer's from then on.
   *
   * @param {InteractionRecord} record
   * @returns {Promise<'stored' | 'duplicate'>} `duplicate`: it was stored before, and nothing is counted twice.
   */
  async store(record) {
    const rows = rowsOf(record);
    const { sequelize, models } = this.#parts;
    const write = (transaction) => models.ListEvent.bulkCreate(rows, { transaction }).then(() => this.#count(rows, transaction));
    try {
      await retriedAfterDeadlock(() => sequelize.transaction(write));
      return 'stored';
    } catch (error) {
      if (!isDuplicate(error)) throw error;
      await this.#takeFromGuest(rows);
      return 'duplicate';
    }
  }

  /**
   * Store an event of another kind, and count it for the answer that it names, both or neither.
   *
   * @param {InteractionRecord} record
   * @param {(transaction?: Transaction) => Promise<unknown>} create
   */
  async counted(record, create) {
    const action = COUNTED.get(record.actionCode);
    if (record.recommendation_id === undefined || action === undefined) return create();
    const [row] = rowsOf(record);
    const both = (transaction) => create(transaction).then(() => this.#count([{ ...row, interaction_type: action }], transaction));
    try {
      return await this.#parts.sequelize.transaction(both);
    } catch (error) {
      if (!isMissingTable(error)) throw error;
      return create(); // what a visitor did is kept, counted or not
    }
  }

  /**
   * Note that a visitor was in a visit, once. What lists have shown in it to somebody unknown becomes the visitor's. It never rejects.
   *
   * @param {Owner} owner
   * @param {string} session The visit's random id.
   * @param {string} guestId The guest whom the visit began with.
   */
  async visited(owner, session, guestId) {
    const user = trackedId(owner);
    const key = `${user} ${session}`;
    if (this.#visits.has(key)) return;
    this.#visits.set(key, true);
    try {
      if (owner.guestId !== guestId) await this.#move(guestId, user);
      if (owner.userId !== undefined && this.#parts.arms.isRunning) await this.#insertVisit(user, session);
    } catch (error) {
      this.#visits.delete(key);
      this.#parts.log.warn({ reason: error.message }, 'a visit could not be noted');
    }
  }

  /**
   * Give what lists have shown to a guest to a customer.
   *
   * @param {string} guestId
   * @param {number} userId
   */
  async join(guestId, userId) {
    try {
      await this.#move(guestId, trackedId({ userId }));
    } catch (error) {
      if (!isMissingTable(error)) throw error;
    }
  }

  #move(guestId, user) {
    return this.#give(user, 'user_id = $guest', { guest: trackedId({ guestId }) });
  }

  /** Give rows that a guest has sent to who sends them again: the answer to the guest, with the cookie, did not arrive. */
  #takeFromGuest(rows) {
    const ids = rows.map(({ interaction_id: id }, n) => [`id${n}`, id]);
    const places = ids.map(([name]) => `$${name}`).join(', ');
    return this.#give(rows[0].user_id, `interaction_id IN (${places}) AND ${OF_GUESTS}`, Object.fromEntries(ids));
  }

  #give(user, condition, bind) {
    const sql = `UPDATE ${ownTable(this.#parts.sequelize, 'rec_user_interactions')} SET user_id = $user WHERE ${condition}`;
    return retriedAfterDeadlock(() => this.#parts.sequelize.query(sql, { bind: { user, ...bind }, type: UPDATE }));
  }

  async #insertVisit(user, session) {
    const occurred = Math.floor(this.#parts.now() / 1000);
    const row = { interaction_id: interactionId(user, `${VISIT} ${session}`), user_id: user, session_id: session, interaction_type: VISIT, occurred_at: occurred, pending: 0 };
    try {
      await this.#parts.models.ListEvent.create(row);
    } catch (error) {
      if (!isDuplicate(error)) throw error;
    }
  }

  /** Add to `rec_analytics`, row by row in one order, so that no two writers wait for each other. */
  async #count(rows, transaction) {
    const { sequelize } = this.#parts;
    const values = rows.map((_, n) => `($day${n}, $algorithm${n}, $position${n}, $action${n}, 1)`).join(', ');
    const sum = sequelize.getDialect() === 'sqlite' ? 'ON CONFLICT (day, algorithm, position, action) DO UPDATE SET' : 'ON DUPLICATE KEY UPDATE';
    const sql = `INSERT INTO ${ownTable(sequelize, 'rec_analytics')} (day, algorithm, position, action, count) VALUES ${values} ${sum} count = count + 1`;
    const counts = rows.map(countOf).sort((one, other) => one.position - other.position);
    const bind = Object.fromEntries(counts.flatMap((count, n) => Object.entries(count).map(([name, value]) => [`${name}${n}`, value])));
    await sequelize.query(sql, { bind, type: INSERT, transaction });
  }
}

/**
 * Return the rows of an event: one for each product, once.
 *
 * @param {InteractionRecord} record
 */
function rowsOf(record) {
  const { actionCode, productId, position, shown, eventId, session_id: session, recommendation_id: recommendationId, timestamp } = record;
  const common = {
    user_id: trackedId(record),
    session_id: session ?? null,
    interaction_type: actionCode,
    event_id: eventId,
    recommendation_id: recommendationId ?? null,
    occurred_at: Math.floor(Date.parse(timestamp) / 1000),
    pending: 0,
  };
  const places = shown === undefined ? new Map([[productId, position]]) : new Map(shown.map((one) => [one.productId, one.position]));
  return [...places].map(([product, place]) => ({
    ...common,
    interaction_id: listEventId(record, String(product)),
    product_id: String(product),
    position: place ?? null,
  }));
}

function countOf({ occurred_at: second, recommendation_id: id, position, interaction_type: action }) {
  return { day: new Date(second * 1000).toISOString().slice(0, 10), algorithm: algorithmOf(id), position: position ?? 0, action };
}

/**
 * Return the id of one answer.
 *
 * @param {string} algorithm What ranked it; one that is not known counts as `other`.
 */
export function newRecommendationId(algorithm) {
  return `rec_${known(algorithm)}_${randomUUID().replaceAll('-', '')}`;
}

/** Return the algorithm that an id names; `other` where it names none that is known. */
export function algorithmOf(recommendationId) {
  const [, name = ''] = /^rec_(?:(.*)_)?[^_]*$/s.exec(recommendationId) ?? [];
  return known(name);
}

/**
 * Return what ranked an answer.
 *
 * @param {{data: {modelName: string}[], source: string, fallbackReason: string | null}} list
 */
export function algorithmOfList({ data, source, fallbackReason }) {
  if (source === NO_LISTS) return NO_LISTS;
  return fallbackReason === null ? (data[0]?.modelName ?? OTHER) : FALLBACK;
}

/**
 * Return the id of an event: of user and event id together, so that nobody can take another user's event ids.
 *
 * @param {string} userId
 * @param {string} eventId
 */
export function interactionId(userId, eventId) {
  return hashedId(`${Buffer.byteLength(userId)}:${userId}${eventId}`);
}

/**
 * Return the id of an event of a list: of the answer, the kind, the product and the page's own id. A guest who sends it again after a login
 * is somebody else by then, and the event is the same. Nobody else knows the random id of an answer. The service builds the same id.
 *
 * @param {Pick<InteractionRecord, 'recommendation_id' | 'actionCode' | 'eventId'>} record
 * @param {string} product
 */
export function listEventId({ recommendation_id: answer, actionCode, eventId }, product) {
  return hashedId(JSON.stringify([answer, actionCode, product, eventId]));
}

function hashedId(text) {
  return `int_${createHash('sha256').update(text).digest('hex').slice(0, DIGITS)}`;
}

function known(algorithm) {
  const name = algorithm.toLowerCase();
  return ALGORITHMS.has(name) ? name : OTHER;
}
