const DEATHS = 2; // once is an accident
const QUARANTINE_MS = 10 * 60_000; // from the last death on
const MOST_SUSPECTS = 1000; // bounds memory where everything dies; by then the breaker is open

/** Remembers which requests a worker was computing when it died, and keeps those away that were there twice. */
export class Quarantine {
  #now;
  #suspects = new Map();

  /** @param {() => number} now Milliseconds, monotonic. */
  constructor(now) {
    this.#now = now;
  }

  /**
   * Charge a request with a death.
   *
   * @param {string} digest
   * @returns {boolean} Whether it is in quarantine from now on.
   */
  charge(digest) {
    const deaths = (this.#recent(digest)?.deaths ?? 0) + 1;
    this.#suspects.delete(digest); // to the end: the map's order is the order of the last deaths
    this.#suspects.set(digest, { deaths, lastDeath: this.#now() });
    if (this.#suspects.size > MOST_SUSPECTS) this.#suspects.delete(this.#suspects.keys().next().value);
    return deaths >= DEATHS;
  }

  /** Whether a request has to stay away. */
  holds(digest) {
    return (this.#recent(digest)?.deaths ?? 0) >= DEATHS;
  }

  get size() {
    return this.#suspects.size;
  }

  #recent(digest) {
    const suspect = this.#suspects.get(digest);
    if (suspect === undefined || this.#now() - suspect.lastDeath < QUARANTINE_MS) return suspect;
    this.#suspects.delete(digest);
    return undefined;
  }
}
