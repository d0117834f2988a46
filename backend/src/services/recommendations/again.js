/** Buy again without Python: what somebody bought most often. */
import { DatabaseUnavailable } from './databaseGuard.js';
import { itemOf } from './fallback.js';
import { storedEvents } from './guests.js';
import { standingPurchases } from './hidden.js';

/**
 * @import { Id } from '../pythonInvoker.js'
 * @import { Catalogue } from './catalogue.js'
 * @import { DatabaseGuard } from './databaseGuard.js'
 * @import { FallbackItem } from './fallback.js'
 * @import { StoredEvent } from './hidden.js'
 * @import { Rules } from './snapshot.js'
 */

const OCCASION_MS = 43_200_000; // as in Python: purchases that follow within half a day are one
const OFTEN = 2; // occasions
const MOST = 100; // products whose rows are read

/** What takes the place of Python's list of products to buy again. */
export class OftenBought {
  #parts;

  /** @param {{catalogue: Catalogue, guard: DatabaseGuard, clock: {now: () => number}}} parts `clock`: milliseconds since 1970. */
  constructor(parts) {
    this.#parts = parts;
  }

  /**
   * Return what somebody bought most often and may be shown; nothing without the database.
   *
   * @param {number | null} userId
   * @param {{limit: number, exclude: Id[], rules: Rules, timeLeft: () => number, guest?: {events: any[]}}} options `guest`: a guest's history
   *     instead of a user's.
   * @returns {Promise<{data: FallbackItem[], modelVersion: null}>}
   */
  async items(userId, { limit, exclude, rules, timeLeft, guest }) {
    const { catalogue, guard, clock } = this.#parts;
    try {
      const stored = userId === null ? storedEvents(guest?.events ?? []) : await guard.run(timeLeft(), () => catalogue.purchases(userId, rules));
      const ids = boughtOften(stored, rules, clock.now()).filter((id) => !exclude.includes(id)).slice(0, MOST);
      const products = await guard.run(timeLeft(), () => catalogue.eligible(userId, ids, rules));
      const sold = ids.map((id) => products.get(id)).filter((product) => product !== undefined);
      return { data: sold.slice(0, limit).map((product) => itemOf('bought_often', product, 'again')), modelVersion: null };
    } catch (error) {
      if (!(error instanceof DatabaseUnavailable)) throw error;
      return { data: [], modelVersion: null };
    }
  }
}

/**
 * Return the rules for lists of what was bought: "for ever" hides nothing of it, a number of days does.
 *
 * @param {Rules} rules
 * @returns {Rules}
 */
export function rulesOfBought(rules) {
  return { ...rules, repeatAfterDays: Number.isFinite(rules.repeatAfterDays) ? rules.repeatAfterDays : 0 };
}

/**
 * Return the products that somebody bought at least twice, the most often bought first. One of the last half day is not needed yet.
 *
 * @param {StoredEvent[]} events Of one person, in any order.
 * @param {Rules} rules
 * @param {number} now Milliseconds since 1970.
 * @returns {number[]}
 */
export function boughtOften(events, rules, now) {
  return [...standingPurchases(events, rules, now)]
    .map(([id, seconds]) => ({ id, moments: occasions(seconds), last: millisecondsOf(seconds[seconds.length - 1]) }))
    .filter(({ moments, last }) => moments.length >= OFTEN && now - last > OCCASION_MS)
    .sort((one, other) => other.moments.length - one.moments.length || other.last - one.last || one.id - other.id)
    .map(({ id }) => id);
}

/** Return the first moments of purchases that lie further apart than half a day, in milliseconds since 1970. */
function occasions(seconds) {
  const moments = seconds.map(millisecondsOf);
  return moments.filter((moment, index) => index === 0 || moment - moments[index - 1] > OCCASION_MS);
}

function millisecondsOf(second) {
  return Date.parse(`${second.replace(' ', 'T')}Z`);
}
