/**
 * The lines between Node and Python (docs/PROTOCOL.md).
 *
 * `EncodedRequest` writes a request. `LineSplitter` cuts stdout into lines, `readObject` parses one, and
 * `validateResponse` checks that it answers the request.
 */
import { createHash } from 'node:crypto';

import { PythonBridgeError, reportedFailure } from './failures.js';

/**
 * @import { FailureFacts, Recommendation } from '../pythonInvoker.js'
 */

/**
 * A line of Python as it was parsed. Nothing is known of its members before `validateResponse`.
 *
 * @typedef {Record<string, any>} Document
 */

// Requests

/** The longest line that Python reads, its line end included. */
export const MAX_REQUEST_BYTES = 2 ** 20;

const ENVELOPE_BYTES = 64; // `id` and `budget_ms`, which are added when the request is written
const MAX_BUDGET_MS = 600_000;
const MARGIN_SHARE = 0.05; // of the time left, so that Python's own refusal arrives before Node's deadline
const MARGIN_MS = { least: 5, most: 50 };

let nIds = 0;

/** A request as JSON, without the id and the budget, which differ from attempt to attempt. */
export class EncodedRequest {
  #body;

  /**
   * @param {object} request A request of docs/PROTOCOL.md. A BigInt is sent as text; its own `budget_ms` is ignored.
   * @throws {PythonBridgeError} `invalid_request` or `too_large`, if Python would refuse or could misread the request.
   */
  constructor(request) {
    const { id, budget_ms: _, ...fields } = checkedObject(request);
    this.op = fields.op ?? 'recommend';
    this.userId = fields.user_id ?? null;
    this.callerId = id;
    this.#body = toJson(fields);
    /** The most bytes that its line may have. */
    this.bytes = Buffer.byteLength(this.#body) + ENVELOPE_BYTES;
    if (this.bytes > MAX_REQUEST_BYTES) {
      throw new PythonBridgeError('too_large', `The request has ${this.bytes} bytes, of ${MAX_REQUEST_BYTES}.`);
    }
  }

  /** A hash of the request without its id and budget. */
  get digest() {
    return createHash('sha256').update(this.#body).digest('base64');
  }

  /** Return the bytes of its line. */
  line(id, budgetMs) {
    const members = this.#body.slice(1, -1);
    return Buffer.from(`{"id":"${id}","budget_ms":${budgetMs}${members && ','}${members}}\n`);
  }
}

/** Return an id that no other request of this process has. */
export function nextId() {
  nIds += 1;
  return `n${nIds}`;
}

/** Return the whole milliseconds that Python may use, if `leftMs` are left: a little less than that, and at least 1. */
export function budgetFor(leftMs) {
  const margin = Math.min(MARGIN_MS.most, Math.max(MARGIN_MS.least, MARGIN_SHARE * leftMs));
  return Math.min(MAX_BUDGET_MS, Math.max(1, Math.floor(leftMs - margin)));
}

function checkedObject(request) {
  if (typeof request === 'object' && request !== null && !Array.isArray(request)) return request;
  const received = request === null ? 'null' : typeof request;
  throw new PythonBridgeError('invalid_request', `The request should be an object. Received: ${received}.`);
}

function toJson(fields) {
  let text;
  try {
    text = JSON.stringify(fields, unambiguous);
  } catch (cause) {
    if (cause instanceof PythonBridgeError) throw cause;
    const detail = `The request should be JSON. Received: ${cause.message}`;
    throw new PythonBridgeError('invalid_request', detail, { cause });
  }
  if (text?.startsWith('{')) return text;
  throw new PythonBridgeError(
    'invalid_request',
    'The request should be an object. Received: one whose `toJSON` makes something else of it.',
  );
}

function unambiguous(name, value) {
  if (typeof value === 'bigint') return String(value);
  if (typeof value !== 'number' || Number.isFinite(value)) return value;
  // JSON.stringify would write null, and a null user is a guest.
  throw new PythonBridgeError('invalid_request', `\`${name}\` should be finite. Received: ${value}.`);
}

// Lines

const LF = 0x0a;
const MAX_PIECES = 1024; // of one line; they are then copied into one, as each takes more memory than its bytes

/**
 * Cuts a stream of bytes into lines at 0x0A and nowhere else.
 *
 * `node:readline` cannot replace it: newer Node versions also split at U+2028, and no version limits a line's length.
 */
export class LineSplitter {
  #maxBytes;
  #onLine;
  /** @type {Buffer[]} */
  #pieces = [];
  /** The number of bytes after the last line end. */
  pendingBytes = 0;
  #hasOverflowed = false;

  /**
   * @param {number} maxBytes The longest line, without its line end.
   * @param {(line: Buffer) => void} onLine Called with each line, without its line end.
   */
  constructor(maxBytes, onLine) {
    this.#maxBytes = maxBytes;
    this.#onLine = onLine;
  }

  /**
   * Read the next bytes of the stream.
   *
   * @param {Buffer} chunk
   * @returns {boolean} False once a line is too long. That line and everything after it are ignored.
   */
  push(chunk) {
    let start = 0;
    for (let end = chunk.indexOf(LF); end !== -1; end = chunk.indexOf(LF, start)) {
      if (!this.#append(chunk.subarray(start, end))) return false;
      this.#onLine(this.rest());
      start = end + 1;
    }
    return this.#append(chunk.subarray(start));
  }

  /** Return the bytes after the last line end, and remove them. */
  rest() {
    this.pendingBytes = 0;
    return Buffer.concat(this.#pieces.splice(0));
  }

  /** Return whether the line still fits. */
  #append(piece) {
    this.#pieces.push(piece);
    this.pendingBytes += piece.length;
    this.#hasOverflowed ||= this.pendingBytes > this.#maxBytes;
    if (this.#hasOverflowed) this.rest();
    else if (this.#pieces.length > MAX_PIECES) this.#pieces = [Buffer.concat(this.#pieces)];
    return !this.#hasOverflowed;
  }
}

// Answers

/** The longest answer; a hundred items with all runs take 30 KB. */
export const MAX_ANSWER_BYTES = 8 * 2 ** 20;

/** The operations that are answered with items. */
export const LISTING = new Set(['recommend', 'similar', 'together', 'trending', 'again']);

const SOURCES = new Set(['model', 'fold_in', 'item_cf', 'popularity', 'together', 'trending', 'again']);
const utf8 = new TextDecoder('utf-8', { fatal: true });

/**
 * Return the JSON object in a line.
 *
 * @param {Buffer} line
 * @returns {Document}
 * @throws {PythonBridgeError} `bad_answer`
 */
export function readObject(line) {
  let document;
  try {
    document = JSON.parse(utf8.decode(line));
  } catch (cause) {
    throw badAnswer(`a line that is not JSON (${line.length} bytes)`, { cause });
  }
  if (typeof document === 'object' && document !== null && !Array.isArray(document)) return document;
  throw badAnswer('a line that is no JSON object');
}

/**
 * Return the failure for an answer that breaks the contract.
 *
 * @param {string} received
 * @param {FailureFacts} [facts]
 */
export function badAnswer(received, facts) {
  return new PythonBridgeError('bad_answer', `There should be one line of the contract. Received: ${received}.`, facts);
}

/**
 * Return the failure that a document reports, or null if it reports none.
 *
 * @param {Document} document
 * @param {FailureFacts} [facts]
 */
export function failureIn(document, facts) {
  const { ok, error } = document;
  const isFailure = ok === false && typeof error?.code === 'string' && typeof error.message === 'string';
  return isFailure ? reportedFailure(error, facts) : null;
}

/**
 * Return a document as the answer to a request, after checking that it is one.
 *
 * @param {Document} document From `readObject`.
 * @param {{id: string, encoded: EncodedRequest}} request
 * @returns {Document} The answer, with the caller's own `id`.
 * @throws {PythonBridgeError} What Python reported; `crossed_answer`; `bad_answer`.
 */
export function validateResponse(document, { id, encoded }) {
  const failure = failureIn(document, { aboutRequest: true });
  if (!isAbout(document, id)) throw crossedAnswer('carry the id of the request. Received: another one');
  if (failure !== null) throw failure;
  if (document.ok !== true) throw badAnswer('neither an answer nor a failure');
  if (!isForUser(document.user_id ?? null, encoded)) {
    throw crossedAnswer('be for the user of the request. Received: one for another user');
  }
  if (LISTING.has(encoded.op)) checkListing(document);
  if (encoded.callerId === undefined) delete document.id;
  else document.id = encoded.callerId;
  return document;
}

/**
 * Whether a document is about a request. A failure without an id is: the request was refused unread, as too large.
 *
 * @param {Document} document
 * @param {string} id
 */
export function isAbout({ id: answered, ok }, id) {
  return answered === id || (answered === undefined && ok === false);
}

function crossedAnswer(expectation) {
  return new PythonBridgeError('crossed_answer', `The answer should ${expectation}.`);
}

/**
 * Whether an answer's user is the request's. Ids come back in the shop's type, so 7 and "7" are the same user.
 *
 * `similar` answers with no user if the id cannot be one of this shop.
 */
function isForUser(answered, { op, userId }) {
  if (answered === null || userId === null) return answered === userId || (answered === null && op === 'similar');
  return String(answered) === String(userId);
}

/** @param {Document} document */
function checkListing({ items, runs, warnings, model, model_version: version, source }) {
  const names = [model, version, source];
  if (![items, runs, warnings].every(Array.isArray)) throw badAnswer('an answer without its lists');
  if (!names.every((name) => typeof name === 'string') || !SOURCES.has(source)) {
    throw badAnswer('an answer that does not say who answered');
  }
  if (!items.every(isItem)) throw badAnswer('an item without `productId` or `score`');
}

function isItem(item) {
  const { productId, score } = item ?? {};
  return (typeof productId === 'string' || Number.isSafeInteger(productId)) && Number.isFinite(score);
}
