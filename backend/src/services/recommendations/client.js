/** The client of the Python side: sends requests, and pauses after failures that every request would meet. */
import { Breaker } from '../../concurrency/breaker.js';
import { systemClock } from '../../concurrency/time.js';

/**
 * @import { ListRequest, Pool, Recommendation } from '../pythonInvoker.js'
 * @import { PythonBridgeError } from '../pythonInvoker.js'
 * @import { Metrics } from '../../monitoring/metrics.js'
 */

const PAUSE_MS = 250; // after a failure that every request would meet, none is sent
const SHARED_REASONS = new Set([
  ...['usage', 'model_refused', 'no_model', 'model_mismatch', 'settings', 'no_python', 'handshake'],
  ...['breaker_open', 'not_ready', 'overloaded', 'spawn_failed', 'closed', 'database_unavailable'],
]);
const STREAK = 3; // different requests in a row; two users with damaged rows are not yet a sign that all requests fail

/** The Python side answered with an empty list. */
export class EmptyAnswer extends Error {
  name = 'EmptyAnswer';
  reason = 'empty_answer';
}

/** Sends requests to the Python side and counts their outcomes. After a shared failure, it refuses requests for a moment. */
export class RecommenderClient {
  #parts;
  #breaker = new Breaker({ waitMs: PAUSE_MS });
  #failure = null; // the latest one of those that every request would meet
  #streak = { reason: null, names: new Set() }; // different requests that failed for one reason, with no answer in between

  /** @param {{python: Pick<Pool, 'runPythonInference'>, timeoutMs: number, metrics: Pick<Metrics, 'compute'>}} parts */
  constructor(parts) {
    this.#parts = parts;
  }

  get isPaused() {
    return this.#breaker.isOpen;
  }

  /** Throw the latest shared failure while the pause lasts. */
  checkPause() {
    if (this.isPaused) throw this.#failure;
  }

  /**
   * Request a list that is not empty, except of `again`: of most users nothing is due.
   *
   * @param {ListRequest} request
   * @returns {Promise<Recommendation>}
   * @throws {PythonBridgeError | EmptyAnswer}
   */
  async request(request) {
    this.checkPause();
    const { python, timeoutMs, metrics } = this.#parts;
    const start = systemClock.now();
    let outcome;
    try {
      const answer = await python.runPythonInference(request, { timeoutMs });
      this.#streak.names.clear();
      if (answer.items.length === 0 && request.op !== 'again') throw new EmptyAnswer('Python should have something to show. Received: nothing.');
      outcome = 'ok';
      return answer;
    } catch (error) {
      outcome = error.reason ?? 'error';
      if (this.#isShared(error, request)) {
        this.#failure = error;
        this.#breaker.fail();
      }
      throw error;
    } finally {
      metrics.compute({ ms: systemClock.now() - start, outcome });
    }
  }

  /**
   * Whether every other request would fail in the same way. A failure before the request was sent is shared. A failure that Python
   * answered counts as shared after several different requests in a row met it.
   */
  #isShared({ reason, aboutRequest }, request) {
    if (!SHARED_REASONS.has(reason)) return false;
    if (!aboutRequest) return true;
    const names = reason === this.#streak.reason ? this.#streak.names : new Set();
    if (names.size < STREAK) names.add(nameOf(request));
    this.#streak = { reason, names };
    return names.size >= STREAK;
  }
}

function nameOf({ op = 'recommend', user_id: user, item_id: item, item_ids: items }) {
  return `${op} ${user ?? item ?? items}`;
}
