/** A Python process for a single request: `runPythonInference` needs no pool. */
import { systemClock } from '../../concurrency/time.js';
import { exitFailure, PythonBridgeError } from './failures.js';
import { launchPlan } from './launch.js';
import { Child, DRAIN_MS } from './process.js';
import {
  badAnswer,
  budgetFor,
  EncodedRequest,
  failureIn,
  LineSplitter,
  MAX_ANSWER_BYTES,
  nextId,
  readObject,
  validateResponse,
} from './protocol.js';
import { beforeDeadline, deadlineIn, deadlinePassed } from './queue.js';

/**
 * @import { spawn as Spawn } from 'node:child_process'
 * @import { Clock } from '../../concurrency/time.js'
 * @import { CallOptions, FailureFacts, LaunchOptions } from '../pythonInvoker.js'
 * @import { LaunchPlan } from './launch.js'
 * @import { End } from './process.js'
 */

const DEFAULT_TIMEOUT_MS = 5000; // a start takes 0.3 s, and ten times that on a busy machine
const KILL_MS = 100; // from SIGKILL until the system reports the end; the caller waits no longer

/**
 * Have Python answer one request, in a process of its own.
 *
 * @param {object} request A request of docs/PROTOCOL.md.
 * @param {{spawn?: typeof Spawn, clock?: Clock} & CallOptions & LaunchOptions} [options]
 * @returns {Promise<object>} A validated answer: exit status 0, no signal, exactly one line, the right id and user.
 * @throws {PythonBridgeError}
 */
export async function runPythonInference(request, options = {}) {
  const { timeoutMs = DEFAULT_TIMEOUT_MS, spawn, clock = systemClock } = options;
  const deadline = deadlineIn(timeoutMs, clock);
  const encoded = new EncodedRequest(request);
  const plan = await beforeDeadline(launchPlan(options, []), deadline, clock);
  if (clock.now() >= deadline) throw deadlinePassed();
  return new OneShot(plan, { id: nextId(), encoded }, deadline, { spawn, clock }).answer();
}

/** One request and its process: collects the output, kills the process at the deadline, and validates the result. */
class OneShot {
  #request;
  /** @type {Clock} */
  #clock;
  /** @type {Child} */
  #child;
  #splitter = new LineSplitter(MAX_ANSWER_BYTES, (line) => this.#onLine(line));
  /** @type {Buffer[]} */
  #lines = [];
  /** @type {PythonBridgeError | null} */
  #failure = null; // why the process was killed
  /** @type {NodeJS.Timeout[]} */
  #timers = [];
  #killed; // resolves if the system does not report the end in time
  #resolveKilled;

  /**
   * @param {LaunchPlan} plan
   * @param {{id: string, encoded: EncodedRequest}} request
   * @param {number} deadline Milliseconds on the clock.
   * @param {{spawn?: typeof Spawn, clock: Clock}} seams
   */
  constructor(plan, request, deadline, { spawn, clock }) {
    this.#request = request;
    this.#clock = clock;
    this.#killed = new Promise((resolve) => {
      this.#resolveKilled = resolve;
    });
    const handlers = {
      onOutput: (chunk) => this.#splitter.push(chunk) || this.#kill(badAnswer(`more than ${MAX_ANSWER_BYTES} bytes`)),
      onOutputEnd: () => this.#onOutputEnd(),
      onInputBroken: () => {}, // Python refuses a request that is too large without reading all of it
    };
    this.#child = new Child(plan, handlers, { spawn, clock });
    const leftMs = deadline - clock.now();
    this.#after(leftMs, () => this.#kill(deadlinePassed()));
    this.#child.write(request.encoded.line(request.id, budgetFor(leftMs)));
    this.#child.endInput();
  }

  /** Return the answer once the process has ended. */
  async answer() {
    const end = await Promise.race([this.#child.ended, this.#killed]);
    for (const timer of this.#timers) this.#clock.clearTimeout(timer);
    return this.#answerAt(end ?? { exitCode: null, signal: null, error: null, stderr: this.#child.stderr });
  }

  #onLine(line) {
    if (this.#lines.push(line) > 1) this.#kill(badAnswer('a second line'));
  }

  #onOutputEnd() {
    const failure = new PythonBridgeError('crashed', 'closed its stdout and stayed');
    this.#after(DRAIN_MS, () => this.#kill(failure));
  }

  #kill(failure) {
    if (this.#failure !== null) return;
    this.#failure = failure;
    this.#child.kill('SIGKILL');
    this.#after(KILL_MS, this.#resolveKilled);
  }

  #after(ms, callback) {
    this.#timers.push(this.#clock.setTimeout(callback, ms));
  }

  /** @param {End} end */
  #answerAt(end) {
    const facts = { exitCode: end.exitCode, signal: end.signal, stderrTail: end.stderr.tail() };
    const rest = this.#splitter.rest();
    if (rest.length > 0) this.#lines.push(rest); // the end of the output also ends a line
    if (this.#failure !== null) throw Object.assign(this.#failure, facts);
    if (end.exitCode !== 0) throw this.#reportedFailure(facts) ?? exitFailure(end);
    if (this.#lines.length !== 1) throw badAnswer(`${this.#lines.length} lines`, facts);
    return this.#validAnswer(facts);
  }

  /**
   * Return the failure that the process reported in its only line, or null.
   *
   * @param {FailureFacts} facts
   */
  #reportedFailure(facts) {
    if (facts.exitCode === null || this.#lines.length !== 1) return null;
    try {
      const document = readObject(this.#lines[0]);
      const aboutRequest = document.id === this.#request.id;
      const isOurs = aboutRequest || document.id === undefined;
      return isOurs ? failureIn(document, { ...facts, aboutRequest }) : null;
    } catch {
      return null; // the exit status says what happened
    }
  }

  #validAnswer(facts) {
    try {
      const document = readObject(this.#lines[0]);
      const failure = failureIn(document);
      if (failure !== null) throw badAnswer('a failure with exit status 0', { error: failure.error });
      return validateResponse(document, this.#request);
    } catch (error) {
      throw Object.assign(error, facts);
    }
  }
}
