/** Errors as answers: `HttpError`, and the handlers of unknown paths and of everything thrown. */
import { STATUS_CODES } from 'node:http';

import { TooLate } from '../concurrency/time.js';
import { isOfDatabase } from '../config/databaseErrors.js';
import { DatabaseUnavailable } from '../services/recommendations/databaseGuard.js';

/** @import { Services } from '../app.js' */

/**
 * @typedef {object} ErrorAnswer
 * @property {number} status
 * @property {string} message
 * @property {string} [field] The field at fault.
 * @property {Record<string, string>} [headers]
 */

const SHOWN_CHARACTERS = 60;
const UNAVAILABLE = { status: 503, message: 'The database should answer. Received: nothing, or a failure.', headers: { 'Retry-After': '5' } };

/** An error that is answered by its status and message. Both may be shown to any client. */
export class HttpError extends Error {
  name = 'HttpError';

  /**
   * @param {number} status From 400 to 599.
   * @param {string} message For people.
   * @param {{field?: string, headers?: Record<string, string>}} [facts]
   */
  constructor(status, message, { field, headers = {} } = {}) {
    super(message);
    this.status = status;
    this.field = field;
    this.headers = headers;
  }
}

/** Return a value for a message: at most 60 characters, without control characters. */
export function shown(value) {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? String(value));
  const plain = text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '');
  return plain.length > SHOWN_CHARACTERS ? `${plain.slice(0, SHOWN_CHARACTERS)}…` : plain;
}

/** Answer 404 for any path without a route. */
export function notFound(req) {
  throw new HttpError(404, `There should be a resource at this path. Received: ${shown(req.path)}.`);
}

/**
 * Return the handler of everything thrown. A defect is logged with its stack trace; the client gets only the request's id.
 *
 * @param {Pick<Services, 'log'>} services
 */
export function errorHandler({ log }) {
  // Express recognises an error handler by its four parameters.
  return (error, req, res, next) => {
    const answer = answerOf(error);
    if (answer.status >= 500 && !(error instanceof HttpError)) (req.log ?? log).error({ err: error, requestId: req.id }, 'request failed');
    if (res.headersSent) {
      next(error); // Express closes the connection, so that half an answer does not look complete
      return;
    }
    res.set(answer.headers ?? {});
    const { status, message, field } = answer;
    res.status(status).json({ errCode: status, message, ...(field !== undefined && { field }), requestId: req.id });
  };
}

/**
 * Return the status and message of an error. Only errors of the client are described; others are answered by a general message.
 *
 * @param {any} error Whatever was thrown.
 * @returns {ErrorAnswer}
 */
function answerOf(error) {
  if (error instanceof HttpError) return error;
  if (isOfDatabase(error) || error instanceof TooLate || error instanceof DatabaseUnavailable) return UNAVAILABLE;
  const status = error?.status ?? error?.statusCode;
  if (!(status >= 400 && status < 500)) return { status: 500, message: 'The server failed. Its log has more, by the request’s id.' };
  return { status, message: MESSAGES[error.type] ?? `${STATUS_CODES[status] ?? 'The request is at fault'}.` };
}

const MESSAGES = {
  'entity.parse.failed': 'The body should be JSON. Received: something else.',
  'entity.too.large': 'The body is too large.',
  'encoding.unsupported': 'The body should not be compressed.',
  'charset.unsupported': 'The body should be in UTF-8.',
  'request.aborted': 'The body should be complete. Received: a part of it.',
  'request.size.invalid': 'The body should be as long as Content-Length says.',
};
