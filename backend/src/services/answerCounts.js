/** How many lists were answered, by hour, source and fallback reason: counted in memory, and added to the table `rec_answer_counts`. */
import { QueryTypes } from 'sequelize';

import { ownTable } from '../config/database.js';
import { retriedAfterDeadlock } from '../config/databaseErrors.js';

/**
 * @import { Sequelize } from 'sequelize'
 * @import { Logger } from 'pino'
 */

/**
 * @typedef {object} AnswerCount
 * @property {string} hour The beginning of the hour, in ISO 8601.
 * @property {string} source
 * @property {string | null} reason
 * @property {number} count
 */

const HOUR_MS = 3_600_000;
const FLUSH_MS = 10_000;
const KEPT_MS = 90 * 24 * HOUR_MS;
const READ_MS = 7 * 24 * HOUR_MS;
const MOST_WAITING = 1000; // different counts in memory while the database is away: those of some days
const DELETED = 500; // rows at once; a week has about a thousand
const LONGEST_NAME = 50; // characters of the columns

/** Counts answers. A database that is away delays its counts; after a crash, those of the last seconds are missing. */
export class AnswerCounts {
  #parts;
  /** @type {Map<string, {hour: string, source: string, reason: string, count: number}>} by hour, source and reason; the oldest first */
  #waiting = new Map();
  /** @type {Promise<void> | null} */
  #flushing = null;
  /** @type {NodeJS.Timeout | undefined} */
  #timer;
  #cleanedAt = -Infinity;
  #isFailing = false;

  /** @param {{sequelize: Sequelize, log: Pick<Logger, 'warn'>, clock?: {now: () => number}}} parts `clock`: milliseconds since 1970. */
  constructor({ clock = Date, ...parts }) {
    this.#parts = { ...parts, clock };
  }

  /**
   * Count an answer.
   *
   * @param {{source: string, fallbackReason: string | null}} answer
   */
  add({ source, fallbackReason }) {
    const row = { hour: hourText(this.#parts.clock.now()), source: nameOf(source), reason: nameOf(fallbackReason ?? ''), count: 1 };
    const key = JSON.stringify([row.hour, row.source, row.reason]);
    const known = this.#waiting.get(key);
    if (known === undefined) this.#waiting.set(key, row);
    else known.count += 1;
    if (this.#waiting.size > MOST_WAITING) this.#waiting.delete(/** @type {string} */ (this.#waiting.keys().next().value));
  }

  /** The number of different counts in memory. */
  get nWaiting() {
    return this.#waiting.size;
  }

  /** Store the counts every few seconds, and delete old ones. */
  start() {
    this.#timer = setInterval(() => void this.flush(), FLUSH_MS);
    this.#timer.unref();
  }

  /** Store the counts for the last time. */
  async close() {
    clearInterval(this.#timer);
    await this.#flushing; // what was counted after its beginning is still in memory
    await this.flush();
  }

  /** Add the counts in memory to the table. If the database fails, they stay in memory. */
  flush() {
    this.#flushing ??= this.#flush().finally(() => {
      this.#flushing = null;
    });
    return this.#flushing;
  }

  /**
   * Store the counts in memory, and return all of the last 7 days.
   *
   * @returns {Promise<AnswerCount[]>}
   * @throws {Error} The database failed.
   */
  async lastDays() {
    await this.flush();
    const since = hourText(this.#parts.clock.now() - READ_MS);
    const sql = `SELECT ${this.#hourAsText} AS hour, source, reason, count FROM ${this.#table} WHERE hour >= $since ORDER BY hour`;
    const rows = /** @type {any[]} */ (await this.#parts.sequelize.query(sql, { bind: { since }, type: QueryTypes.SELECT }));
    return rows.map(({ hour, source, reason, count }) => ({ hour: isoOf(hour), source, reason: reason || null, count: Number(count) }));
  }

  async #flush() {
    try {
      for (const [key, row] of [...this.#waiting]) {
        const { count } = row;
        await this.#store({ ...row, count });
        row.count -= count; // it may have grown meanwhile
        if (row.count === 0) this.#waiting.delete(key);
      }
      await this.#clean();
      this.#isFailing = false;
    } catch (error) {
      if (!this.#isFailing) this.#parts.log.warn({ err: error }, 'answers are counted in memory only: the database did not take the counts');
      this.#isFailing = true;
    }
  }

  async #store(row) {
    const sum = this.#isSqlite ? 'ON CONFLICT (hour, source, reason) DO UPDATE SET count = count + $count' : 'ON DUPLICATE KEY UPDATE count = count + $count';
    const sql = `INSERT INTO ${this.#table} (hour, source, reason, count) VALUES ($hour, $source, $reason, $count) ${sum}`;
    await retriedAfterDeadlock(() => this.#parts.sequelize.query(sql, { bind: row, type: QueryTypes.INSERT }));
  }

  /** Delete some of the counts that are too old, once an hour. */
  async #clean() {
    const now = this.#parts.clock.now();
    if (now - this.#cleanedAt < HOUR_MS) return;
    const oldest = `FROM ${this.#table} WHERE hour < $before ORDER BY hour LIMIT ${DELETED}`;
    const sql = this.#isSqlite ? `DELETE FROM ${this.#table} WHERE (hour, source, reason) IN (SELECT hour, source, reason ${oldest})` : `DELETE ${oldest}`;
    await this.#parts.sequelize.query(sql, { bind: { before: hourText(now - KEPT_MS) }, type: QueryTypes.DELETE });
    this.#cleanedAt = now;
  }

  get #isSqlite() {
    return this.#parts.sequelize.getDialect() === 'sqlite';
  }

  get #table() {
    return ownTable(this.#parts.sequelize, 'rec_answer_counts');
  }

  get #hourAsText() {
    return this.#isSqlite ? 'hour' : "DATE_FORMAT(hour, '%Y-%m-%d %H:%i:%s')";
  }
}

function nameOf(text) {
  return Buffer.from(text.slice(0, LONGEST_NAME)).toString(); // half a character would be refused, and becomes another one
}

/** Return the hour of a moment as the table stores it, in UTC. */
function hourText(ms) {
  return `${new Date(ms).toISOString().slice(0, 13).replace('T', ' ')}:00:00`;
}

function isoOf(hour) {
  return `${hour.replace(' ', 'T')}.000Z`;
}
