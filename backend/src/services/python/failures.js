/**
 * Every way in which asking Python can fail: the codes that Python tells (docs/PROTOCOL.md), then what Node sees by itself.
 *
 * lasting: a new process would end the same way until somebody puts something right. retryable: the same request may succeed later.
 */
const REASONS = Object.freeze({
  usage: { lasting: true, retryable: false },
  invalid_json: { lasting: false, retryable: false },
  invalid_request: { lasting: false, retryable: false },
  too_large: { lasting: false, retryable: false },
  unknown_user: { lasting: false, retryable: false },
  database_unavailable: { lasting: false, retryable: true },
  internal: { lasting: false, retryable: false },
  deadline: { lasting: false, retryable: true }, // also when Node's own time is up
  overloaded: { lasting: false, retryable: true }, // also when Node's own queue is full
  model_refused: { lasting: true, retryable: false },
  no_model: { lasting: true, retryable: false },
  model_mismatch: { lasting: true, retryable: false },
  settings: { lasting: true, retryable: false },
  no_python: { lasting: true, retryable: false }, // no interpreter, or one that may not be executed
  spawn_failed: { lasting: false, retryable: true }, // processes, descriptors or memory are lacking
  handshake: { lasting: true, retryable: false }, // it speaks another protocol, or none
  not_ready: { lasting: false, retryable: true }, // no worker is ready, and none is expected soon
  crashed: { lasting: false, retryable: true }, // it died, or left without an answer
  bad_answer: { lasting: false, retryable: true }, // not exactly one line of the contract
  crossed_answer: { lasting: false, retryable: true }, // an answer to somebody else's question
  breaker_open: { lasting: false, retryable: true }, // Python keeps dying and is left alone for a while
  quarantined: { lasting: false, retryable: false }, // this very request was being computed at two deaths
  closed: { lasting: false, retryable: false }, // the pool is shutting down
});

/** The closed set of `PythonBridgeError.reason`. */
export const FAILURE_REASONS = Object.freeze(Object.keys(REASONS));

const WIRE_CODES = new Set(FAILURE_REASONS.slice(0, FAILURE_REASONS.indexOf('no_python')));

// What an exit status says where no line does. 2: Python could not open the script, or did not know a flag. 126, 127: a shell was started
// instead, and could not execute the file or what it names.
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
const LASTING_SPAWN_ERRORS = new Set(['ENOENT', 'EACCES', 'EPERM', 'ENOEXEC', 'ENOTDIR', 'ELOOP', 'EISDIR']);

/** A request that got no proven answer; the caller has a fallback of its own for all of them. */
export class PythonBridgeError extends Error {
  name = 'PythonBridgeError';

  /**
   * @param {string} reason One of `FAILURE_REASONS`.
   * @param {string} detail For people.
   * @param {object} [facts] `exitCode`, `signal`, `stderrTail`, `error` (the wire's own), `aboutRequest`, `cause`.
   */
  constructor(reason, detail, { exitCode = null, signal = null, stderrTail = '', error = null, aboutRequest = false, cause } = {}) {
    super(`${reason}: ${detail}`, { cause });
    this.reason = reason;
    this.detail = detail;
    this.exitCode = exitCode;
    this.signal = signal;
    this.stderrTail = stderrTail;
    this.error = error;
    /** Whether a process that had started well told it of this request, or ended over it: others may fare better, whatever the reason. */
    this.aboutRequest = aboutRequest;
    this.retryable = error?.retryable ?? REASONS[reason].retryable;
  }

  /** Whether a new process would end the same way until somebody puts something right. */
  get isLasting() {
    return REASONS[this.reason].lasting && !this.aboutRequest;
  }
}

/** Return the failure that Python itself told; a code that a newer Python may have counts as `internal`. */
export function toldFailure(error, facts = {}) {
  const reason = WIRE_CODES.has(error.code) ? error.code : 'internal';
  return new PythonBridgeError(reason, error.message, { ...facts, error });
}

/**
 * Return the failure that the end of a process is, where it has told none.
 *
 * @param {{exitCode: number | null, signal: string | null, error: Error | null, stderr: StderrRing}} end
 * @param {boolean} [hadStarted] Whether it was ready before: what has started once can start again.
 */
export function endFailure({ exitCode, signal, error, stderr }, hadStarted = false) {
  const facts = { exitCode, signal, stderrTail: stderr.tail(), aboutRequest: hadStarted, cause: error ?? undefined };
  if (error !== null) {
    return new PythonBridgeError(LASTING_SPAWN_ERRORS.has(error.code) ? 'no_python' : 'spawn_failed', error.message, facts);
  }
  if (signal !== null) return new PythonBridgeError('crashed', `ended by ${signal}`, facts);
  if (exitCode === 1 && stderr.hasTimeout) return new PythonBridgeError('deadline', "ended by Python's watchdog", facts);
  return new PythonBridgeError(EXIT_REASONS.get(exitCode) ?? 'crashed', `left with status ${exitCode}`, facts);
}
