import { STATUS_CODES } from 'node:http';

import { TooLate } from '../concurrency/withinMs.js';
import { isOfDatabase } from '../services/databaseErrors.js';

const SHOWN_CHARACTERS = 60;
const AWAY = { status: 503, message: 'The database should answer. Received: nothing, or a failure.', headers: { 'Retry-After': '5' } };

/** A request that gets no answer but a status and a reason; both may be shown to everybody. */
export class HttpError extends Error {
  name = 'HttpError';

  /**
   * @param {number} status From 400 to 599.
   * @param {string} message For people.
   * @param {{field?: string, headers?: Record<string, string>}} [facts]
   */
  constructor(status, message, { field, headers = {} } = {}) {
    super(message);
    Object.assign(this, { status, field, headers });
  }
}

/** Return a value as it may stand in a message: short, and without control characters. */
export function shown(value) {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? String(value));
  const plain = text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '');
  return plain.length > SHOWN_CHARACTERS ? `${plain.slice(0, SHOWN_CHARACTERS)}…` : plain;
}

/** The last of all routes. */
export function notFound(req) {
  throw new HttpError(404, `There should be a resource at this path. Received: ${shown(req.path)}.`);
}

/**
 * Return the handler of everything that was thrown. A defect is told to the log with its trace, and to the caller with no more than the
 * request's id.
 *
 * @param {{log: object}} services
 */
export function errorHandler({ log }) {
  // Express knows an error handler by its four parameters.
  return (error, req, res, next) => {
    const told = tellable(error);
    if (told.status >= 500 && !(error instanceof HttpError)) (req.log ?? log).error({ err: error, requestId: req.id }, 'request failed');
    if (res.headersSent) {
      next(error); // Express cuts the connection: half an answer must not look like a whole one
      return;
    }
    res.set(told.headers ?? {});
    const { status, message, field } = told;
    res.status(status).json({ errCode: status, message, ...(field !== undefined && { field }), requestId: req.id });
  };
}

/** Errors of Express and its parsers say by `expose` whether they are the caller's to see. */
function tellable(error) {
  if (error instanceof HttpError) return error;
  if (isOfDatabase(error) || error instanceof TooLate) return AWAY;
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
