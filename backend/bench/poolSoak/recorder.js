/** What a soak records: outcomes, times, and violations of what must always hold. */

const MAX_MESSAGES = 50; // of violations; all of them are counted

/** Return the value below which a share of the sorted values lie; 0 for no values. */
export function quantile(sorted, share) {
  return sorted.length === 0 ? 0 : sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
}

/** Return the 50th, 95th and 99th percentile and the maximum of some values, rounded to three decimals. */
export function percentiles(values) {
  const sorted = Float64Array.from(values).sort();
  const rounded = (value) => Math.round(1000 * value) / 1000;
  return {
    p50: rounded(quantile(sorted, 0.5)),
    p95: rounded(quantile(sorted, 0.95)),
    p99: rounded(quantile(sorted, 0.99)),
    max: rounded(sorted.at(-1) ?? 0),
  };
}

/** Counts outcomes and violations, and collects times. */
export class Recorder {
  nRequests = 0;
  outcomes = {};
  violations = {};
  /** The first violations, as sentences. */
  messages = [];
  /** Milliseconds until validated answers. */
  latencies = [];
  /** Milliseconds after the deadline, of requests that were settled too late. */
  overruns = [];
  /** Milliseconds from the last death until the first answer to a request that was sent after it. */
  recoveries = [];

  #lastDeath = null;

  /**
   * Record how a request ended.
   *
   * @param {{outcome: string, sent: number, now: number, timeoutMs: number}} result Moments in milliseconds.
   */
  recordOutcome({ outcome, sent, now, timeoutMs }) {
    this.outcomes[outcome] = (this.outcomes[outcome] ?? 0) + 1;
    if (now - sent > timeoutMs) this.overruns.push(now - sent - timeoutMs);
    if (outcome !== 'answered') return;
    this.latencies.push(now - sent);
    if (this.#lastDeath === null || sent < this.#lastDeath) return;
    this.recoveries.push(now - this.#lastDeath);
    this.#lastDeath = null;
  }

  /** Record that a worker has died. */
  recordDeath(now) {
    this.#lastDeath = now;
  }

  /** Record that something which must always hold did not. */
  recordViolation(kind, message) {
    this.violations[kind] = (this.violations[kind] ?? 0) + 1;
    if (this.messages.length < MAX_MESSAGES) this.messages.push(`${kind}: ${message}`);
  }

  get nSettled() {
    return Object.values(this.outcomes).reduce((sum, count) => sum + count, 0);
  }
}
