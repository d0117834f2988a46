/** What a list has to be, whoever made it; and the books of those that came. */
import { percentiles as spread } from '../poolSoak/recorder.js';

const MOST_WORDS = 20; // of which the words are kept; all are counted

/**
 * Return what is wrong with an answer, or null.
 *
 * @param {{status: number, body: unknown}} answer
 * @param {{limit: number, sold: Set<number>}} wanted `sold`: products that may be shown.
 * @returns {string | null}
 */
export function faultOf({ status, body }, { limit, sold }) {
  if (status !== 200) return 'status';
  if (body?.errCode !== 0 || !Array.isArray(body.data)) return 'shape';
  const ids = idsOf(body);
  if (ids.length !== Math.min(limit, sold.size)) return 'not_full';
  if (new Set(ids).size !== ids.length) return 'twice';
  if (!ids.every((id) => sold.has(id))) return 'not_sold';
  const isItem = ({ product, score, modelName }) => typeof product.name === 'string' && Number.isFinite(score) && typeof modelName === 'string';
  return body.data.every(isItem) ? null : 'shape';
}

/** Return the products of a list, best first. */
export function idsOf({ data }) {
  return data.map(({ product }) => product?.id);
}

/** The books of one load: how long answers took, who made them, and what was wrong. */
export class Books {
  #wanted;
  #took = [];
  #sources = {};
  #reasons = {};
  #wrong = {};
  #words = [];
  #fallbacks = 0;
  /** Lists that are somebody's own, to be compared with what is stored: `[customer, ids]`. */
  #own = [];

  /** @param {{limit: number, sold: Set<number>}} wanted */
  constructor(wanted) {
    this.#wanted = wanted;
  }

  /** Take note of an answer. */
  take({ customer, status, body, ms }) {
    this.#took.push(ms);
    const fault = faultOf({ status, body }, this.#wanted);
    if (fault !== null) {
      this.#fail(fault, `customer ${customer}: ${status} ${JSON.stringify(body).slice(0, 200)}`);
      return;
    }
    count(this.#sources, body.source);
    if (body.fallbackReason === null) this.#own.push([customer, idsOf(body)]);
    else {
      count(this.#reasons, body.fallbackReason);
      this.#fallbacks += 1;
    }
  }

  /** Take note of a request that got no answer. */
  lose(customer, error) {
    this.#fail('lost', `customer ${customer}: ${error.message}`);
  }

  /**
   * Compare what a model has answered so far with what is stored for the customers who asked. It is to be done before their lists change.
   *
   * @param {Map<number, number[]>} lists
   */
  checkOwners(lists) {
    for (const [customer, ids] of this.#own.splice(0)) {
      const stored = lists.get(customer)?.slice(0, ids.length) ?? [];
      if (stored.join() !== ids.join()) this.#fail('wrong_user', `customer ${customer} got ${ids}, and has ${stored}`);
    }
  }

  /** How many answers there were. */
  get answers() {
    return this.#took.length;
  }

  /** Return the figures of a time in which these answers came. */
  summary(seconds) {
    const answers = this.#took.length;
    return {
      answers,
      seconds: rounded(seconds),
      per_second: rounded(answers / seconds),
      latency_ms: spread(this.#took),
      sources: this.#sources,
      fallbacks: this.#reasons,
      fallback_share: answers === 0 ? 0 : this.#fallbacks / answers,
      wrong: this.#wrong,
      words: this.#words,
    };
  }

  #fail(fault, words) {
    count(this.#wrong, fault);
    if (this.#words.length < MOST_WORDS) this.#words.push(`${fault}: ${words}`);
  }
}

function count(counts, name) {
  counts[name] = (counts[name] ?? 0) + 1;
}

function rounded(number) {
  return Math.round(1000 * number) / 1000;
}

/** Return a body's document, or the body itself where it is none. */
export function parsedJson(body) {
  try {
    return JSON.parse(body);
  } catch {
    return body;
  }
}
