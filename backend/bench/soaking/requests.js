/** What visitors ask in a soak, what they may get for it, and how an answer is shown to be the asker's. */
import { PythonBridgeError } from '../../src/services/pythonInvoker.js';

const USERS = 24; // of the tiny shop
const LIMIT = 20;
const BAD_SHARE = 0.1;
const FIRST_UNKNOWN_ITEM = 1_000_000;

/** What a request may fail with while its worker is being done harm to. */
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

/** Requests that end their worker, hang it, or make it babble, and the reasons that they may get; `answered` is one of them. */
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
 * Return a request that visitors may send, and what is right for it.
 *
 * @param {() => number} random
 * @param {number} number It sets a good request apart from all others: the same one, computed at two deaths, would be kept away.
 * @returns {{request: object, user: unknown, outcomes: Set<string>, isGood: boolean, isTelling: boolean}} Telling: its items show which
 *   version answered.
 */
export function visit(random, number) {
  if (random() < BAD_SHARE) {
    const [request, reason] = BAD[Math.floor(random() * BAD.length)];
    return { request, user: null, outcomes: new Set([reason, 'quarantined', ...PASSING]), isGood: false, isTelling: false };
  }
  const [user, item, kind] = [Math.floor(random() * USERS), 101 + Math.floor(random() * 30), random()];
  const told = { outcomes: new Set(['answered', ...PASSING]), isGood: true, isTelling: false };
  const common = { exclude: [FIRST_UNKNOWN_ITEM + number] };
  if (kind < 0.6) return { ...told, request: { ...common, user_id: user, model: 'popularity', limit: LIMIT }, user, isTelling: true };
  if (kind < 0.8) return { ...told, request: { ...common, user_id: user, limit: 1 + Math.floor(random() * LIMIT) }, user };
  if (kind < 0.9) return { ...told, request: { ...common, op: 'similar', item_id: item }, user: null };
  return { ...told, request: { ...common, interactions: [{ item_id: item, event: 'view' }] }, user: null };
}

/** Return a request that does its worker harm; no two are the same, so that none is kept away. */
export function poison(random, number) {
  const names = Object.keys(POISON);
  const name = names[Math.floor(random() * names.length)];
  const user = `${name}-${number}`;
  const outcomes = new Set([...POISON[name], ...PASSING]);
  return { name, request: { user_id: user }, user, outcomes, isGood: false, isTelling: false };
}

/** Knows which list each version has for each customer, from the first time that it is seen. */
export class Lists {
  #seen = new Map();

  /**
   * Return what is wrong with an answer, or null.
   *
   * @param {{user: unknown, isTelling: boolean}} asked
   * @param {object} answer
   */
  fault({ user, isTelling }, { user_id: answered, model_version: version, items }) {
    if (answered !== user) return 'wrong_user';
    if (!isTelling) return null;
    const key = `${version} ${user}`;
    const list = items.map(({ productId }) => productId).join();
    if (!this.#seen.has(key)) this.#seen.set(key, list);
    return this.#seen.get(key) === list ? null : 'mixed_versions';
  }

  /** The versions that have answered. */
  get versions() {
    return [...new Set([...this.#seen.keys()].map((key) => key.split(' ')[0]))].sort();
  }
}

/** Return the name of a failure; what is no failure of the bridge is a defect. */
export function reasonOf(error) {
  return error instanceof PythonBridgeError ? error.reason : `defect: ${error?.stack}`;
}
