/** The cookie of guests: a random id, signed, so that nobody can name another guest. */
import { createHmac, hkdfSync, randomBytes, timingSafeEqual } from 'node:crypto';

/**
 * @import { CookieOptions, Request, Response } from 'express'
 * @import { Settings } from '../config/settings.js'
 */

const NAME = 'recsys_guest';
const LABEL = 'recsys: the cookie of guests'; // the key is another one than that of the tokens
const KEY_BYTES = 32;
const ID_BYTES = 16;
const LEAST_SESSION = 32; // characters: whoever guesses it would be the same guest
const VALUE = /^([0-9a-f]{32})\.(\d{1,12})\.([\w-]{43})$/; // id, seconds since 1970, signature
const MOST_COOKIES = 100; // of one request; browsers keep fewer for a site

/** For how long a guest is known after the last interaction, in milliseconds: as long as their events are kept. */
export const GUEST_MS = 30 * 86_400_000;

/** Reads and sets the cookie of guests. A guest is whoever has no token. */
export class GuestCookie {
  #key;
  #now;

  /**
   * @param {Pick<Settings, 'jwtSecret'>} settings
   * @param {() => number} [now] Milliseconds since 1970.
   */
  constructor({ jwtSecret }, now = Date.now) {
    this.#key = Buffer.from(hkdfSync('sha256', jwtSecret.reveal(), '', LABEL, KEY_BYTES));
    this.#now = now;
  }

  /**
   * Return the guest's id, or null if there is no cookie, or one that is forged, damaged or too old.
   *
   * @param {Pick<Request, 'headers'>} req
   * @returns {string | null}
   */
  read({ headers }) {
    for (const pair of (headers.cookie ?? '').split(';', MOST_COOKIES)) {
      const [name, value] = pair.split('=', 2);
      const id = name.trim() === NAME ? this.#idIn((value ?? '').trim()) : null;
      if (id !== null) return id;
    }
    return null;
  }

  /**
   * Return the id of a new guest: of one visit always the same, also for events that come before the answer with the cookie is there.
   *
   * @param {string} [session] The random id of the visit, which only this browser knows.
   */
  create(session = '') {
    if (session.length < LEAST_SESSION) return randomBytes(ID_BYTES).toString('hex');
    return createHmac('sha256', this.#key).update(`visit ${session}`).digest('hex').slice(0, 2 * ID_BYTES);
  }

  /**
   * Set the cookie, for another 30 days.
   *
   * @param {Request} req
   * @param {Response} res
   * @param {string} id
   */
  set(req, res, id) {
    const text = `${id}.${Math.floor(this.#now() / 1000)}`;
    res.cookie(NAME, `${text}.${this.#signatureOf(text)}`, { ...optionsOf(req), maxAge: GUEST_MS });
  }

  /**
   * Remove the cookie, if there is one.
   *
   * @param {Request} req
   * @param {Response} res
   */
  clear(req, res) {
    if ((req.headers.cookie ?? '').includes(`${NAME}=`)) res.clearCookie(NAME, optionsOf(req));
  }

  /** @param {string} value */
  #idIn(value) {
    const [, id, seconds, signature] = VALUE.exec(value) ?? [];
    if (id === undefined || !isSame(signature, this.#signatureOf(`${id}.${seconds}`))) return null;
    return this.#now() - Number(seconds) * 1000 < GUEST_MS ? id : null;
  }

  #signatureOf(text) {
    return createHmac('sha256', this.#key).update(text).digest('base64url');
  }
}

/** @returns {CookieOptions} */
function optionsOf(req) {
  return { httpOnly: true, sameSite: 'lax', secure: req.secure, path: '/' };
}

/** Whether two signatures of the same length are equal, in a time that does not depend on where they differ. */
function isSame(one, other) {
  return timingSafeEqual(Buffer.from(one), Buffer.from(other));
}
