import { Pause } from '../../concurrency/pause.js';
import { systemClock } from '../../concurrency/clock.js';
import { PythonBridgeError } from '../python/failures.js';
import { NothingToShow } from './fallbackReasons.js';

const PAUSE_MS = 250; // Python is left alone for so long after it has failed for a reason that no single request has
const NOBODYS = new Set(['breaker_open', 'not_ready', 'overloaded', 'spawn_failed', 'closed', 'database_unavailable']);

/** Asks Python, counts what comes of it, and spares everybody a question that has just failed for everybody. */
export class Asker {
  #python;
  #timeoutMs;
  #metrics;
  #pause = new Pause(PAUSE_MS);
  #failure = null;

  constructor({ python, timeoutMs, metrics }) {
    this.#python = python;
    this.#timeoutMs = timeoutMs;
    this.#metrics = metrics;
  }

  get isPaused() {
    return this.#pause.isOn;
  }

  /** Fail as the last question did, as long as Python is left alone. */
  checkPause() {
    if (this.isPaused) throw this.#failure;
  }

  /**
   * Return an answer of Python that has items, and belongs to the customer who was asked for.
   *
   * @param {object} request See docs/PROTOCOL.md.
   * @returns {Promise<object>}
   * @throws {PythonBridgeError | NothingToShow}
   */
  async ask(request) {
    this.checkPause();
    const start = systemClock.now();
    let outcome;
    try {
      const answer = await this.#python.runPythonInference(request, { timeoutMs: this.#timeoutMs });
      check(answer, request.user_id ?? null);
      outcome = 'ok';
      return answer;
    } catch (error) {
      outcome = error.reason ?? 'error';
      if (error.isLasting || NOBODYS.has(error.reason)) this.#begin(error);
      throw error;
    } finally {
      this.#metrics.compute({ ms: systemClock.now() - start, outcome });
    }
  }

  #begin(failure) {
    this.#failure = failure;
    this.#pause.begin();
  }
}

function check({ user_id: answered, items }, userId) {
  if (userId !== null && String(answered) !== String(userId)) {
    throw new PythonBridgeError('crossed_answer', `The answer should be for customer ${userId}. Received: one for ${answered}.`);
  }
  if (items.length === 0) throw new NothingToShow('Python should have something to show. Received: nothing.');
}
