/** What a guest's list depends on: the request to Python, and the products that are not shown. */
import { hiddenItems } from './hidden.js';

/**
 * @import { RecommendationRequest } from '../pythonInvoker.js'
 * @import { GuestEvent } from '../guestEvents.js'
 * @import { Context } from './context.js'
 * @import { StoredEvent } from './hidden.js'
 * @import { Rules } from './snapshot.js'
 */

/**
 * Return the request for a guest's list, which Python makes by what the guest did. Events that the version does not know are left out.
 *
 * @param {GuestEvent[]} events Newest first.
 * @param {{context: Context, rules: Pick<Rules, 'eventNames'>}} options
 * @returns {RecommendationRequest}
 */
export function guestRequest(events, { context, rules: { eventNames } }) {
  const known = events.filter(({ actionCode }) => eventNames === null || eventNames.includes(actionCode));
  const interactions = known.toReversed().map(({ productId, actionCode, second }) => ({ item_id: productId, event: actionCode, timestamp: second }));
  return interactions.length > 0 ? { interactions, context } : { context };
}

/**
 * Return the ids of the products that a guest is not shown, by the rules of users.
 *
 * @param {GuestEvent[]} events In any order.
 * @param {Rules} rules
 * @param {number} now Milliseconds since 1970.
 * @returns {number[]}
 */
export function hiddenFromGuest(events, rules, now) {
  return [...hiddenItems(storedEvents(events), rules, now)];
}

/**
 * Return a guest's events as those of users are stored.
 *
 * @param {GuestEvent[]} events
 * @returns {StoredEvent[]}
 */
export function storedEvents(events) {
  const momentOf = (second) => new Date(second * 1000).toISOString();
  return events.map(({ id, productId, actionCode, second }) => ({ item: productId, event: actionCode, moment: momentOf(second), rowId: id }));
}
