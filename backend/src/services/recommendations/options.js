/** The options of a request: its limit, deadline, context and rules, by its customer's arm, and what is hidden from its visitor. */
import { systemClock, withinMs } from '../../concurrency/time.js';
import { rulesOf } from '../tracking/arms.js';
import { rulesOfBought } from './again.js';
import { deriveContext } from './context.js';
import { DatabaseUnavailable } from './databaseGuard.js';
import { hiddenFromGuest } from './guests.js';
import { DEFAULT_RULES } from './snapshot.js';

/**
 * @import { Arm } from '../../config/experiment.js'
 * @import { Settings } from '../../config/settings.js'
 * @import { GuestEvent, GuestEvents } from '../guestEvents.js'
 * @import { Arms } from '../tracking/arms.js'
 * @import { Context } from './context.js'
 * @import { DatabaseGuard } from './databaseGuard.js'
 * @import { FallbackOptions } from './fallback.js'
 * @import { Snapshot } from './snapshot.js'
 */

/**
 * @typedef {FallbackOptions & {context: Context, inTime: <T>(promise: Promise<T>) => Promise<T>, failure?: DatabaseUnavailable, isOfBought: boolean, arm: Arm | null}} Options Of one request. `isOfBought`: the list is of what was bought, and may be empty.
 *
 * @typedef {object} Parts What options are made of.
 * @property {Snapshot} snapshot
 * @property {Pick<Settings, 'timeZone'> & {python: {timeoutMs: number}}} settings
 * @property {DatabaseGuard} guard
 * @property {Pick<GuestEvents, 'newest'>} [guests]
 * @property {(owner: {userId?: number, guestId?: string}) => {productId: number, actionCode: string}[]} [choicesOf] What a visitor did just now.
 * @property {Pick<Arms, 'of'>} [arms] The arms of an experiment.
 * @property {{now: () => number}} clock Milliseconds since 1970.
 */

const LIMITS = { least: 1, usual: 10, most: 100 };
const FALLBACK_MS = 100; // for the fallback chain, after an answer's time is up

/** Makes the options of requests, each with the version and rules at its start. */
export class RequestOptions {
  #parts;

  /** @param {Parts} parts */
  constructor(parts) {
    this.#parts = parts;
  }

  /** Return the options of a user's request, by their arm, and without what the user has just put into the cart or bought. */
  async ofUser(userId, request) {
    const arm = this.#parts.arms?.of(userId) ?? null;
    const options = await this.#ofAnybody(request);
    const limit = Math.min(options.limit, arm?.limit ?? options.limit);
    const rules = request.isOfBought && arm?.request.repeat === 'hide' ? options.rules : rulesOf(options.rules, arm); // else nothing were left
    return { ...options, arm, limit, rules, exclude: this.chosen({ userId }, rules) };
  }

  /**
   * Return the options of a guest's request: with the guest's history, and without what the guest must not be shown.
   *
   * @returns {Promise<Options & {guest: {key: string, events: GuestEvent[]}}>} `failure`: why the history is not known.
   */
  async ofGuest(guestId, request) {
    const options = await this.#ofAnybody(request);
    const chosen = guestId === null ? [] : this.chosen({ guestId }, options.rules);
    const nobody = { ...options, exclude: chosen, guest: { key: 'nobody', events: [] } };
    const { guests, guard, clock } = this.#parts;
    if (guestId === null || guests === undefined) return nobody;
    try {
      const events = await guard.run(options.timeLeft(), () => guests.newest(guestId));
      if (events.length === 0) return nobody;
      const key = `guest ${guestId}:${Math.max(...events.map(({ id }) => id))}`;
      const exclude = [...new Set([...chosen, ...hiddenFromGuest(events, options.rules, clock.now())])];
      return { ...options, exclude, guest: { key, events } };
    } catch (error) {
      if (!(error instanceof DatabaseUnavailable)) throw error;
      return { ...nobody, failure: error };
    }
  }

  /** Return the products that a visitor's latest choices hide, even where the tables do not have these yet. */
  chosen(owner, { repeatAfterDays }) {
    const hides = ({ actionCode }) => actionCode === 'cart' || (actionCode === 'purchase' && repeatAfterDays > 0);
    return this.#parts.choicesOf?.(owner).filter(hides).map(({ productId }) => productId) ?? [];
  }

  /**
   * Return the options of a request, whoever sends it.
   *
   * @param {{limit?: number, device?: string | null, budgetMs?: number, isOfBought?: boolean}} request
   * @returns {Promise<Options>}
   */
  async #ofAnybody({ limit = LIMITS.usual, device = null, budgetMs = this.#parts.settings.python.timeoutMs, isOfBought = false }) {
    if (!Number.isInteger(limit)) throw new TypeError(`\`limit\` should be a whole number. Received: ${limit}.`);
    const { snapshot, settings, clock } = this.#parts;
    const until = systemClock.now() + budgetMs;
    const published = await snapshot.current();
    const known = published?.rules ?? DEFAULT_RULES;
    const rules = isOfBought ? rulesOfBought(known) : known;
    const budgetLeft = () => Math.max(0, until - systemClock.now());
    return {
      limit: Math.min(LIMITS.most, Math.max(LIMITS.least, limit)),
      context: deriveContext({ device, now: clock.now(), timeZone: rules.timeZone ?? settings.timeZone }),
      published,
      rules,
      exclude: [],
      like: null,
      isOfBought,
      arm: null,
      inTime: (promise) => withinMs(budgetLeft(), promise),
      timeLeft: () => Math.max(FALLBACK_MS, budgetLeft()), // for the database: after the deadline the fallback still queries it
    };
  }
}
