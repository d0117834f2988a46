/** Checks that a list belongs to its user, by the scores that Python gave this user's products before the soak. */
import { deriveContext } from '../../src/services/recommendations/context.js';

const FALLBACKS = new Set(['heuristic', 'category', 'most_viewed', 'newest', 'snapshot']); // model names of the fallback chain
const MOST = 100; // products of one answer; a tiny shop has fewer
const TOLERANCE = 1e-6;

/** The scores of each version for users without events during the soak. */
export class OwnershipCheck {
  #scores = new Map(); // by version and user: the scores by product, once for each context

  /**
   * Record the scores of the active version.
   *
   * @param {(request: object) => Promise<object>} request Sends a request to Python.
   * @param {{users: number[], moments: number[]}} options Moments, in milliseconds since 1970, in whose contexts lists may be computed.
   */
  async record(request, { users, moments }) {
    const contexts = new Map(moments.map((now) => deriveContext({ now })).map((context) => [JSON.stringify(context), context]));
    for (const context of contexts.values()) for (const user of users) await this.#recordOne(request, user, context);
  }

  /** The number of score maps that several users share: a swap of their lists would be missed. */
  get nAmbiguous() {
    const seen = new Map();
    for (const [key, maps] of this.#scores) {
      const text = `${key.split(' ')[0]} ${maps.map((scores) => [...scores].join()).join(';')}`;
      seen.set(text, (seen.get(text) ?? 0) + 1);
    }
    return [...seen.values()].filter((count) => count > 1).length;
  }

  /** Whether an answer can be checked: a model made it, and this user's scores are recorded. */
  canCheck(user, { fallbackReason, modelVersion }) {
    return fallbackReason === null && this.#scores.has(`${modelVersion} ${user}`);
  }

  /** Whether all items of an answer that a model scored have this user's scores. */
  matches(user, { modelVersion, data }) {
    const scored = data.filter(({ modelName }) => !FALLBACKS.has(modelName));
    const agrees = (scores) => scored.every(({ product, score }) => Math.abs(scores.get(product.id) - score) <= TOLERANCE);
    return this.#scores.get(`${modelVersion} ${user}`).some(agrees);
  }

  async #recordOne(request, user, context) {
    const { items, model_version: version } = await request({ user_id: user, limit: MOST, context });
    const key = `${version} ${user}`;
    const scores = new Map(items.map(({ productId, score }) => [productId, score]));
    this.#scores.set(key, [...(this.#scores.get(key) ?? []), scores]);
  }
}
