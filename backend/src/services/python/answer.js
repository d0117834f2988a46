import { PythonBridgeError, toldFailure } from './failures.js';

/** The longest answer; a hundred items with all runs are 30 KB. */
export const MAX_ANSWER_BYTES = 8 * 2 ** 20;

const LISTING = new Set(['recommend', 'similar']);
const SOURCES = new Set(['model', 'fold_in', 'item_cf', 'popularity']);
const utf8 = new TextDecoder('utf-8', { fatal: true });

/**
 * Return the JSON object that a line holds.
 *
 * @param {Buffer} line
 * @returns {object}
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

/** Return the failure of an answer that is none of the contract. */
export function badAnswer(received, facts) {
  return new PythonBridgeError('bad_answer', `There should be one line of the contract. Received: ${received}.`, facts);
}

/** Return the failure that a document tells, or null where it tells none. */
export function failureIn(document, facts) {
  const { ok, error } = document;
  return ok === false && typeof error?.code === 'string' && typeof error.message === 'string' ? toldFailure(error, facts) : null;
}

/**
 * Return a document as the answer to a request, once it is proven to be one.
 *
 * @param {object} document What `readObject` returned.
 * @param {{id: string, encoded: EncodedRequest}} asked
 * @returns {object} The answer, with the caller's own `id`.
 * @throws {PythonBridgeError} What Python told; `crossed_answer`; `bad_answer`.
 */
export function provenAnswer(document, { id, encoded }) {
  const failure = failureIn(document, { aboutRequest: true });
  const isOurs = document.id === id || (failure !== null && document.id === undefined); // a request beyond a limit is refused unread
  if (!isOurs) throw new PythonBridgeError('crossed_answer', 'The answer should carry the id of the request. Received: another one.');
  if (failure !== null) throw failure;
  if (document.ok !== true) throw badAnswer('neither an answer nor a failure');
  if (!isForUser(document.user_id ?? null, encoded)) {
    throw new PythonBridgeError('crossed_answer', 'The answer should be for the user who asked. Received: one for somebody else.');
  }
  if (LISTING.has(encoded.op)) checkListing(document);
  return withCallersId(document, encoded.callerId);
}

/** Ids come back in the shop's type: 7 and "7" are the same customer. An id that cannot be of this shop is nobody in `similar`. */
function isForUser(answered, { op, userId }) {
  if (answered === null || userId === null) return answered === userId || (answered === null && op === 'similar');
  return String(answered) === String(userId);
}

function checkListing({ items, runs, warnings, model, model_version: version, source }) {
  const names = [model, version, source];
  if (![items, runs, warnings].every(Array.isArray)) throw badAnswer('an answer without its lists');
  if (!names.every((name) => typeof name === 'string') || !SOURCES.has(source)) throw badAnswer('an answer that does not say who answered');
  if (!items.every(isItem)) throw badAnswer('an item without `productId` or `score`');
}

function isItem(item) {
  const { productId, score } = item ?? {};
  return (typeof productId === 'string' || Number.isSafeInteger(productId)) && Number.isFinite(score);
}

function withCallersId(document, callerId) {
  if (callerId === undefined) delete document.id;
  else document.id = callerId;
  return document;
}
