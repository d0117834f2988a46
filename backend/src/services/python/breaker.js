const DEATHS = 5; // within the window: a crash loop, no accident
const WINDOW_MS = 3 * 60_000;
const COOL_DOWN_MS = 30_000; // between two attempts while it is open

/**
 * Keeps requests from a Python that keeps dying. Pure: it only counts, on the clock it is given.
 *
 * closed: everything passes. open: nothing does, and no process runs. half-open, after the cool-down: exactly one request passes, and
 * what becomes of it decides.
 */
export class Breaker {
  #now;
  #limits;
  #deaths = [];
  #openedAt = null;

  /** Whether the one request is under way that shows whether Python is well again. */
  isProbing = false;

  /**
   * @param {() => number} now Milliseconds, monotonic.
   * @param {{deaths?: number, windowMs?: number, coolDownMs?: number}} [limits]
   */
  constructor(now, { deaths = DEATHS, windowMs = WINDOW_MS, coolDownMs = COOL_DOWN_MS } = {}) {
    this.#now = now;
    this.#limits = { deaths, windowMs, coolDownMs };
  }

  get state() {
    if (this.#openedAt === null) return 'closed';
    return this.isProbing || this.#now() - this.#openedAt >= this.#limits.coolDownMs ? 'half-open' : 'open';
  }

  /** Deaths within the window. */
  get recentDeaths() {
    this.#forgetOldDeaths();
    return this.#deaths.length;
  }

  /**
   * Ask to let a request pass.
   *
   * @returns {'pass' | 'probe' | 'refuse'} A probe has to be followed by `succeed`, `die` or `release`.
   */
  admit() {
    if (this.state === 'closed') return 'pass';
    if (this.state === 'open' || this.isProbing) return 'refuse';
    this.isProbing = true;
    return 'probe';
  }

  /** The probe was answered: all is well again. */
  succeed() {
    this.#openedAt = null;
    this.isProbing = false;
    this.#deaths = [];
  }

  /** The probe ended without showing anything about Python; the next request may be one. */
  release() {
    this.isProbing = false;
  }

  /**
   * A process died that nobody had asked to.
   *
   * @returns {boolean} Whether the breaker has opened because of it.
   */
  die() {
    const wasHalfOpen = this.state === 'half-open';
    this.#deaths.push(this.#now());
    if (!wasHalfOpen && (this.#openedAt !== null || this.recentDeaths < this.#limits.deaths)) return false;
    this.#openedAt = this.#now();
    this.isProbing = false;
    return true;
  }

  #forgetOldDeaths() {
    const oldest = this.#now() - this.#limits.windowMs;
    this.#deaths = this.#deaths.filter((moment) => moment > oldest);
  }
}
