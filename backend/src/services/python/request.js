import { createHash } from 'node:crypto';

import { PythonBridgeError } from './failures.js';

/** What Python reads at most, the line end included. */
export const MAX_REQUEST_BYTES = 2 ** 20;

const ENVELOPE_BYTES = 64; // `id` and `budget_ms`, which are added when the request is written
const MAX_BUDGET_MS = 600_000;
const MARGIN = 0.05; // of the time left: for Python's own refusal to arrive before ours
const MARGIN_MS = { least: 5, most: 50 };

let written = 0;

/** A request in bytes, but for the mark and the budget that each way to Python gives it. */
export class EncodedRequest {
  #body;

  /**
   * @param {object} request A request of docs/PROTOCOL.md. A BigInt is sent as text; its own `budget_ms` is not looked at.
   * @throws {PythonBridgeError} `invalid_request` or `too_large`, of what Python would refuse or could misread.
   */
  constructor(request) {
    const { id, budget_ms: _, ...asked } = checkedObject(request);
    this.op = asked.op ?? 'recommend';
    this.userId = asked.user_id ?? null;
    this.callerId = id;
    this.#body = json(asked);
    this.bytes = Buffer.byteLength(this.#body) + ENVELOPE_BYTES; // of its line, at most
    if (this.bytes > MAX_REQUEST_BYTES)
      throw new PythonBridgeError('too_large', `The request has ${this.bytes} bytes, of ${MAX_REQUEST_BYTES}.`);
  }

  /** The same for the same question, whatever mark and time it came with. */
  get digest() {
    return createHash('sha256').update(this.#body).digest('base64');
  }

  /** Return its line. */
  line(id, budgetMs) {
    const members = this.#body.slice(1, -1);
    return Buffer.from(`{"id":"${id}","budget_ms":${budgetMs}${members && ','}${members}}\n`);
  }
}

/** Return a mark that no other request of this process has. */
export function nextId() {
  written += 1;
  return `n${written}`;
}

/** Return the budget of a request that has `leftMs` to go: whole milliseconds, a little less than that. */
export function budgetFor(leftMs) {
  const margin = Math.min(MARGIN_MS.most, Math.max(MARGIN_MS.least, MARGIN * leftMs));
  return Math.min(MAX_BUDGET_MS, Math.max(1, Math.floor(leftMs - margin)));
}

function checkedObject(request) {
  if (typeof request === 'object' && request !== null && !Array.isArray(request)) return request;
  throw new PythonBridgeError(
    'invalid_request',
    `The request should be an object. Received: ${request === null ? 'null' : typeof request}.`,
  );
}

function json(asked) {
  let text;
  try {
    text = JSON.stringify(asked, unambiguous);
  } catch (cause) {
    if (cause instanceof PythonBridgeError) throw cause;
    throw new PythonBridgeError('invalid_request', `The request should be JSON. Received: ${cause.message}`, { cause });
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
  // JSON.stringify would write null, and null asks for a guest.
  throw new PythonBridgeError('invalid_request', `\`${name}\` should be finite. Received: ${value}.`);
}
