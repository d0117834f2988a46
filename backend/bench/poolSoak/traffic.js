/** The requests of a soak, the outcomes that each may have, and the check that an answer belongs to its user. */
import { PythonBridgeError } from '../../src/services/pythonInvoker.js';

const N_USERS = 24; // of the tiny shop
const LIMIT = 20;
const BAD_SHARE = 0.1;
const FIRST_UNKNOWN_ITEM = 1_000_000;

/** The reasons with which any request may fail while faults are injected into its worker. */
const PASSING = ['crashed', 'deadline', 'bad_answer', 'not_ready', 'overloaded'];

// [request, reason]
const BAD = [
  [{ user_id: 7, limit: 0 }, 'invalid_request'],
  [{ user_id: 7, colour: 'red' }, 'invalid_request'],
  [{ user_id: 7, model: 'SVD' }, 'invalid_request'],
  [{ user_id: { $gt: '' } }, 'invalid_request'],
  [{ user_id: 7, interactions: [{ item_id: 101, event: 'stare' }] }, 'invalid_request'],
  [{ user_id: 7, context: { device_type: 'a\u0000b' } }, 'invalid_request'],
  [{ user_id: 7, filters: { price_min: 3, price_max: 2 } }, 'invalid_request'],
  [{ user_id: NaN }, 'invalid_request'],
  [{ user_id: 7, candidates: new Array(10_001).fill(1) }, 'too_large'],
  [{ user_id: 'x'.repeat(2 ** 20) }, 'too_large'],
  [{ user_id: 999_999 }, 'unknown_user'],
  [{ user_id: "7'; DROP TABLE Users; --" }, 'unknown_user'],
  [[], 'invalid_request'],
];

/** Requests that end or block their worker, or make it print; with the outcomes that each may have. */
const POISON = {
  print: ['answered'],
  slow: ['answered'],
  loop: ['deadline'],
  regex: ['deadline'],
  defect: ['internal'],
  memory: ['overloaded'],
  exit: ['crashed'],
  segfault: ['crashed'],
};

/**
 * Return a random request as clients send it, and what its outcome may be.
 *
 * @param {() => number} random From 0 to 1.
 * @param {number} number Makes each good request unique. Otherwise two deaths would quarantine a good request.
 * @returns {{request: object, user: unknown, outcomes: Set<string>, isGood: boolean, showsVersion: boolean}}
 *   `showsVersion`: each version answers this request with another list.
 */
export function clientRequest(random, number) {
  if (random() < BAD_SHARE) {
    const [request, reason] = BAD[Math.floor(random() * BAD.length)];
    const outcomes = new Set([reason, 'quarantined', ...PASSING]);
    return { request, user: null, outcomes, isGood: false, showsVersion: false };
  }
  const [user, item, share] = [Math.floor(random() * N_USERS), 101 + Math.floor(random() * 30), random()];
  const expected = { outcomes: new Set(['answered', ...PASSING]), isGood: true, showsVersion: false };
  const common = { exclude: [FIRST_UNKNOWN_ITEM + number] };
  if (share < 0.6) {
    const request = { ...common, user_id: user, model: 'popularity', limit: LIMIT };
    return { ...expected, request, user, showsVersion: true };
  }
  if (share < 0.8) {
    return { ...expected, request: { ...common, user_id: user, limit: 1 + Math.floor(random() * LIMIT) }, user };
  }
  if (share < 0.9) return { ...expected, request: { ...common, op: 'similar', item_id: item }, user: null };
  return { ...expected, request: { ...common, interactions: [{ item_id: item, event: 'view' }] }, user: null };
}

/** Return a request that harms its worker. No two are the same, so that none is quarantined. */
export function poisonRequest(random, number) {
  const names = Object.keys(POISON);
  const name = names[Math.floor(random() * names.length)];
  const user = `${name}-${number}`;
  const outcomes = new Set([...POISON[name], ...PASSING]);
  return { name, request: { user_id: user }, user, outcomes, isGood: false, showsVersion: false };
}

/** Checks that answers are for their user, and that each version always gives a user the same list. */
export class OwnershipCheck {
  #lists = new Map(); // item ids by version and user

  /**
   * Return what is wrong with an answer, or null.
   *
   * @param {{user: unknown, showsVersion: boolean}} sent
   * @param {object} answer
   */
  violationOf({ user, showsVersion }, { user_id: answeredUser, model_version: version, items }) {
    if (answeredUser !== user) return 'wrong_user';
    if (!showsVersion) return null;
    const key = `${version} ${user}`;
    const list = items.map(({ productId }) => productId).join();
    if (!this.#lists.has(key)) this.#lists.set(key, list);
    return this.#lists.get(key) === list ? null : 'mixed_versions';
  }

  /** The versions that have answered. */
  get versions() {
    return [...new Set([...this.#lists.keys()].map((key) => key.split(' ')[0]))].sort();
  }
}

/** Return the reason of a failure. An error of another class is a defect. */
export function reasonOf(error) {
  return error instanceof PythonBridgeError ? error.reason : `defect: ${error?.stack}`;
}
