/** A Python process for a single request: `runPythonInference` needs no pool. */
import { systemClock } from '../../concurrency/time.js';
import { exitFailure, PythonBridgeError } from './failures.js';
import { launchPlan } from './launch.js';
import { Child, DRAIN_MS } from './process.js';
import { badAnswer, failureIn, readObject, validateResponse } from './protocol.js';
import { deadlinePassed, Job } from './job.js';

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
  const job = new Job(request, timeoutMs, clock);
  launchPlan(options, [])
    .then((plan) => job.isSettled || new OneShot(plan, job, { spawn, clock }))
    .catch((failure) => job.fail(failure));
  return job.outcome;
}

/** The process of one request: collects the output, is killed at the deadline, and settles the request at its end. */
class OneShot extends Child {
  #job;
  /** @type {Buffer[]} */
  #lines = [];
  /** @type {PythonBridgeError | null} */
  #failure = null; // why the process was killed
  /** @type {NodeJS.Timeout | null} */
  #timer = null;

  /**
   * @param {LaunchPlan} plan
   * @param {Job} job
   * @param {{spawn?: typeof Spawn, clock: Clock}} seams
   */
  constructor(plan, job, seams) {
    super(plan, seams);
    this.#job = job;
    job.onDeadline = () => this.terminate(deadlinePassed());
    this.ended.then((end) => this.#finish(end));
    this.write(job.line());
    this.endInput(); // it may break: Python refuses a request that is too large without reading all of it
  }

  onLine(line) {
    if (this.#lines.push(line) > 1) this.terminate(badAnswer('a second line'));
  }

  onOutputEnd() {
    if (this.#failure !== null) return; // the process is being killed
    this.#after(DRAIN_MS, () => this.terminate(new PythonBridgeError('crashed', 'closed its stdout and stayed')));
  }

  terminate(failure) {
    if (this.#failure !== null) return;
    this.#failure = failure;
    this.kill('SIGKILL');
    this.#after(KILL_MS, () => this.#finish({ exitCode: null, signal: null, error: null, stderr: this.stderr }));
  }

  #after(ms, callback) {
    this.clock.clearTimeout(this.#timer);
    this.#timer = this.clock.setTimeout(callback, ms);
  }

  /** @param {End} end */
  #finish(end) {
    this.clock.clearTimeout(this.#timer);
    const facts = { exitCode: end.exitCode, signal: end.signal, stderrTail: end.stderr.tail() };
    try {
      this.#job.succeed(this.#answerAt(end, facts));
    } catch (failure) {
      this.#job.fail(Object.assign(failure, facts));
    }
  }

  /**
   * @param {End} end
   * @param {FailureFacts} facts
   */
  #answerAt(end, facts) {
    const rest = this.output.rest();
    if (rest.length > 0) this.#lines.push(rest); // the end of the output also ends a line
    if (this.#failure !== null) throw this.#failure;
    if (end.exitCode !== 0) throw this.#reportedFailure(facts) ?? exitFailure(end);
    if (this.#lines.length !== 1) throw badAnswer(`${this.#lines.length} lines`);
    const document = readObject(this.#lines[0]);
    const failure = failureIn(document);
    if (failure !== null) throw badAnswer('a failure with exit status 0', { error: failure.error });
    return validateResponse(document, this.#job);
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
      const aboutRequest = document.id === this.#job.id;
      const isOurs = aboutRequest || document.id === undefined;
      return isOurs ? failureIn(document, { ...facts, aboutRequest }) : null;
    } catch {
      return null; // the exit status says what happened
    }
  }
}
