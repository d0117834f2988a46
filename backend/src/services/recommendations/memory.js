/** Answers of Python that many requests share: about products, which each page asks for, and to guests. */
import { LRUCache } from 'lru-cache';

import { SingleFlight } from '../../concurrency/sharing.js';

/**
 * @import { Recommendation } from '../pythonInvoker.js'
 * @import { RecommenderClient } from './client.js'
 * @import { Published } from './snapshot.js'
 */

const SIZES = [30, 60, 100]; // few, so that requests with different limits share a list
const SPARE = 10; // items beyond the limit, because some are sold out by the time they are shown
const MEMORY = { max: 1000, ttl: 60_000 };

/**
 * Return how many items are requested from Python, and stored, for a list of `limit` items.
 *
 * @param {number} limit
 */
export function sizeFor(limit) {
  return SIZES.find((size) => size >= limit + SPARE) ?? SIZES[SIZES.length - 1];
}

/** Asks Python, and keeps its answers for a minute. What may be shown of them is for the caller to check. */
export class AnswerMemory {
  #client;
  #flights = new SingleFlight();
  /** @type {LRUCache<string, {answer: Recommendation, size: number, version: string | null}>} By what was asked. */
  #answers = new LRUCache(MEMORY);

  /** @param {RecommenderClient} client */
  constructor(client) {
    this.#client = client;
  }

  /** Forget an answer, and one that is under way, so that the next request computes it anew. */
  forget(key) {
    this.#answers.delete(key);
    this.#flights.forgetAll(`${key}:`);
  }

  /**
   * Return an answer that is recent, long enough and of the active version; else a new one.
   *
   * @param {string} key Identifies the question.
   * @param {object} request The question, without its limit.
   * @param {{limit: number, published: Published | null, isNew?: boolean}} options `isNew`: not one that is kept, but at most one under way.
   * @returns {Promise<Recommendation>}
   */
  async answerTo(key, request, { limit, published, isNew = false }) {
    const size = sizeFor(limit);
    const version = published?.name ?? null;
    const known = isNew ? undefined : this.#answers.get(key);
    if (known !== undefined && known.version === version && known.size >= size) return known.answer;
    return this.#flights.run(`${key}:${size}`, async (isCurrent) => {
      const answer = await this.#client.request({ ...request, limit: size });
      if (isCurrent()) this.#answers.set(key, { answer, size, version });
      return answer;
    });
  }
}
