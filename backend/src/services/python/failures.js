/** How a request to Python can fail: the closed set of reasons, the error class, and what a process's end means. */

/**
 * @import { FailureFacts, FailureReason, WireError } from '../pythonInvoker.js'
 * @import { End } from './process.js'
 */

/**
 * Every reason: first the codes that Python reports (docs/PROTOCOL.md), then what Node notices itself.
 *
 * lasting: a new process would end the same way until an operator changes something.
 * retryable: the same request may succeed later.
 *
 * @type {Readonly<Record<FailureReason, {lasting: boolean, retryable: boolean}>>}
 */
const REASONS = Object.freeze({
  usage: { lasting: true, retryable: false },
  invalid_json: { lasting: false, retryable: false },
  invalid_request: { lasting: false, retryable: false },
  too_large: { lasting: false, retryable: false },
  unknown_user: { lasting: false, retryable: false },
  database_unavailable: { lasting: false, retryable: true },
  internal: { lasting: false, retryable: false },
  deadline: { lasting: false, retryable: true }, // also when Node's own deadline passes
  overloaded: { lasting: false, retryable: true }, // also when Node's own queue is full
  model_refused: { lasting: true, retryable: false },
  no_model: { lasting: true, retryable: false },
  model_mismatch: { lasting: true, retryable: false },
  settings: { lasting: true, retryable: false },
  no_python: { lasting: true, retryable: false }, // no interpreter, or one that may not be executed
  spawn_failed: { lasting: false, retryable: true }, // no process, descriptor or memory is available
  handshake: { lasting: true, retryable: false }, // the process speaks another protocol, or none
  not_ready: { lasting: false, retryable: true }, // no worker is ready, and none is expected soon
  crashed: { lasting: false, retryable: true }, // the process died, or exited without an answer
  bad_answer: { lasting: false, retryable: true }, // not exactly one line of the contract
  crossed_answer: { lasting: false, retryable: true }, // an answer to another request, or for another user
  breaker_open: { lasting: false, retryable: true }, // too many deaths: nothing is started during the cool-down
  quarantined: { lasting: false, retryable: false }, // this request was being computed at two deaths
  closed: { lasting: false, retryable: false }, // the pool is shutting down
});

/** The closed set of `PythonBridgeError.reason`. */
export const FAILURE_REASONS = Object.freeze(Object.keys(REASONS));

const WIRE_CODES = new Set(FAILURE_REASONS.slice(0, FAILURE_REASONS.indexOf('no_python')));

// What an exit status means if no line explains it. 2: Python could not open the script, or did not know a flag.
// 126, 127: a shell was started instead, and could not execute the file or what it names.
/** @type {Map<number | null, FailureReason>} */
const EXIT_REASONS = new Map([
  [2, 'usage'],
  [126, 'no_python'],
  [127, 'no_python'],
  [64, 'usage'],
  [69, 'database_unavailable'],
  [70, 'internal'],
  [75, 'overloaded'],
  [77, 'model_refused'],
  [78, 'settings'],
]);
/** @type {Set<string | undefined>} */
const LASTING_SPAWN_ERRORS = new Set(['ENOENT', 'EACCES', 'EPERM', 'ENOEXEC', 'ENOTDIR', 'ELOOP', 'EISDIR']);

/** A request without a validated answer. For every reason the caller should use its fallback. */
export class PythonBridgeError extends Error {
  name = 'PythonBridgeError';

  /**
   * @param {FailureReason} reason
   * @param {string} detail A sentence for people.
   * @param {FailureFacts} [facts]
   */
  constructor(
    reason,
    detail,
    { exitCode = null, signal = null, stderrTail = '', error = null, aboutRequest = false, cause } = {},
  ) {
    super(`${reason}: ${detail}`, { cause });
    this.reason = reason;
    this.detail = detail;
    this.exitCode = exitCode;
    this.signal = signal;
    this.stderrTail = stderrTail;
    this.error = error;
    /** Whether a process that had started well failed on this request; other requests may succeed. */
    this.aboutRequest = aboutRequest;
    this.retryable = error?.retryable ?? REASONS[reason].retryable;
  }

  /** Whether a new process would end the same way until an operator changes something. */
  get isLasting() {
    return REASONS[this.reason].lasting && !this.aboutRequest;
  }
}

/**
 * Return the failure that Python reported. A code that only a newer Python knows counts as `internal`.
 *
 * @param {WireError} error
 * @param {FailureFacts} [facts]
 */
export function reportedFailure(error, facts = {}) {
  const reason = WIRE_CODES.has(error.code) ? /** @type {FailureReason} */ (error.code) : 'internal';
  return new PythonBridgeError(reason, error.message, { ...facts, error });
}

/**
 * Return the failure for the end of a process that reported none.
 *
 * @param {End} end
 * @param {boolean} [wasReady] Whether the process had been ready. If so, a new one can start, too.
 */
export function exitFailure({ exitCode, signal, error, stderr }, wasReady = false) {
  const facts = { exitCode, signal, stderrTail: stderr.tail(), aboutRequest: wasReady, cause: error ?? undefined };
  if (error !== null) {
    const reason = LASTING_SPAWN_ERRORS.has(error.code) ? 'no_python' : 'spawn_failed';
    return new PythonBridgeError(reason, error.message, facts);
  }
  if (signal !== null) return new PythonBridgeError('crashed', `ended by ${signal}`, facts);
  const isWatchdogs = exitCode === 1 && stderr.hasTimeout;
  if (isWatchdogs) return new PythonBridgeError('deadline', "ended by Python's watchdog", facts);
  return new PythonBridgeError(EXIT_REASONS.get(exitCode) ?? 'crashed', `left with status ${exitCode}`, facts);
}
