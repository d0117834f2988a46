/** The books of a soak: what was asked, what came of it and when, and everything that should not have been. */

const MOST_VIOLATIONS = 50; // of which the words are kept; all are counted

/** Return the value below which a share of the sorted numbers lie; 0 of none. */
export function quantile(sorted, share) {
  return sorted.length === 0 ? 0 : sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
}

/** Return the usual quantiles of some numbers, rounded to three digits after the point. */
export function spread(numbers) {
  const sorted = Float64Array.from(numbers).sort();
  const rounded = (value) => Math.round(1000 * value) / 1000;
  return {
    p50: rounded(quantile(sorted, 0.5)),
    p95: rounded(quantile(sorted, 0.95)),
    p99: rounded(quantile(sorted, 0.99)),
    max: rounded(sorted.at(-1) ?? 0),
  };
}

/** Counts outcomes and keeps times. */
export class Ledger {
  asked = 0;
  outcomes = {};
  violations = {};
  /** The first of them, for people. */
  words = [];
  /** Milliseconds until proven answers. */
  latencies = [];
  /** Milliseconds past the deadline, of what was settled after it. */
  overruns = [];
  /** Milliseconds from a death, of several in a row the last one, until the first proven answer to a question asked after it. */
  recoveries = [];

  #death = null;

  /** Take note of an outcome. */
  settle({ outcome, asked, now, timeoutMs }) {
    this.outcomes[outcome] = (this.outcomes[outcome] ?? 0) + 1;
    if (now - asked > timeoutMs) this.overruns.push(now - asked - timeoutMs);
    if (outcome !== 'answered') return;
    this.latencies.push(now - asked);
    if (this.#death === null || asked < this.#death) return;
    this.recoveries.push(now - this.#death);
    this.#death = null;
  }

  /** Take note that a worker has died. */
  die(now) {
    this.#death = now;
  }

  /** Take note of what should not have been. */
  violate(kind, words) {
    this.violations[kind] = (this.violations[kind] ?? 0) + 1;
    if (this.words.length < MOST_VIOLATIONS) this.words.push(`${kind}: ${words}`);
  }

  get settled() {
    return Object.values(this.outcomes).reduce((sum, count) => sum + count, 0);
  }
}
