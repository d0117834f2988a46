/**
 * The visitor's interactions on their way to the server.
 *
 * An event lies in the storage from the act until the server has answered for it, under a key of its own, so that two tabs cannot
 * overwrite each other's. It may be sent more than once; the server counts it once, by its event id.
 */
import { ApiError } from './api.js';
import { newEventId } from './eventId.js';

/** @import { Values } from './storage.js' */

const PREFIX = 'event.';
const PAUSE_MS = 2000; // before the second attempt; doubled for each further one
const LONGEST_PAUSE_MS = 5 * 60_000;
const MOST_BEACONS = 50; // browsers take 64 KB from a page that is left, and an event has 0.3 KB
const MOST_WAITING = 100; // of a server that is away; beyond them, impressions are dropped
const BEACON_REST_MS = 30_000; // until an event that left by a beacon may leave by another

/**
 * @typedef {object} QueuedEvent
 * @property {string} eventId
 * @property {string | null} productId `null` for an impression of several products.
 * @property {'view' | 'cart' | 'uncart' | 'purchase' | 'impression' | 'click'} actionCode
 * @property {string} timestamp ISO 8601.
 * @property {string | null} owner The user who was signed in, or `null` for a guest.
 * @property {string} [session_id] The visit.
 * @property {OfList} [list] Of which answer the product is.
 *
 * @typedef {object} OfList As the server names it.
 * @property {string} recommendation_id
 * @property {number} [position] From 1.
 * @property {{productId: string, position: number}[]} [shown] The products of an impression.
 */

/**
 * @typedef {object} Queue
 * @property {(actionCode: QueuedEvent['actionCode'], productId: string | null, list?: OfList) => QueuedEvent} add Returns at once; sends later.
 * @property {() => Promise<void>} flush Sends what waits, oldest first.
 * @property {() => void} leave Hands what waits to the browser, because the page may be gone soon.
 * @property {() => QueuedEvent[]} waiting Oldest first.
 */

/**
 * Return what becomes of an event after an answer: `done` (known to the server, or refused for good), `hold` (until the user signs
 * in), or `retry`.
 *
 * @param {number} status
 * @returns {'done' | 'hold' | 'retry'}
 */
export function outcomeOf(status) {
  if (status === 401 || status === 403) return 'hold';
  if (status === 408 || status === 429 || status >= 500 || status < 200) return 'retry';
  return 'done'; // 2xx, or a fault of the event itself, which another attempt would not mend
}

/**
 * Return the pause before the next attempt: what the server asks for, else twice the last pause, each with up to a quarter more,
 * so that pages do not come back all at once.
 *
 * @param {number} failures At least 1.
 * @param {number | null} retryAfterMs
 * @param {() => number} random
 */
export function pauseOf(failures, retryAfterMs, random) {
  const pause = Math.min(LONGEST_PAUSE_MS, PAUSE_MS * 2 ** (failures - 1));
  return Math.round(Math.max(pause, retryAfterMs ?? 0) * (1 + random() / 4));
}

/**
 * @param {object} options
 * @param {Values} options.storage
 * @param {(body: object) => Promise<{status: number, retryAfterMs: number | null}>} options.post
 * @param {(body: object) => boolean} options.beacon
 * @param {() => {userId: string, token: string} | null} options.getSession
 * @param {(token: string) => void} options.onHold Called when an event was refused because the token is no longer good.
 * @param {() => string | null} [options.getVisit] The random id of the visit.
 * @param {() => number} [options.now]
 * @param {() => number} [options.random]
 * @param {(action: () => void, ms: number) => any} [options.setTimer]
 * @param {(timer: any) => void} [options.clearTimer]
 * @returns {Queue}
 */
export function createQueue({
  storage,
  post,
  beacon,
  getSession,
  onHold,
  getVisit = () => null,
  now = Date.now,
  random = Math.random,
  setTimer = (action, ms) => setTimeout(action, ms),
  clearTimer = (timer) => clearTimeout(timer),
}) {
  let failures = 0;
  let notBefore = 0; // when the server or the back-off allows the next attempt
  /** @type {any} */
  let timer = null;
  /** @type {Promise<void> | null} */
  let sending = null;
  /** @type {Map<string, number>} by event id: when it left by a beacon */
  const left = new Map();

  function waiting() {
    const events = storage.keys(PREFIX).flatMap((key) => {
      const event = storage.get(key);
      if (isEvent(event)) return [event];
      storage.remove(key);
      return [];
    });
    return events.sort((a, b) => (a.timestamp < b.timestamp ? -1 : a.timestamp > b.timestamp ? 1 : 0));
  }

  /** Events of the visitor. Those of another user wait until that user comes back. */
  function sendable() {
    const userId = getSession()?.userId ?? null;
    return waiting().filter(({ owner }) => owner === null || owner === userId);
  }

  /** @param {number} ms */
  function schedule(ms) {
    clearTimer(timer);
    timer = setTimer(() => void flush(), ms);
  }

  /** @param {number | null} retryAfterMs */
  function backOff(retryAfterMs) {
    failures += 1;
    const pause = pauseOf(failures, retryAfterMs, random);
    schedule(pause);
    return pause;
  }

  async function sendAll() {
    /** @type {Set<string>} */
    const skipped = new Set();
    let isFaulty = false;
    for (;;) {
      const session = getSession();
      const event = sendable().find(({ eventId }) => !skipped.has(eventId));
      if (!event) break;
      const { status, retryAfterMs } = await answerOf(event);
      const outcome = outcomeOf(status);
      if (outcome === 'done') {
        storage.remove(PREFIX + event.eventId);
        left.delete(event.eventId);
      } else if (outcome === 'hold') {
        if (session) onHold(session.token);
        if (!session || getSession()) skipped.add(event.eventId);
      } else if (status === 500) {
        skipped.add(event.eventId); // perhaps about this event alone; the others do not wait for it
        isFaulty = true;
      } else {
        notBefore = now() + backOff(retryAfterMs);
        return;
      }
    }
    if (isFaulty) backOff(null);
    else failures = 0;
  }

  /** @param {QueuedEvent} event */
  async function answerOf(event) {
    try {
      return await post(bodyOf(event));
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      return { status: 0, retryAfterMs: null };
    }
  }

  function flush() {
    sending ??= now() < notBefore ? null : sendAll().finally(() => (sending = null));
    return sending ?? Promise.resolve();
  }

  return {
    add(actionCode, productId, list) {
      const owner = getSession()?.userId ?? null;
      const visit = getVisit();
      const event = { eventId: newEventId(), productId, actionCode, timestamp: new Date(now()).toISOString(), owner, ...(visit && { session_id: visit }), ...(list && { list }) };
      if (actionCode === 'impression' && waiting().length >= MOST_WAITING) return event;
      storage.set(PREFIX + event.eventId, event);
      schedule(Math.max(0, notBefore - now()));
      return event;
    },
    flush,
    leave() {
      const token = getSession()?.token;
      const isBusy = now() < notBefore;
      if (isBusy && storage.isKept) return; // the server asked for time, and the events are safe
      for (const event of sendable().slice(0, MOST_BEACONS)) {
        if (now() - (left.get(event.eventId) ?? -Infinity) < BEACON_REST_MS) continue;
        if (!beacon(token ? { ...bodyOf(event), token } : bodyOf(event))) break;
        left.set(event.eventId, now()); // no answer comes back, so it stays in the queue
      }
    },
    waiting,
  };
}

/** @param {QueuedEvent} event */
function bodyOf({ eventId, productId, actionCode, timestamp, session_id, list: { shown, ...list } = { recommendation_id: '' } }) {
  const places = shown && { shown: shown.map(({ productId: id, position }) => ({ productId: numberOf(id), position })) };
  return {
    ...(productId !== null && { productId: numberOf(productId) }),
    ...{ actionCode, eventId, timestamp },
    ...(session_id && { session_id }),
    ...(list.recommendation_id && list),
    ...places,
  };
}

/** Return an id as the server writes it. @param {string} id */
function numberOf(id) {
  const number = Number(id);
  return String(number) === id && Number.isSafeInteger(number) ? number : id;
}

/** @param {any} value */
function isEvent(value) {
  const products = value?.productId === null ? (value.list?.shown ?? []).map((/** @type {any} */ one) => one?.productId) : [value?.productId];
  const texts = [value?.eventId, value?.actionCode, value?.timestamp, ...products];
  return texts.every((text) => typeof text === 'string') && (value.owner === null || typeof value.owner === 'string');
}
