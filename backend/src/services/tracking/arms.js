/** Which arm of the experiment a customer belongs to, and what `rec_user_segments` keeps of it. */
import { createHash } from 'node:crypto';

import { LRUCache } from 'lru-cache';
import { QueryTypes } from 'sequelize';

import { ownTable } from '../../config/database.js';
import { retriedAfterDeadlock } from '../../config/databaseErrors.js';
import { AUTO, NO_LISTS, definition } from '../../config/experiment.js';

/**
 * @import { Logger } from 'pino'
 * @import { Sequelize } from 'sequelize'
 * @import { Arm, Experiment } from '../../config/experiment.js'
 */

const MOST_WRITTEN = 100_000; // customers that a process remembers; others are written again, which changes nothing
const NEW_SEGMENT = 'guests'; // of customers of whom nothing is known yet
const PLACES = 2 ** 64;
const KEY_DIGITS = 12;
const OWN = 'recommend';
/** Fields that belong to some operations; others go with each. @type {Record<string, string[]>} */
const ONLY_WITH = { complementary: ['together'], repeat: [OWN, 'again'] };
/** @type {Record<string, number>} */
const REPEAT_DAYS = { allow: 0, hide: Infinity };

/** The arms of the experiment. Guests have none. */
export class Arms {
  #parts;
  /** @type {LRUCache<number, true>} */
  #written = new LRUCache({ max: MOST_WRITTEN });

  /** @param {{experiment: Experiment | null, sequelize: Sequelize, log: Pick<Logger, 'warn'>, clock?: {now: () => number}}} parts `clock`: milliseconds since 1970. */
  constructor({ clock = Date, ...parts }) {
    this.#parts = { ...parts, clock };
  }

  /** Whether there is an experiment. */
  get isRunning() {
    return this.#parts.experiment !== null;
  }

  /**
   * Return the arm of a customer; null for a guest, and for those outside of the experiment.
   *
   * @param {number | null} userId
   */
  of(userId) {
    const { experiment } = this.#parts;
    return experiment === null || userId === null ? null : armOf(experiment, userId);
  }

  /**
   * Write down, behind an answer, that a customer has had one of the experiment. A later one changes nothing. Where it fails, the next
   * answer tries again.
   *
   * @param {number | null} userId
   * @returns {Promise<void>} It never rejects.
   */
  async enter(userId) {
    const { experiment, log } = this.#parts;
    const arm = this.of(userId);
    if (experiment === null || arm === null || userId === null || this.#written.has(userId)) return;
    this.#written.set(userId, true);
    try {
      await retriedAfterDeadlock(() => this.#write(userId, definition(experiment), arm));
    } catch (error) {
      this.#written.delete(userId);
      log.warn({ reason: error.message, userId }, 'the arm of a customer could not be written');
    }
  }

  #write(userId, prefix, { name }) {
    const { sequelize, clock } = this.#parts;
    const now = Math.floor(clock.now() / 1000);
    const isSqlite = sequelize.getDialect() === 'sqlite';
    const kept = `CASE WHEN SUBSTR(arm, 1, ${prefix.length}) = $prefix THEN arm ELSE $arm END`;
    const sql = `INSERT INTO ${ownTable(sequelize, 'rec_user_segments')} (user_id, segment, arm, assigned_at) VALUES ($user, $segment, $arm, $now)
                 ${isSqlite ? 'ON CONFLICT (user_id) DO UPDATE SET' : 'ON DUPLICATE KEY UPDATE'} arm = ${kept}`;
    const bind = { user: String(userId), segment: NEW_SEGMENT, arm: `${prefix}${name}:${now}`, prefix, now };
    return sequelize.query(sql, { bind, type: QueryTypes.INSERT });
  }
}

/**
 * Return the arm of a customer, the same as in Python and on every machine; null outside of both shares.
 *
 * @param {Experiment} experiment
 * @param {number | string} userId
 * @returns {Arm | null}
 */
export function armOf({ name, arms }, userId) {
  const digest = createHash('sha256').update(`${name}\0${userId}`).digest();
  let place = Number(digest.readBigUInt64BE()) / PLACES; // 0 to 1
  for (const arm of arms) {
    if (place < arm.share) return arm;
    place -= arm.share;
  }
  return null;
}

/**
 * Return the fields of a request that an arm sets. Its model ranks the customer's own list alone, by the operation `recommend`.
 *
 * @param {Arm | null} arm
 * @param {string} [op]
 * @returns {Record<string, any>}
 */
export function requestOf(arm, op = OWN) {
  if (arm === null) return {};
  const further = Object.entries(arm.request).filter(([key]) => (ONLY_WITH[key] ?? [op]).includes(op));
  return { ...(op === OWN && arm.model !== AUTO && { model: arm.model }), ...Object.fromEntries(further) };
}

/**
 * Return the rules by which lists of an arm's customers hide what they have bought.
 *
 * @template {{repeatAfterDays: number}} R
 * @param {R} rules
 * @param {Arm | null} arm
 * @returns {R}
 */
export function rulesOf(rules, arm) {
  const days = REPEAT_DAYS[String(arm?.request.repeat)];
  return days === undefined ? rules : { ...rules, repeatAfterDays: days };
}

/** Return a text that is the same for arms with the same requests, and empty where these are as without an experiment. @param {Arm | null} arm */
export function armKey(arm) {
  const request = requestOf(arm);
  if (Object.keys(request).length === 0) return '';
  return createHash('sha256').update(JSON.stringify(request)).digest('hex').slice(0, KEY_DIGITS);
}

/** Whether an arm has no recommendations at all. @param {Arm | null} arm */
export function hasNoLists(arm) {
  return arm?.model === NO_LISTS;
}
