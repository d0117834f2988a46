/** Records what became of every request of a soak over HTTP, and all violations of what must hold. */
import { Recorder, percentiles } from '../poolSoak/recorder.js';
import { faultOf, idsOf } from './recorder.js';

const SETTLED_MS = 1000; // a change that is older than this, when a request is sent, must be respected
const SNAPSHOT = 'snapshot'; // items for an unavailable database, which may be purchased or sold out

/** Records the answers and violations of a soak. */
export class SoakRecorder {
  #recorder = new Recorder();
  #active;
  #soldOut = new Map(); // the time, by product
  #purchased = new Map(); // the time, by user and product
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
    return { asked: this.#counts.answers + this.#counts.cutOff, answered: this.#counts.answers, violations: this.#recorder.violations };
  }

  get nOwnershipChecks() {
    return this.#counts.checks;
  }

  recordViolation(kind, message) {
    this.#recorder.recordViolation(kind, message);
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

  /** Record an interaction that the server has acknowledged. */
  addAcknowledged(user, { eventId, productId, actionCode }, status) {
    this.#acknowledged.set(eventId, `${user} ${productId} ${actionCode}`);
    if (status === 202) this.#counts.spooled += 1;
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
      violations: this.#recorder.violations,
      words: this.#recorder.messages,
    };
  }

  #takeList(visit, answer, { sent, ownership, message }) {
    this.#counts.lists += 1;
    this.#times.push(performance.now() - sent);
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
    if (!isPersonal || !ownership.canCheck(user, body)) return null;
    this.#counts.checks += 1;
    return ownership.matches(user, body) ? null : 'wrong_user';
  }
}

function subjectOf(token) {
  return JSON.parse(Buffer.from(token.split('.')[1], 'base64url')).sub;
}
