/** What makes each answer whole: the fallback chain where its work fails, more items where it has too few, and why each is shown. */
import { hasNoLists } from '../tracking/arms.js';
import { OftenBought } from './again.js';
import { sourceOf } from './answers.js';
import { DatabaseUnavailable } from './databaseGuard.js';
import { FallbackChain, fallbackReasonOf } from './fallback.js';
import { explained } from './reasons.js';

/**
 * @import { Metrics } from '../../monitoring/metrics.js'
 * @import { List } from './answers.js'
 * @import { Catalogue } from './catalogue.js'
 * @import { DatabaseGuard } from './databaseGuard.js'
 * @import { Options } from './options.js'
 */

/** The answer to customers of an arm without recommendations. @type {List} */
const NO_LIST = Object.freeze({ data: [], source: 'none', fallbackReason: null, modelVersion: null });

/** Completes answers, and counts them. */
export class Completion {
  #parts;
  #fallback;
  #often;

  /** @param {{catalogue: Catalogue, guard: DatabaseGuard, metrics: Pick<Metrics, 'answer'>, clock: {now: () => number}}} parts `clock`: milliseconds since 1970. */
  constructor(parts) {
    const { catalogue, guard, clock } = parts;
    this.#parts = parts;
    this.#fallback = new FallbackChain(catalogue, guard);
    this.#often = new OftenBought({ catalogue, guard, clock });
  }

  /**
   * Return and count the answer of `work`, which customers of an arm without recommendations do not get. Where it fails, return items of the
   * fallback chain with the reason.
   *
   * @param {number | null} userId
   * @param {Options} options
   * @param {() => Promise<List>} work
   */
  async orFallback(userId, options, work) {
    const list = hasNoLists(options.arm) ? NO_LIST : await work().catch(async (error) => {
      const fallbackReason = fallbackReasonOf(error);
      const { data, modelVersion } = await (options.isOfBought ? this.#often : this.#fallback).items(userId, options);
      return { data, source: sourceOf({ data }), fallbackReason, modelVersion };
    });
    this.#parts.metrics.answer({ source: list.source, fallbackReason: list.fallbackReason });
    return this.explained(list, options);
  }

  /**
   * Return an answer with `limit` items, filled up by the fallback chain where it has fewer.
   *
   * @param {number | null} userId
   * @param {List} answer
   * @param {Options} options
   * @returns {Promise<List>}
   */
  async filled(userId, answer, options) {
    const data = answer.data.filter(({ product }) => !options.exclude.includes(product.id));
    if (data.length >= options.limit || options.isOfBought) return { ...answer, data: data.slice(0, options.limit) };
    const exclude = [...options.exclude, ...data.map(({ product }) => product.id)];
    const more = await this.#fallback.items(userId, { ...options, limit: options.limit - data.length, exclude });
    const filled = { ...answer, data: [...data, ...more.data] };
    return data.length > 0 ? filled : { ...filled, source: sourceOf(more), fallbackReason: 'nothing_left' };
  }

  /** Return an answer whose rows say why. Without the database, the products that are reasons have no names. */
  async explained(answer, { timeLeft }) {
    const { catalogue, guard } = this.#parts;
    const names = (ids) =>
      guard.run(timeLeft(), () => catalogue.names(ids)).catch((error) => {
        if (!(error instanceof DatabaseUnavailable)) throw error;
        return new Map();
      });
    return { ...answer, data: await explained(answer.data, names) };
  }

  /** Have later requests of a user query the fallback chain anew. */
  forget(userId) {
    this.#fallback.forget(userId);
  }
}
