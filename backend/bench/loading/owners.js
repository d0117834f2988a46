/** Whose list is it? Python itself is asked beforehand what each customer's products score, by each version. */
import { deriveContext } from '../../src/services/recommendations/context.js';

const LADDER = new Set(['heuristic', 'category', 'most_viewed', 'newest', 'snapshot']); // the names under which the fallback answers
const MOST = 100; // products of one answer: of a tiny shop, all
const TOLERANCE = 1e-6;

/** What every version answers to every customer who does nothing meanwhile. */
export class Owners {
  #scores = new Map(); // by version and customer: a map of scores for each context

  /**
   * Ask the active version.
   *
   * @param {(request: object) => Promise<object>} ask Python's answer.
   * @param {{customers: number[], moments: number[]}} wanted Moments, in milliseconds since 1970, in whose contexts lists may be made.
   */
  async learn(ask, { customers, moments }) {
    const contexts = new Map(moments.map((now) => deriveContext({ now })).map((context) => [JSON.stringify(context), context]));
    for (const context of contexts.values()) for (const user of customers) await this.#learnOne(ask, user, context);
  }

  /** How many customers have scores that somebody else has as well: their lists could be swapped unnoticed. */
  get lookalikes() {
    const seen = new Map();
    for (const [key, maps] of this.#scores) {
      const text = `${key.split(' ')[0]} ${maps.map((scores) => [...scores].join()).join(';')}`;
      seen.set(text, (seen.get(text) ?? 0) + 1);
    }
    return [...seen.values()].filter((count) => count > 1).length;
  }

  /** Whether an answer can be told to be somebody's: it is a model's, and what this customer's products score is known. */
  knows(customer, { fallbackReason, modelVersion }) {
    return fallbackReason === null && this.#scores.has(`${modelVersion} ${customer}`);
  }

  /** Whether all that a model has scored in an answer has this customer's scores. */
  isOf(customer, { modelVersion, data }) {
    const own = data.filter(({ modelName }) => !LADDER.has(modelName));
    const agrees = (scores) => own.every(({ product, score }) => Math.abs(scores.get(product.id) - score) <= TOLERANCE);
    return this.#scores.get(`${modelVersion} ${customer}`).some(agrees);
  }

  async #learnOne(ask, user, context) {
    const { items, model_version: version } = await ask({ user_id: user, limit: MOST, context });
    const key = `${version} ${user}`;
    const scores = new Map(items.map(({ productId, score }) => [productId, score]));
    this.#scores.set(key, [...(this.#scores.get(key) ?? []), scores]);
  }
}
