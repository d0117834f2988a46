import { badAnswer, failureIn, MAX_ANSWER_BYTES, provenAnswer, readObject } from './answer.js';
import { Child, DRAIN_MS } from './child.js';
import { systemClock } from '../../concurrency/clock.js';
import { deadlineIn, inTime, outOfTime } from './deadline.js';
import { PythonBridgeError, endFailure } from './failures.js';
import { LineSplitter } from './frames.js';
import { launchPlan } from './launch.js';
import { budgetFor, EncodedRequest, nextId } from './request.js';

const DEFAULT_TIMEOUT_MS = 5000; // starting costs 0.3 s, on a busy machine ten times that
const END_MS = 100; // from SIGKILL until the system says that it is over; the caller waits no longer

/**
 * Ask Python once, in a process of its own.
 *
 * @param {object} request A request of docs/PROTOCOL.md.
 * @param {{timeoutMs?: number, spawn?: Function, clock?: typeof systemClock} & LaunchOptions} [options]
 * @returns {Promise<object>} A proven answer: exit status 0, no signal, exactly one line, our id, our user.
 * @throws {PythonBridgeError}
 */
export async function runPythonInference(request, options = {}) {
  const { timeoutMs = DEFAULT_TIMEOUT_MS, spawn, clock = systemClock } = options;
  const deadline = deadlineIn(timeoutMs, clock);
  const encoded = new EncodedRequest(request);
  const plan = await inTime(launchPlan(options, []), deadline, clock);
  if (clock.now() >= deadline) throw outOfTime();
  return new Conversation(plan, { id: nextId(), encoded }, deadline, { spawn, clock }).outcome();
}

/** One request, one process: collects what it writes, ends it when its time is up, and judges what came of it. */
class Conversation {
  #asked;
  #clock;
  #child;
  #splitter = new LineSplitter(MAX_ANSWER_BYTES, (line) => this.#take(line));
  #lines = [];
  #fault = null;
  #timers = [];
  #stopped;
  #giveUp;

  constructor(plan, asked, deadline, { spawn, clock }) {
    this.#asked = asked;
    this.#clock = clock;
    this.#stopped = new Promise((resolve) => {
      this.#giveUp = resolve;
    });
    const handlers = {
      onOutput: (chunk) => this.#splitter.push(chunk) || this.#stop(badAnswer(`more than ${MAX_ANSWER_BYTES} bytes`)),
      onOutputEnd: () => this.#after(DRAIN_MS, () => this.#stop(new PythonBridgeError('crashed', 'closed its stdout and stayed'))),
      onInputBroken: () => {}, // a request that is too large is refused without being read to its end
    };
    this.#child = new Child(plan, handlers, { spawn, clock });
    const left = deadline - clock.now();
    this.#after(left, () => this.#stop(outOfTime()));
    this.#child.write(asked.encoded.line(asked.id, budgetFor(left)));
    this.#child.endInput();
  }

  /** Return the answer once the process has ended. */
  async outcome() {
    const end = await Promise.race([this.#child.ended, this.#stopped]);
    for (const timer of this.#timers) this.#clock.clearTimeout(timer);
    return this.#judge(end ?? { exitCode: null, signal: null, error: null, stderr: this.#child.stderr });
  }

  #take(line) {
    if (this.#lines.push(line) > 1) this.#stop(badAnswer('a second line'));
  }

  #stop(fault) {
    if (this.#fault !== null) return;
    this.#fault = fault;
    this.#child.kill('SIGKILL');
    this.#after(END_MS, this.#giveUp);
  }

  #after(ms, callback) {
    this.#timers.push(this.#clock.setTimeout(callback, ms));
  }

  #judge(end) {
    const facts = { exitCode: end.exitCode, signal: end.signal, stderrTail: end.stderr.tail() };
    const rest = this.#splitter.rest();
    if (rest.length > 0) this.#lines.push(rest); // the end of the output ends a line, too
    if (this.#fault !== null) throw Object.assign(this.#fault, facts);
    if (end.exitCode !== 0) throw this.#told(facts) ?? endFailure(end);
    if (this.#lines.length !== 1) throw badAnswer(`${this.#lines.length} lines`, facts);
    return this.#proven(facts);
  }

  /** Return the failure of a process that told it in its only line, as it has to. */
  #told(facts) {
    if (facts.exitCode === null || this.#lines.length !== 1) return null;
    try {
      const document = readObject(this.#lines[0]);
      const hasReadIt = document.id === this.#asked.id;
      return hasReadIt || document.id === undefined ? failureIn(document, { ...facts, aboutRequest: hasReadIt }) : null;
    } catch {
      return null; // it cannot even tell what went wrong; its exit status does
    }
  }

  #proven(facts) {
    try {
      const document = readObject(this.#lines[0]);
      const failure = failureIn(document);
      if (failure !== null) throw badAnswer('a failure with exit status 0', { error: failure.error });
      return provenAnswer(document, this.#asked);
    } catch (error) {
      throw Object.assign(error, facts);
    }
  }
}
