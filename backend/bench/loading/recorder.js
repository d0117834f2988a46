/** Checks the answers of a load, and records their times, sources and faults. */
import { percentiles } from './percentiles.js';

const MOST_MESSAGES = 20; // of faults; all faults are counted

/**
 * Return the fault of an answer as one word, or null if there is none.
 *
 * @param {{status: number, body: unknown}} answer
 * @param {{limit: number, active: Set<number>}} expected `active`: products that may be shown.
 * @returns {string | null}
 */
export function faultOf({ status, body }, { limit, active }) {
  if (status !== 200) return 'status';
  if (body?.errCode !== 0 || !Array.isArray(body.data)) return 'shape';
  const ids = idsOf(body);
  if (ids.length !== Math.min(limit, active.size)) return 'not_full';
  if (new Set(ids).size !== ids.length) return 'twice';
  if (!ids.every((id) => active.has(id))) return 'not_sold';
  const isItem = ({ product, score, modelName }) => typeof product.name === 'string' && Number.isFinite(score) && typeof modelName === 'string';
  return body.data.every(isItem) ? null : 'shape';
}

/** Return the product ids of a list, best first. */
export function idsOf({ data }) {
  return data.map(({ product }) => product?.id);
}

/** Records the answers of one load: their times, sources, fallback reasons and faults. */
export class Recorder {
  #expected;
  #times = [];
  #sources = {};
  #reasons = {};
  #faults = {};
  #messages = [];
  #nFallbacks = 0;
  /** Models' lists, to be compared with the stored ones: `[user, ids]`. */
  #personal = [];

  /** @param {{limit: number, active: Set<number>}} expected See `faultOf`. */
  constructor(expected) {
    this.#expected = expected;
  }

  /** Record an answer. */
  add({ user, status, body, ms }) {
    this.#times.push(ms);
    const fault = faultOf({ status, body }, this.#expected);
    if (fault !== null) {
      this.#fail(fault, `user ${user}: ${status} ${JSON.stringify(body).slice(0, 200)}`);
      return;
    }
    count(this.#sources, body.source);
    if (body.fallbackReason === null) this.#personal.push([user, idsOf(body)]);
    else {
      count(this.#reasons, body.fallbackReason);
      this.#nFallbacks += 1;
    }
  }

  /** Record a request that got no answer. */
  addLost(user, error) {
    this.#fail('lost', `user ${user}: ${error.message}`);
  }

  /**
   * Compare the models' lists so far with the stored lists of their users. Call it before the stored lists change.
   *
   * @param {Map<number, number[]>} lists
   */
  checkOwnership(lists) {
    for (const [user, ids] of this.#personal.splice(0)) {
      const stored = lists.get(user)?.slice(0, ids.length) ?? [];
      if (stored.join() !== ids.join()) this.#fail('wrong_user', `user ${user} got ${ids}, and has ${stored}`);
    }
  }

  /** The number of answers. */
  get answers() {
    return this.#times.length;
  }

  /** Return the figures of a load that took `seconds`. */
  summary(seconds) {
    const answers = this.#times.length;
    return {
      answers,
      seconds: rounded(seconds),
      per_second: rounded(answers / seconds),
      latency_ms: percentiles(this.#times),
      sources: this.#sources,
      fallbacks: this.#reasons,
      fallback_share: answers === 0 ? 0 : this.#nFallbacks / answers,
      wrong: this.#faults,
      words: this.#messages,
    };
  }

  #fail(fault, message) {
    count(this.#faults, fault);
    if (this.#messages.length < MOST_MESSAGES) this.#messages.push(`${fault}: ${message}`);
  }
}

function count(counts, name) {
  counts[name] = (counts[name] ?? 0) + 1;
}

function rounded(number) {
  return Math.round(1000 * number) / 1000;
}

/** Parse a body as JSON, or return it as it is. */
export function parsedJson(body) {
  try {
    return JSON.parse(body);
  } catch {
    return body;
  }
}
