import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import { SingleFlight } from '../../concurrency/singleFlight.js';
import { TooLate } from '../../concurrency/withinMs.js';
import { systemClock } from '../../concurrency/clock.js';
import { DatabaseAway } from './fallbackReasons.js';
import { contextText } from './freshness.js';

const SIZES = [30, 60, 100]; // of stored lists: few, so that those who wish for more or less share one
const SPARE = 10; // items kept beyond those asked for, because some are sold out by the time they are shown
const POLL_MS = { least: 5, most: 40 }; // between two looks at a list that another process is making
const BEHIND = 4; // lists made behind stale answers at once; they must not crowd out those that somebody waits for
const FLIGHTS = ['list', 'new', 'behind'];

/** Return how many items are asked of Python, and stored, for somebody who wishes for so many. */
export function sizeFor(limit) {
  return SIZES.find((size) => size >= limit + SPARE) ?? SIZES.at(-1);
}

/**
 * Makes lists: one attempt for all who want the same customer's at the same time, in this process and in the others.
 *
 * What is made is `{answer, products}`, a model's answer and those of its products that may be shown; or `{held}`, the rows of a list that
 * another process has just stored.
 */
export class ListMaker {
  #asker;
  #catalogue;
  #lists;
  #guard;
  #log;
  #timeoutMs;
  #storeMs;
  #flights = new SingleFlight();
  #behind = new Map(); // by the flight's key: one customer has one place, however many ask
  #isClosed = false;

  constructor({ asker, catalogue, lists, guard, log, timeoutMs, storeMs }) {
    this.#asker = asker;
    this.#catalogue = catalogue;
    this.#lists = lists;
    this.#guard = guard;
    this.#log = log;
    this.#timeoutMs = timeoutMs;
    this.#storeMs = storeMs;
  }

  /**
   * Return a list in place of one that was found wanting.
   *
   * @param {number} userId
   * @param {object} wish
   * @param {object[]} held What was found.
   */
  obtain(userId, wish, held) {
    return this.#flights.run(keyOf('list', userId, wish), () => this.#makeOrAwait(userId, wish, held));
  }

  /** Return a new list, whatever is stored and whoever is making one. */
  anew(userId, wish) {
    return this.#flights.run(keyOf('new', userId, wish), () => this.#make(userId, wish, undefined));
  }

  /** Make a new list while the old one is shown; not too many at once, and none while Python is left alone. */
  behind(userId, wish, held) {
    const key = keyOf('behind', userId, wish);
    if (this.#isClosed || this.#behind.has(key) || this.#behind.size >= BEHIND || this.#asker.isPaused) return;
    const renewal = this.#flights.run(key, () => this.#make(userId, wish, held[0].computedAt));
    const settled = renewal
      .then(
        () => {},
        (error) => this.#log.warn({ err: error, userId }, 'a stale list could not be renewed'),
      )
      .then(() => this.#behind.delete(key));
    this.#behind.set(key, settled);
  }

  /** Let nobody wait for what is being made: it has been overtaken. */
  forget(userId) {
    for (const kind of FLIGHTS) for (const size of SIZES) this.#flights.forget(`${kind}:${userId}:${size}`);
  }

  /** Wait for the lists that are being made behind answers. */
  async close() {
    this.#isClosed = true;
    await Promise.all(this.#behind.values());
  }

  async #makeOrAwait(userId, wish, held) {
    const seen = held[0]?.computedAt ?? null;
    const until = systemClock.now() + this.#timeoutMs;
    let rows = held;
    for (let waitMs = POLL_MS.least; ; waitMs = Math.min(2 * waitMs, POLL_MS.most)) {
      if (isNewer(rows, seen, wish)) return { held: rows };
      if (rows.length === 0 || !this.#lists.isLeased(rows[0])) {
        const made = await this.#make(userId, wish, rows[0]?.computedAt ?? null);
        if (made !== null) return made;
      }
      if (systemClock.now() + waitMs > until) throw new TooLate('Another process should make the list in time. Received: none yet.');
      await sleep(waitMs);
      rows = await this.#guard.run(this.#storeMs, () => this.#catalogue.cachedList(userId, wish.rules, sizeFor(wish.limit)));
    }
  }

  /**
   * Ask Python for a list and store it, if the right to do so is given.
   *
   * @param {number | null | undefined} seen See `Lists.acquire`.
   * @returns {Promise<object | null>} Null if somebody else is at it, or has just done it.
   */
  async #make(userId, wish, seen) {
    this.#asker.checkPause();
    const token = randomUUID();
    if (!(await this.#guard.run(this.#storeMs, () => this.#lists.acquire(userId, token, seen)))) return null;
    const answer = await this.#answer(userId, wish, token);
    const list = { answer, asked: sizeFor(wish.limit), context: contextText(wish.context) };
    const [products] = await Promise.all([
      this.#guard.run(this.#storeMs, () => this.#catalogue.sellable(userId, idsOf(answer), wish.rules)),
      this.#storeOrRelease(userId, token, list),
    ]);
    return { answer, products };
  }

  async #answer(userId, { limit, context }, token) {
    try {
      return await this.#asker.ask({ user_id: userId, limit: sizeFor(limit), context });
    } catch (error) {
      await this.#release(userId, token);
      throw error;
    }
  }

  /** Store a list; where that fails, whoever wants it next should not wait for the lease's end. */
  async #storeOrRelease(userId, token, list) {
    const isDone = await this.#quietly(() => this.#lists.store(userId, token, list), 'a list could not be stored');
    if (!isDone) await this.#release(userId, token);
  }

  #release(userId, token) {
    return this.#quietly(() => this.#lists.release(userId, token), 'a lease could not be given back');
  }

  /** Do what the answer does not depend on. Returns whether the database did it. */
  async #quietly(work, complaint) {
    try {
      await this.#guard.run(this.#storeMs, work);
      return true;
    } catch (error) {
      if (!(error instanceof DatabaseAway)) throw error;
      this.#log.warn({ err: error }, complaint);
      return false;
    }
  }
}

/** Return the ids of an answer's items that can be products of this shop. */
export function idsOf({ items }) {
  return items.map(({ productId }) => productId).filter(Number.isSafeInteger);
}

/** Whether rows are a list that has been stored since another one was seen, and is long enough. */
function isNewer([header], seen, { limit }) {
  return header !== undefined && header.productId !== null && header.computedAt > (seen ?? 0) && header.asked >= limit;
}

function keyOf(kind, userId, { limit }) {
  return `${kind}:${userId}:${sizeFor(limit)}`;
}
