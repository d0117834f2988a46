/** Middlewares that identify the user of a request by a token, or an administrator by a password. */
import { TokenRefused } from '../services/authService.js';
import { basicOf } from './basicAuth.js';
import { HttpError } from './errors.js';
import { GuestCookie } from './guestCookie.js';

/**
 * @import { Services } from '../app.js'
 * @import { Settings } from '../config/settings.js'
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
 * Return the middleware of routes for users and guests. Without a token there is no `req.user`, and `req.guestId` is what the cookie says,
 * or null; an invalid token is refused.
 *
 * @param {Pick<Services, 'auth' | 'settings'>} services
 */
export function verifyTokenIfAny({ auth, settings }) {
  const verify = verifyTokenUser({ auth });
  const cookie = new GuestCookie(settings);
  return async (req, res, next) => {
    if (req.headers.authorization !== undefined) return verify(req, res, next);
    req.guestId = cookie.read(req);
    next();
  };
}

/** Take a token in the body for one in the header: a beacon, which is sent when a page is left, cannot have headers. */
export function tokenInBody(req, _res, next) {
  if (Object.hasOwn(req.body, 'token')) {
    const { token, ...body } = req.body;
    req.body = body; // so that no message repeats the token
    const header = typeof token === 'string' ? `Bearer ${token}` : 'something else';
    req.headers.authorization ??= header;
    req.rawHeaders.push('Authorization', header); // two tokens are refused, wherever they are
  }
  next();
}

/**
 * Return the middleware that requires an administrator, by a token. The role is that of the database, whatever the token says.
 *
 * @param {Pick<Services, 'auth' | 'settings'>} services
 * @param {{byPassword?: boolean}} [options] Whether address and password are enough; a browser then asks for them.
 */
export function verifyAdmin({ auth, settings: { admins } }, { byPassword = false } = {}) {
  return async (req, _res, next) => {
    const basic = byPassword ? basicOf(req) : null;
    const challenge = byPassword ? BASIC_CHALLENGE : undefined;
    req.user = basic === null ? await userOfToken(auth, bearerOf(req, challenge)) : await userOfPassword(auth, basic);
    if (!req.user.isVerified) throw new HttpError(503, 'The database should say who is an administrator. Received: no answer.');
    if (!isAdmin(req.user, admins)) throw new HttpError(403, 'This should be asked by an administrator. Received: somebody else’s request.');
    next();
  };
}

/**
 * Return whether a user is one of the configured administrators.
 *
 * @param {{id: number, roleId: string | null}} user
 * @param {{ids: readonly number[], roles: readonly string[]}} admins
 */
export function isAdmin({ id, roleId }, { ids, roles }) {
  return ids.includes(id) || (roleId !== null && roles.includes(roleId));
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
