/** Limits of requests: for each address, each user, and for failed logins. */
import { createHash } from 'node:crypto';

import { ipKeyGenerator, rateLimit } from 'express-rate-limit';

import { plainAddress } from '../services/authService.js';
import { basicOf } from './basicAuth.js';
import { HttpError } from './errors.js';

const MINUTE_MS = 60_000;
const LOGIN_WINDOW_MS = 15 * MINUTE_MS;
const ADDRESSES_PER_ACCOUNT = 5; // so that a single address cannot lock an account out

/**
 * Return the limits: by address before the user is known, by user or guest after that, and for failed logins.
 *
 * Each process counts for itself, also behind a load balancer.
 *
 * @param {{rateLimits: {ip: number, user: number, login: number}}} settings Requests in a window; 0 for no limit.
 */
export function rateLimits({ rateLimits: { ip, user, login } }) {
  const failures = { windowMs: LOGIN_WINDOW_MS, skipSuccessfulRequests: true };
  return {
    byAddress: limiter(ip, { windowMs: MINUTE_MS, keyGenerator: addressOf }),
    byUser: limiter(user, { windowMs: MINUTE_MS, keyGenerator: (req) => (req.user ? `user ${req.user.id}` : `guest ${req.guestId}`), skip: isUnknown }),
    logins: [
      limiter(login, { ...failures, keyGenerator: addressOf }),
      limiter(login * ADDRESSES_PER_ACCOUNT, {
        ...failures,
        skip: (req) => !emailOf(req), // without an address there is no account, and a common count would lock all users out
        keyGenerator: (req) => accountOf(emailOf(req)),
      }),
    ],
  };
}

function limiter(limit, options) {
  if (limit === 0) return (_req, _res, next) => next();
  return rateLimit({ limit, standardHeaders: 'draft-8', legacyHeaders: false, handler: refuse, ...options });
}

function refuse(_req, _res, next) {
  next(new HttpError(429, 'There should be fewer requests. Received: more than the limit; Retry-After says when to come back.'));
}

/** Whether nobody is known. Many guests may share an address, which has a limit of its own. */
function isUnknown({ user, guestId = null }) {
  return user === undefined && guestId === null;
}

function addressOf(req) {
  return ipKeyGenerator(req.ip ?? 'unknown'); // an IPv6 user has a whole network of addresses
}

/** Return the address of a login, from the body or from basic authentication. */
function emailOf(req) {
  const email = req.body?.email ?? basicOf(req)?.email;
  return typeof email === 'string' ? email : undefined;
}

/** Return an account's key in the counts: a hash, so that its length is fixed. */
function accountOf(email) {
  return createHash('sha256').update(plainAddress(email)).digest('base64');
}
