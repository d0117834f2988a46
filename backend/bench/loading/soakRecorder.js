/** Records what became of every request of a soak over HTTP, and all violations of what must hold. */
import { percentiles } from './percentiles.js';
import { faultOf, idsOf } from './recorder.js';

const SETTLED_MS = 1000; // a change that is older than this, when a request is sent, must be respected
const MOST_MESSAGES = 50; // of violations; all of them are counted
const LATE_MS = 10_000; // for a list, also on a busy machine; the tests of each fault check the deadlines themselves
const MOST_GROWTH = { rss: 64 * 2 ** 20, descriptors: 250 }; // of a server that is not restarted; each request that waits has a descriptor
const SNAPSHOT = 'snapshot'; // items for an unavailable database, which may be purchased or sold out

/** Records the answers and violations of a soak. */
export class SoakRecorder {
  #violations = {};
  #messages = [];
  #samples = [];
  #active;
  #soldOut = new Map(); // the time, by product
  #purchased = new Map(); // the time, by user and product
  #inCart = new Map(); // the time, by user and product
  #acknowledged = new Map();
  #counts = { answers: 0, lists: 0, valid: 0, fallback: 0, checks: 0, cutOff: 0, spooled: 0 };
  #sources = {};
  #reasons = {};
  #times = [];

  /** @param {Set<number>} active Products that are active at the start. */
  constructor(active) {
    this.#active = active;
  }

  /** The counts so far, for the progress line. */
  get state() {
    return { asked: this.#counts.answers + this.#counts.cutOff, answered: this.#counts.answers, violations: this.#violations };
  }

  get nOwnershipChecks() {
    return this.#counts.checks;
  }

  /** Record that something which must always hold did not. */
  recordViolation(kind, message) {
    this.#violations[kind] = (this.#violations[kind] ?? 0) + 1;
    if (this.#messages.length < MOST_MESSAGES) this.#messages.push(`${kind}: ${message}`);
  }

  /** Record the memory in bytes and the number of descriptors of a server that is no longer restarted. */
  addSample(sample) {
    this.#samples.push(sample);
  }

  /** Record that a product is sold out, or available again. */
  setAvailable(product, isAvailable) {
    if (isAvailable) this.#soldOut.delete(product);
    else this.#soldOut.set(product, performance.now());
  }

  /** Record a request that was cut off because its server was killed. */
  addCutOff() {
    this.#counts.cutOff += 1;
  }

  /** Record an answer. */
  add(visit, answer, { sent, ownership }) {
    this.#counts.answers += 1;
    const message = `${visit.method} ${visit.path} of ${visit.as ?? 'a guest'}: ${answer.status} ${JSON.stringify(answer.body).slice(0, 300)}`;
    if (visit.kind === 'list') this.#takeList(visit, answer, { sent, ownership, message });
    else if (!visit.statuses.includes(answer.status)) this.recordViolation('status', message);
    else if (visit.kind === 'login' && answer.status === 200 && subjectOf(answer.body.data.token) !== String(visit.user)) this.recordViolation('wrong_user', message);
    else if (visit.kind === 'bad' && answer.body.errCode !== answer.status) this.recordViolation('shape', message);
  }

  /** Record that a product may lie in a user's cart no more. */
  takeOut(user, productId) {
    this.#inCart.delete(`${user} ${productId}`);
  }

  /** Record an interaction that the server has acknowledged. */
  addAcknowledged(user, { eventId, productId, actionCode }, status) {
    this.#acknowledged.set(eventId, `${user} ${productId} ${actionCode}`);
    if (status === 202) this.#counts.spooled += 1;
    if (['uncart', 'purchase'].includes(actionCode)) this.takeOut(user, productId); // sent again, it may be later than a new cart event
    if (status === 201 && actionCode === 'cart') this.#inCart.set(`${user} ${productId}`, performance.now());
    if (status === 201 && actionCode === 'purchase') this.#purchased.set(`${user} ${productId}`, performance.now());
  }

  /** Compare the stored interactions with the acknowledged ones. */
  compare(rows) {
    const stored = new Map(rows.map(({ eventId, userId, productId, actionCode }) => [eventId, `${userId} ${productId} ${actionCode}`]));
    if (rows.length !== stored.size) this.recordViolation('double', `${rows.length} rows of ${stored.size} events`);
    for (const [eventId, event] of this.#acknowledged) if (stored.get(eventId) !== event) this.recordViolation('interaction_lost', `${eventId}: ${event}`);
    for (const eventId of stored.keys()) if (!this.#acknowledged.has(eventId)) this.recordViolation('interaction_unasked', eventId);
    return { acknowledged: this.#acknowledged.size, stored: rows.length, spooled: this.#counts.spooled };
  }

  /**
   * Check that the server did not grow from the first half of its samples to the second. The least values count, because many requests
   * wait during an outage.
   */
  checkGrowth() {
    const half = Math.floor(this.#samples.length / 2);
    for (const [name, most] of Object.entries(MOST_GROWTH)) {
      const [early, late] = [this.#samples.slice(0, half), this.#samples.slice(half)].map((samples) => leastOf(samples, name));
      if (half > 0 && late - early > most) this.recordViolation('growth', `${name} grew from ${early} to ${late}`);
    }
  }

  summary() {
    const { answers, lists, valid, fallback, checks, cutOff } = this.#counts;
    return {
      answers,
      cut_off: cutOff,
      lists,
      valid_share: valid / Math.max(1, lists),
      sources: this.#sources,
      fallbacks: this.#reasons,
      fallback_share: fallback / Math.max(1, lists),
      owners_checked: checks,
      latency_ms: percentiles(this.#times),
      rss_bytes: leastOf(this.#samples.slice(Math.floor(this.#samples.length / 2)), 'rss'),
      violations: this.#violations,
      words: this.#messages,
    };
  }

  #takeList(visit, answer, { sent, ownership, message }) {
    this.#counts.lists += 1;
    const ms = performance.now() - sent;
    this.#times.push(ms);
    if (ms > LATE_MS) this.recordViolation('late', `${Math.round(ms)} ms, ${message}`);
    const fault = faultOf(answer, { limit: visit.limit, active: this.#active }) ?? this.#faultOfNow(visit, answer.body, { sent, ownership });
    if (fault !== null) {
      this.recordViolation(fault, message);
      return;
    }
    this.#counts.valid += 1;
    const { source, fallbackReason } = answer.body;
    this.#sources[source] = (this.#sources[source] ?? 0) + 1;
    if (fallbackReason === null) return;
    this.#counts.fallback += 1;
    this.#reasons[fallbackReason] = (this.#reasons[fallbackReason] ?? 0) + 1;
  }

  /** Return the fault of a list for its user at this moment, or null. */
  #faultOfNow({ user, isPersonal }, body, { sent, ownership }) {
    const shown = idsOf({ data: body.data.filter(({ modelName }) => modelName !== SNAPSHOT) });
    const isOld = (moment) => moment !== undefined && sent - moment > SETTLED_MS;
    if (shown.some((id) => isOld(this.#soldOut.get(id)))) return 'sold_out';
    if (shown.some((id) => isOld(this.#purchased.get(`${user} ${id}`)))) return 'bought';
    if (shown.some((id) => isOld(this.#inCart.get(`${user} ${id}`)))) return 'in_cart';
    if (!isPersonal || !ownership.canCheck(user, body)) return null;
    this.#counts.checks += 1;
    return ownership.matches(user, body) ? null : 'wrong_user';
  }
}

function leastOf(samples, name) {
  return Math.min(...samples.map((sample) => sample[name]));
}

function subjectOf(token) {
  return JSON.parse(Buffer.from(token.split('.')[1], 'base64url')).sub;
}
