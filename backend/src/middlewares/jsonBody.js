/** Reads JSON bodies, and refuses bodies of other kinds. */
import express from 'express';

import { HttpError, shown } from './errors.js';

const LIMIT_BYTES = 32 * 1024; // valid bodies are below 1 KB
const LIMIT_DEPTH = 32; // as on the Python side
// A string may be left open, so that no match fails at the end of a body and begins again at the next quote.
const STRING_OR_BRACKET = /"(?:\\.?|[^"\\])*"?|[[{\]}]/gs;

const parse = express.json({ limit: LIMIT_BYTES, inflate: false, type: () => true, verify: (_req, _res, body) => checkDepth(body) });

/** The middlewares that read a JSON body: in UTF-8, not compressed, at most 32 KB and 32 levels deep. */
export const jsonBody = [checkType, parse, checkPresence];

/** Refuse a body on routes without one, because a proxy in front may disagree about where it ends. */
export function noBody(req, _res, next) {
  const hasBody = 'transfer-encoding' in req.headers || Number(req.headers['content-length'] ?? 0) > 0;
  if (hasBody) throw new HttpError(400, `A ${req.method} should have no body. Received: one.`, { headers: { Connection: 'close' } });
  next();
}

function checkType(req, _res, next) {
  const [type, ...parameters] = (req.headers['content-type'] ?? '').split(';').map((part) => part.trim().toLowerCase());
  if (type !== 'application/json') {
    throw new HttpError(415, `The body should be application/json. Received: ${shown(type) || 'no Content-Type'}.`);
  }
  const others = parameters.filter((parameter) => !/^(?:charset="?utf-8"?)?$/.test(parameter));
  if (others.length > 0) throw new HttpError(415, `The body should be in UTF-8. Received: ${shown(others[0])}.`);
  next();
}

function checkPresence(req, _res, next) {
  if (req.body === undefined) throw new HttpError(400, 'The body should be a JSON object. Received: nothing.');
  next();
}

/** Check the depth of a body by its brackets outside of strings, before the parser builds it. */
function checkDepth(body) {
  let depth = 0;
  for (const [token] of body.toString().matchAll(STRING_OR_BRACKET)) {
    if (token === '{' || token === '[') depth += 1;
    else if (token === '}' || token === ']') depth -= 1;
    if (depth > LIMIT_DEPTH) throw new HttpError(400, `The body should have at most ${LIMIT_DEPTH} levels. Received: more.`);
  }
}
