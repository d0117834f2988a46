import { Pause } from '../../concurrency/pause.js';
import { systemClock } from '../../concurrency/clock.js';
import { PythonBridgeError } from '../python/failures.js';
import { NothingToShow } from './fallbackReasons.js';

const PAUSE_MS = 250; // Python is left alone for so long after it has failed for a reason that no single request has
const EVERYBODYS = new Set([
  ...['usage', 'model_refused', 'no_model', 'model_mismatch', 'settings', 'no_python', 'handshake'],
  ...['breaker_open', 'not_ready', 'overloaded', 'spawn_failed', 'closed', 'database_unavailable'],
]);
const SEVERAL = 3; // different questions in a row: two customers whose rows are damaged are no sign that everybody's are

/** Asks Python, counts what comes of it, and spares everybody a question that has just failed for everybody. */
export class Asker {
  #python;
  #timeoutMs;
  #metrics;
  #pause = new Pause(PAUSE_MS);
  #failure = null;
  #row = new Row();

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
      this.#row.end();
      check(answer, request.user_id ?? null);
      outcome = 'ok';
      return answer;
    } catch (error) {
      outcome = error.reason ?? 'error';
      if (this.#isEverybodys(error, request)) this.#begin(error);
      throw error;
    } finally {
      this.#metrics.compute({ ms: systemClock.now() - start, outcome });
    }
  }

  /**
   * Whether others would fail as this question did. What keeps Python from being asked does so for all. What it answers to one question says
   * something about that question, until several different ones have the same answer and none a better one.
   */
  #isEverybodys(error, request) {
    if (!EVERYBODYS.has(error.reason)) return false;
    return !error.aboutRequest || this.#row.add(error.reason, nameOf(request)) >= SEVERAL;
  }

  #begin(failure) {
    this.#failure = failure;
    this.#pause.begin();
  }
}

/** Different questions that failed for one reason, with no answer in between. */
class Row {
  #reason = null;
  #names = new Set();

  /** Take note of a question, and return how many there are. */
  add(reason, name) {
    if (reason !== this.#reason) this.end();
    this.#reason = reason;
    if (this.#names.size < SEVERAL) this.#names.add(name);
    return this.#names.size;
  }

  end() {
    this.#names.clear();
  }
}

function nameOf({ op = 'recommend', user_id: user, item_id: item }) {
  return `${op} ${user ?? item}`;
}

function check({ user_id: answered, items }, userId) {
  if (userId !== null && String(answered) !== String(userId)) {
    throw new PythonBridgeError('crossed_answer', `The answer should be for customer ${userId}. Received: one for ${answered}.`);
  }
  if (items.length === 0) throw new NothingToShow('Python should have something to show. Received: nothing.');
}
