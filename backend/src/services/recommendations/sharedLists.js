/** Lists from memory: Python's answers about products, to guests and to buyers, which many requests share. */
import { requestOf } from '../tracking/arms.js';
import { idsOf, modelAnswer } from './answers.js';
import { contextText } from './context.js';
import { guestRequest } from './guests.js';
import { AnswerMemory } from './memory.js';

/**
 * @import { ListRequest } from '../pythonInvoker.js'
 * @import { Catalogue } from './catalogue.js'
 * @import { RecommenderClient } from './client.js'
 * @import { Completion } from './completion.js'
 * @import { DatabaseGuard } from './databaseGuard.js'
 * @import { Options, RequestOptions } from './options.js'
 *
 * @typedef {{limit?: number, userId?: number | null, guestId?: string | null}} Visitor A user, a guest or somebody unknown, with the length of the list.
 */

/** Answers from memory, or asks Python now. What may not be shown is left out for each visitor. */
export class SharedLists {
  #parts;
  #ofProducts;
  #toGuests;
  #toBuyers;

  /** @param {{catalogue: Catalogue, guard: DatabaseGuard, client: RecommenderClient, options: RequestOptions, completion: Completion}} parts */
  constructor(parts) {
    this.#parts = parts;
    this.#ofProducts = new AnswerMemory(parts.client);
    this.#toGuests = new AnswerMemory(parts.client);
    this.#toBuyers = new AnswerMemory(parts.client);
  }

  /**
   * Return a guest's list. Requests of a guest who has done nothing since share an answer.
   *
   * @param {string | null} guestId
   * @param {{limit?: number, device?: string | null, isNew?: boolean}} request `isNew`: not one from memory.
   */
  async toGuest(guestId, { isNew = false, ...request }) {
    const options = await this.#parts.options.ofGuest(guestId, request);
    const { key, events } = options.guest;
    return this.#fromMemory(null, options, this.#toGuests, {
      key: `${key}:${contextText(options.context)}`,
      request: guestRequest(events, options),
      isNew,
    });
  }

  /**
   * Answer a question about products, whose answer everybody shares, without these products and what is hidden from the visitor.
   *
   * @param {number[]} products
   * @param {ListRequest} request
   * @param {Visitor} visitor
   */
  async aboutProducts(products, request, { limit, userId = null, guestId = null }) {
    /** @type {Options} */
    const options = userId === null ? await this.#parts.options.ofGuest(guestId, { limit }) : await this.#parts.options.ofUser(userId, { limit });
    /** @type {any} */
    const byArm = { ...request, ...requestOf(options.arm, request.op ?? undefined) };
    const complementTo = byArm.complementary === true ? products : undefined;
    const about = { ...options, exclude: [...options.exclude, ...products], like: products[0] ?? null, complementTo };
    return this.#fromMemory(userId, about, this.#ofProducts, { key: JSON.stringify(byArm), request: byArm });
  }

  /**
   * Return what a user or guest bought before and may need again, without what was bought just now.
   *
   * @param {Visitor} visitor
   */
  async toBuyer({ userId = null, guestId = null, limit }) {
    const ofBought = { limit, isOfBought: true };
    if (userId !== null) {
      const options = await this.#parts.options.ofUser(userId, ofBought);
      const exclude = [...options.exclude, ...this.#parts.options.chosen({ userId }, { repeatAfterDays: Infinity })]; // just bought
      return this.#fromMemory(userId, { ...options, exclude }, this.#toBuyers, { key: `user ${userId}`, request: { op: 'again', user_id: userId, ...requestOf(options.arm, 'again') } });
    }
    const options = await this.#parts.options.ofGuest(guestId, ofBought);
    const { interactions } = guestRequest(options.guest.events, options);
    return this.#fromMemory(null, options, this.#toBuyers, { key: options.guest.key, request: { op: 'again', interactions } });
  }

  /** Forget what a user may need again. */
  forget(userId) {
    this.#toBuyers.forget(`user ${userId}`);
  }

  /** Answer with what Python has said, in memory or now, without what may not be shown. */
  #fromMemory(userId, options, memory, { key, request, isNew = false }) {
    const { catalogue, guard, completion } = this.#parts;
    return completion.orFallback(userId, options, async () => {
      if (options.failure) throw options.failure;
      const answer = await options.inTime(memory.answerTo(key, request, { ...options, isNew }));
      const ids = idsOf(answer).filter((id) => !options.exclude.includes(id));
      const products = await guard.run(options.timeLeft(), () => catalogue.eligible(userId, ids, options.rules));
      return completion.filled(userId, modelAnswer({ answer, products }), options);
    });
  }
}
