/** Identifies users by their passwords and tokens. */
import { createSecretKey, randomUUID } from 'node:crypto';

import { hash } from '@node-rs/bcrypt';
import jwt from 'jsonwebtoken';
import { LRUCache } from 'lru-cache';
import { col, fn, where } from 'sequelize';

import { Breaker } from '../concurrency/breaker.js';
import { SingleFlight } from '../concurrency/sharing.js';
import { systemClock, withinMs } from '../concurrency/time.js';

/**
 * @import { ModelStatic } from 'sequelize'
 * @import { Logger } from 'pino'
 * @import { Clock } from '../concurrency/time.js'
 * @import { Settings } from '../config/settings.js'
 * @import { Passwords } from './passwords.js'
 */

/**
 * @typedef {object} AuthServices
 * @property {Pick<Settings, 'jwt' | 'jwtSecret'>} settings
 * @property {{User: ModelStatic<any>}} models
 * @property {Passwords} passwords
 * @property {Logger} log
 * @property {Clock} [clock]
 *
 * @typedef {object} AccountRow The columns of a user's row that are read, without the password.
 * @property {number} id
 * @property {string} email
 * @property {string | null} firstName
 * @property {string | null} lastName
 * @property {string | null} roleId
 * @property {string | null} statusId
 *
 * @typedef {{id: number, roleId: string | null, isActive: boolean, isVerified: boolean}} KnownUser
 */

const ALGORITHM = 'HS256'; // whatever algorithm a token's header names
const SUBJECT = /^(?:0|[1-9]\d{0,15})$/;
const ACTIVE = 'S1';
const TOKEN_BYTES = 4096; // ours have 200
const SKEW_S = 60; // how far the clock of another machine that signs tokens may be ahead
const LOOKUP_MS = 250; // of a request's time, for the user's row
const LOGIN_MS = 2000;
const LOOKUP_PAUSE_MS = 1000; // after a lookup has failed, the next ones do not wait for another failure
const MEMORY = { ttl: 15_000, max: 10_000, ttlResolution: 0 }; // a blocked user is refused after 15 s at most
const BCRYPT = /^\$2[aby]\$(0[4-9]|[12]\d|3[01])\$/; // a hash, with its rounds
const DEFAULT_ROUNDS = 10;
const COLUMNS = ['id', 'email', 'firstName', 'lastName', 'roleId', 'statusId'];

/** A token is invalid or has expired. */
export class TokenRefused extends Error {
  name = 'TokenRefused';
}

/** Identifies users by their passwords and tokens. */
export class AuthService {
  #parts;
  #key;
  #claims; // that tokens get and must have
  /** @type {LRUCache<number, KnownUser>} */
  #users;
  #lookups = new SingleFlight();
  #breaker;
  /** @type {string | null} */
  #dummyHash = null;

  /** @param {AuthServices} services */
  constructor({ clock = systemClock, ...parts }) {
    const { issuer, audience } = parts.settings.jwt;
    this.#parts = { ...parts, clock };
    this.#claims = { ...(issuer && { issuer }), ...(audience && { audience }) };
    this.#key = createSecretKey(Buffer.from(parts.settings.jwtSecret.reveal())); // a string would first be parsed as a public key, which takes a fifth of a cached list's time
    this.#users = new LRUCache({ ...MEMORY, perf: clock });
    this.#breaker = new Breaker({ waitMs: LOOKUP_PAUSE_MS, clock });
  }

  /**
   * Log a user in. An unknown address takes as long as a wrong password.
   *
   * @param {string} email
   * @param {string} password
   * @returns {Promise<{token: string, expiresIn: number, user: AccountRow} | null>} Null if they do not belong together.
   * @throws {TooLate} The database does not answer, or there are too many logins at once.
   */
  async login(email, password) {
    const row = await withinMs(LOGIN_MS, this.#rowOf(email), this.#parts.clock);
    const isAccount = row !== null && BCRYPT.test(row.password ?? '');
    const isMatch = await this.#parts.passwords.compare(password, isAccount ? row.password : await this.#hashForUnknown());
    if (!isMatch || !isAccount || !isActive(row)) return null;
    const { password: _, ...user } = row;
    return { token: this.sign(user.id), expiresIn: this.#parts.settings.jwt.ttlS, user };
  }

  /**
   * Return the row of an address, whatever its case. MariaDB's comparison also ignores accents, so the result is compared again.
   *
   * @returns {Promise<AccountRow & {password: string} | null>}
   */
  async #rowOf(email) {
    const find = (condition) => this.#parts.models.User.findOne({ where: condition, attributes: [...COLUMNS, 'password'], raw: true });
    const isSqlite = this.#parts.models.User.sequelize?.getDialect() === 'sqlite';
    const row = (await find({ email })) ?? (isSqlite ? await find(where(fn('lower', col('email')), email.toLowerCase())) : null);
    return row !== null && plainAddress(row.email) === plainAddress(email) ? row : null;
  }

  /** Return a token for a user. */
  sign(userId) {
    const { ttlS: expiresIn } = this.#parts.settings.jwt;
    return jwt.sign({}, this.#key, { algorithm: ALGORITHM, subject: String(userId), expiresIn, ...this.#claims });
  }

  /**
   * Return the id of the user that a token names.
   *
   * @param {string} token
   * @returns {number}
   * @throws {TokenRefused}
   */
  subjectOf(token) {
    if (token.length > TOKEN_BYTES) throw new TokenRefused('too long');
    const { ttlS: maxAge } = this.#parts.settings.jwt;
    let verified;
    try {
      verified = jwt.verify(token, this.#key, { algorithms: [ALGORITHM], maxAge, complete: true, ...this.#claims });
    } catch (error) {
      throw new TokenRefused(error.message, { cause: error });
    }
    const { header, payload } = verified;
    checkClaims(header, payload);
    const { sub } = payload;
    const isPlain = ['string', 'number'].includes(typeof sub); // an array of one element would be read as that element
    if (isPlain && SUBJECT.test(sub) && Number.isSafeInteger(Number(sub))) return Number(sub);
    throw new TokenRefused('its subject is no user');
  }

  /**
   * Return a user's row, or null if there is none. While the database is unavailable, users with a valid token are still accepted: the row
   * then has only the id, and `isVerified` is false.
   *
   * @param {number} id
   * @returns {Promise<KnownUser | null>}
   */
  async userOf(id) {
    const known = this.#users.get(id);
    if (known !== undefined) return known;
    if (this.#breaker.isOpen) return unverified(id);
    return this.#lookups.run(id, () => this.#lookUp(id)); // the requests of one page come at the same time
  }

  async #lookUp(id) {
    try {
      const row = await withinMs(LOOKUP_MS, this.#parts.models.User.findByPk(id, { attributes: COLUMNS, raw: true }), this.#parts.clock);
      if (row === null) return null; // the account may be created at any moment
      const user = { ...row, id, isActive: isActive(row), isVerified: true };
      this.#users.set(id, user);
      return user;
    } catch (error) {
      this.#breaker.fail();
      this.#parts.log.warn({ reason: error.message }, 'users are identified by their tokens only: the database is unavailable');
      return unverified(id);
    }
  }

  /** Return a hash that no password matches, and that takes as long to compare as the shop's hashes. */
  async #hashForUnknown() {
    if (this.#dummyHash === null) {
      const rows = await this.#parts.models.User.findAll({ attributes: ['password'], limit: 20, raw: true });
      const [, rounds = DEFAULT_ROUNDS] = rows.map(({ password }) => BCRYPT.exec(password ?? '')).find(Boolean) ?? [];
      this.#dummyHash = await hash(randomUUID(), Number(rounds));
    }
    return this.#dummyHash;
  }
}

/** Return an address in the spelling that is compared, and under which failed logins are counted. */
export function plainAddress(email) {
  return email.trim().toLowerCase();
}

/** Check what jsonwebtoken does not: `crit`, times that are not finite, and tokens issued in the future, which would never expire. */
function checkClaims(header, { iat, nbf = 0, exp = 0 }) {
  if (Object.hasOwn(header, 'crit')) throw new TokenRefused('its header demands what is not known here');
  if (![iat, nbf, exp].every(Number.isFinite)) throw new TokenRefused('its times are no numbers');
  if (iat > Date.now() / 1000 + SKEW_S) throw new TokenRefused('it is issued in the future');
}

function isActive({ statusId }) {
  return statusId === null || statusId === undefined || statusId === ACTIVE;
}

function unverified(id) {
  return { id, roleId: null, isActive: true, isVerified: false };
}
