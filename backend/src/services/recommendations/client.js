/** The client of the Python side: sends requests, checks whose answer came, and pauses after failures that every request would meet. */
import { Pause, systemClock } from '../../concurrency/time.js';
import { PythonBridgeError } from '../pythonInvoker.js';

/**
 * @import { Pool, Recommendation, RecommendationRequest, SimilarRequest } from '../pythonInvoker.js'
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
  #python;
  #timeoutMs;
  #metrics;
  #pause = new Pause(PAUSE_MS);
  #failure = null;
  #streak = new FailureStreak();

  /** @param {{python: Pick<Pool, 'runPythonInference'>, timeoutMs: number, metrics: Pick<Metrics, 'compute'>}} options */
  constructor({ python, timeoutMs, metrics }) {
    this.#python = python;
    this.#timeoutMs = timeoutMs;
    this.#metrics = metrics;
  }

  get isPaused() {
    return this.#pause.isOn;
  }

  /** Throw the latest shared failure while the pause lasts. */
  checkPause() {
    if (this.isPaused) throw this.#failure;
  }

  /**
   * Request a list that is not empty and belongs to the user of the request.
   *
   * @param {RecommendationRequest | SimilarRequest} request
   * @returns {Promise<Recommendation>}
   * @throws {PythonBridgeError | EmptyAnswer}
   */
  async request(request) {
    this.checkPause();
    const start = systemClock.now();
    let outcome;
    try {
      const answer = await this.#python.runPythonInference(request, { timeoutMs: this.#timeoutMs });
      this.#streak.end();
      checkAnswer(answer, request.user_id ?? null);
      outcome = 'ok';
      return answer;
    } catch (error) {
      outcome = error.reason ?? 'error';
      if (this.#isShared(error, request)) this.#beginPause(error);
      throw error;
    } finally {
      this.#metrics.compute({ ms: systemClock.now() - start, outcome });
    }
  }

  /**
   * Whether every other request would fail in the same way. A failure before the request was sent is shared. A failure that Python
   * answered counts as shared after several different requests in a row met it.
   */
  #isShared(error, request) {
    if (!SHARED_REASONS.has(error.reason)) return false;
    return !error.aboutRequest || this.#streak.add(error.reason, nameOf(request)) >= STREAK;
  }

  #beginPause(failure) {
    this.#failure = failure;
    this.#pause.begin();
  }
}

/** Different requests that failed for one reason, with no successful answer in between. */
class FailureStreak {
  #reason = null;
  #names = new Set();

  /** Add a failed request. Returns how many different ones there are, at most `STREAK`. */
  add(reason, name) {
    if (reason !== this.#reason) this.end();
    this.#reason = reason;
    if (this.#names.size < STREAK) this.#names.add(name);
    return this.#names.size;
  }

  end() {
    this.#names.clear();
  }
}

function nameOf({ op = 'recommend', user_id: user, item_id: item }) {
  return `${op} ${user ?? item}`;
}

function checkAnswer({ user_id: answered, items }, userId) {
  if (userId !== null && String(answered) !== String(userId)) {
    throw new PythonBridgeError('crossed_answer', `The answer should be for user ${userId}. Received: one for ${answered}.`);
  }
  if (items.length === 0) throw new EmptyAnswer('Python should have something to show. Received: nothing.');
}
