/** Middlewares that identify the user of a request by a token, or an administrator by a password. */
import { TokenRefused } from '../services/authService.js';
import { basicOf } from './basicAuth.js';
import { HttpError } from './errors.js';

/**
 * @import { Services } from '../app.js'
 * @import { AuthService } from '../services/authService.js'
 */

const BEARER = /^Bearer +([\w~+/.-]+=*)$/i;

/**
 * Return the middleware that requires a token and sets `req.user` to its subject. No parameter can name another user.
 *
 * 401: no token. 403: an invalid token, or one of a closed account. 404: a token of a deleted account.
 *
 * @param {Pick<Services, 'auth'>} services
 */
export function verifyTokenUser({ auth }) {
  return async (req, _res, next) => {
    req.user = await userOfToken(auth, bearerOf(req));
    next();
  };
}

/**
 * Return the middleware of routes for users and guests. Without a token there is no `req.user`; an invalid token is refused.
 *
 * @param {Pick<Services, 'auth'>} services
 */
export function verifyTokenIfAny({ auth }) {
  const verify = verifyTokenUser({ auth });
  return async (req, res, next) => (req.headers.authorization === undefined ? next() : verify(req, res, next));
}

/**
 * Return the middleware that requires an administrator: by a token, or in a browser by address and password.
 *
 * @param {Pick<Services, 'auth' | 'settings'>} services
 */
export function verifyAdmin({ auth, settings: { admins } }) {
  return async (req, _res, next) => {
    const basic = basicOf(req);
    req.user = basic === null ? await userOfToken(auth, bearerOf(req, BASIC_CHALLENGE)) : await userOfPassword(auth, basic);
    if (!req.user.isVerified) throw new HttpError(503, 'The database should say who is an administrator. Received: no answer.');
    const isAdmin = admins.ids.includes(req.user.id) || admins.roles.includes(req.user.roleId);
    if (!isAdmin) throw new HttpError(403, 'This should be asked by an administrator. Received: somebody else’s request.');
    next();
  };
}

const BASIC_CHALLENGE = { 'WWW-Authenticate': 'Basic realm="recommendations", charset="UTF-8"' };

function bearerOf(req, headers = { 'WWW-Authenticate': 'Bearer' }) {
  const nHeaders = req.rawHeaders.filter((name, index) => index % 2 === 0 && name.toLowerCase() === 'authorization').length;
  const token = nHeaders === 1 ? BEARER.exec(req.headers.authorization)?.[1] : undefined;
  if (token !== undefined) return token;
  const received = ['none', 'something else'][nHeaders] ?? 'several';
  throw new HttpError(401, `There should be one header \`Authorization: Bearer …\`. Received: ${received}.`, { headers });
}

async function userOfToken(auth, token) {
  const user = await auth.userOf(subjectOf(auth, token));
  if (user === null) throw new HttpError(404, 'The token should be of a customer. Received: one whose account is no more.');
  if (!user.isActive) throw new HttpError(403, 'The token should be of an active account. Received: one that is closed.');
  return user;
}

function subjectOf(auth, token) {
  try {
    return auth.subjectOf(token);
  } catch (error) {
    if (!(error instanceof TokenRefused)) throw error;
    throw new HttpError(403, 'The token should be one of ours, and still good. Received: another one.');
  }
}

/**
 * @param {AuthService} auth
 * @param {{email?: string, password?: string}} basic
 */
async function userOfPassword(auth, { email, password }) {
  const account = email && password ? await auth.login(email, password) : null;
  if (account !== null) return { ...account.user, isActive: true, isVerified: true };
  throw new HttpError(401, 'The address and the password should belong together. Received: others.', { headers: BASIC_CHALLENGE });
}
