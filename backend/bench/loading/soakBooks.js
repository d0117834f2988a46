/** The books of a soak over HTTP: what came of every request, and everything that should not have been. */
import { Recorder as Ledger, percentiles as spread } from '../poolSoak/recorder.js';
import { faultOf, idsOf } from './answers.js';

const SETTLED_MS = 1000; // what was sold out or bought so long before a request is known to everybody
const SNAPSHOT = 'snapshot'; // what is shown while the database is away: nobody can know what was bought or sold out meanwhile

export class Books {
  #ledger = new Ledger();
  #sold;
  #soldOut = new Map(); // when, by product
  #bought = new Map(); // when, by customer and product
  #acknowledged = new Map();
  #counts = { answers: 0, lists: 0, valid: 0, fallback: 0, owners: 0, cutOff: 0, spooled: 0 };
  #sources = {};
  #reasons = {};
  #took = [];

  /** @param {Set<number>} sold Products that are sold, unless they are sold out. */
  constructor(sold) {
    this.#sold = sold;
  }

  /** What somebody who watches wants to know. */
  get state() {
    return { asked: this.#counts.answers + this.#counts.cutOff, answered: this.#counts.answers, violations: this.#ledger.violations };
  }

  get ownersChecked() {
    return this.#counts.owners;
  }

  violate(kind, words) {
    this.#ledger.recordViolation(kind, words);
  }

  /** Take note that a product is sold out, or that it is to be had again. */
  sell(product, isToBeHad) {
    if (isToBeHad) this.#soldOut.delete(product);
    else this.#soldOut.set(product, performance.now());
  }

  /** Take note of a request that went down with its server. */
  cutOff() {
    this.#counts.cutOff += 1;
  }

  /** Take note of an answer. */
  take(visit, answer, { sent, owners }) {
    this.#counts.answers += 1;
    const words = `${visit.method} ${visit.path} of ${visit.as ?? 'nobody'}: ${answer.status} ${JSON.stringify(answer.body).slice(0, 300)}`;
    if (visit.kind === 'list') this.#takeList(visit, answer, { sent, owners, words });
    else if (!visit.statuses.includes(answer.status)) this.violate('status', words);
    else if (visit.kind === 'login' && answer.status === 200 && subjectOf(answer.body.data.token) !== String(visit.customer)) this.violate('wrong_user', words);
    else if (visit.kind === 'bad' && answer.body.errCode !== answer.status) this.violate('shape', words);
  }

  /** Take note of an interaction that the server has promised to keep. */
  acknowledge(customer, { eventId, productId, actionCode }, status) {
    this.#acknowledged.set(eventId, `${customer} ${productId} ${actionCode}`);
    if (status === 202) this.#counts.spooled += 1;
    if (status === 201 && actionCode === 'purchase') this.#bought.set(`${customer} ${productId}`, performance.now());
  }

  /** Compare what is stored with what was acknowledged. */
  compare(rows) {
    const stored = new Map(rows.map(({ eventId, userId, productId, actionCode }) => [eventId, `${userId} ${productId} ${actionCode}`]));
    if (rows.length !== stored.size) this.violate('double', `${rows.length} rows of ${stored.size} events`);
    for (const [eventId, told] of this.#acknowledged) if (stored.get(eventId) !== told) this.violate('interaction_lost', `${eventId}: ${told}`);
    for (const eventId of stored.keys()) if (!this.#acknowledged.has(eventId)) this.violate('interaction_unasked', eventId);
    return { acknowledged: this.#acknowledged.size, stored: rows.length, spooled: this.#counts.spooled };
  }

  summary() {
    const { answers, lists, valid, fallback, owners, cutOff } = this.#counts;
    return {
      answers,
      cut_off: cutOff,
      lists,
      valid_share: valid / Math.max(1, lists),
      sources: this.#sources,
      fallbacks: this.#reasons,
      fallback_share: fallback / Math.max(1, lists),
      owners_checked: owners,
      latency_ms: spread(this.#took),
      violations: this.#ledger.violations,
      words: this.#ledger.messages,
    };
  }

  #takeList(visit, answer, { sent, owners, words }) {
    this.#counts.lists += 1;
    this.#took.push(performance.now() - sent);
    const fault = faultOf(answer, { limit: visit.limit, sold: this.#sold }) ?? this.#faultOfNow(visit, answer.body, { sent, owners });
    if (fault !== null) {
      this.violate(fault, words);
      return;
    }
    this.#counts.valid += 1;
    const { source, fallbackReason } = answer.body;
    this.#sources[source] = (this.#sources[source] ?? 0) + 1;
    if (fallbackReason === null) return;
    this.#counts.fallback += 1;
    this.#reasons[fallbackReason] = (this.#reasons[fallbackReason] ?? 0) + 1;
  }

  /** Return what is wrong with a list for this customer at this moment, or null. */
  #faultOfNow({ customer, isPersonal }, body, { sent, owners }) {
    const shown = idsOf({ data: body.data.filter(({ modelName }) => modelName !== SNAPSHOT) });
    const isOld = (moment) => moment !== undefined && sent - moment > SETTLED_MS;
    if (shown.some((id) => isOld(this.#soldOut.get(id)))) return 'sold_out';
    if (shown.some((id) => isOld(this.#bought.get(`${customer} ${id}`)))) return 'bought';
    if (!isPersonal || !owners.knows(customer, body)) return null;
    this.#counts.owners += 1;
    return owners.isOf(customer, body) ? null : 'wrong_user';
  }
}

function subjectOf(token) {
  return JSON.parse(Buffer.from(token.split('.')[1], 'base64url')).sub;
}
