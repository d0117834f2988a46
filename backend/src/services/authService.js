/** Identifies users by their passwords and tokens. */
import { createSecretKey, randomUUID } from 'node:crypto';

import bcrypt from 'bcryptjs';
import jwt from 'jsonwebtoken';
import { col, fn, where } from 'sequelize';

import { SingleFlight } from '../concurrency/sharing.js';
import { Pause, systemClock, withinMs } from '../concurrency/time.js';

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
const MEMORY = { forMs: 15_000, users: 10_000 }; // a blocked user is refused after 15 s at most
const DEFAULT_ROUNDS = 10;
const COLUMNS = ['id', 'email', 'firstName', 'lastName', 'roleId', 'statusId'];

/** A token is invalid or has expired. */
export class TokenRefused extends Error {
  name = 'TokenRefused';
}

/**
 * Create the service that identifies users by their passwords and tokens.
 *
 * @param {AuthServices} services
 */
export function createAuthService(services) {
  return new AuthService(services);
}

export class AuthService {
  #settings;
  #key;
  #User;
  /** @type {Passwords} */
  #passwords;
  /** @type {Logger} */
  #log;
  /** @type {Clock} */
  #clock;
  #users = new Map();
  #lookups = new SingleFlight();
  #pause;
  /** @type {string | null} */
  #dummyHash = null;

  /** @param {AuthServices} services */
  constructor({ settings, models, passwords, log, clock = systemClock }) {
    this.#settings = settings;
    this.#key = createSecretKey(Buffer.from(settings.jwtSecret.reveal())); // a string would first be parsed as a public key, which takes a fifth of a cached list's time
    this.#User = models.User;
    this.#passwords = passwords;
    this.#log = log;
    this.#clock = clock;
    this.#pause = new Pause(LOOKUP_PAUSE_MS, clock);
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
    const row = await withinMs(LOGIN_MS, this.#rowOf(email), this.#clock);
    const isAccount = row !== null && isHash(row.password);
    const isMatch = await this.#passwords.compare(password, isAccount ? row.password : await this.#hashForUnknown());
    if (!isMatch || !isAccount || !isActive(row)) return null;
    const { password: _, ...user } = row;
    return { token: this.sign(user.id), expiresIn: this.#settings.jwt.ttlS, user };
  }

  /**
   * Return the row of an address, whatever its case. MariaDB's comparison also ignores accents, so the result is compared again.
   *
   * @returns {Promise<AccountRow & {password: string} | null>}
   */
  async #rowOf(email) {
    const find = (condition) => this.#User.findOne({ where: condition, attributes: [...COLUMNS, 'password'], raw: true });
    const isSqlite = this.#User.sequelize?.getDialect() === 'sqlite';
    const row = (await find({ email })) ?? (isSqlite ? await find(where(fn('lower', col('email')), email.toLowerCase())) : null);
    return row !== null && plainAddress(row.email) === plainAddress(email) ? row : null;
  }

  /** Return a token for a user. */
  sign(userId) {
    const { ttlS, issuer, audience } = this.#settings.jwt;
    const optional = { ...(issuer && { issuer }), ...(audience && { audience }) };
    return jwt.sign({}, this.#key, { algorithm: ALGORITHM, subject: String(userId), expiresIn: ttlS, ...optional });
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
    const { ttlS, issuer, audience } = this.#settings.jwt;
    const optional = { ...(issuer && { issuer }), ...(audience && { audience }) };
    let verified;
    try {
      verified = jwt.verify(token, this.#key, { algorithms: [ALGORITHM], maxAge: ttlS, complete: true, ...optional });
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
    const now = this.#clock.now();
    const entry = this.#users.get(id);
    if (entry !== undefined && now < entry.until) return entry.user;
    if (this.#pause.isOn) return unverified(id);
    return this.#lookups.run(id, () => this.#lookUp(id)); // the requests of one page come at the same time
  }

  async #lookUp(id) {
    try {
      const row = await withinMs(LOOKUP_MS, this.#User.findByPk(id, { attributes: COLUMNS, raw: true }), this.#clock);
      return this.#remember(id, row === null ? null : { ...row, id, isActive: isActive(row), isVerified: true });
    } catch (error) {
      this.#pause.begin();
      this.#log.warn({ reason: error.message }, 'users are identified by their tokens only: the database is unavailable');
      return unverified(id);
    }
  }

  #remember(id, user) {
    if (user === null) return null; // the account may be created at any moment
    this.#users.delete(id);
    if (this.#users.size >= MEMORY.users) this.#users.delete(this.#users.keys().next().value);
    this.#users.set(id, { user, until: this.#clock.now() + MEMORY.forMs });
    return user;
  }

  /** Return a hash that no password matches, and that takes as long to compare as the shop's hashes. */
  async #hashForUnknown() {
    this.#dummyHash ??= await this.#makeDummyHash();
    return this.#dummyHash;
  }

  async #makeDummyHash() {
    const rows = await this.#User.findAll({ attributes: ['password'], limit: 20, raw: true });
    const hash = rows.map(({ password }) => password).find(isHash);
    return bcrypt.hash(randomUUID(), hash ? bcrypt.getRounds(hash) : DEFAULT_ROUNDS);
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

function isHash(password) {
  return /^\$2[aby]\$\d\d\$/.test(password ?? '');
}

function isActive({ statusId }) {
  return statusId === null || statusId === undefined || statusId === ACTIVE;
}

function unverified(id) {
  return { id, roleId: null, isActive: true, isVerified: false };
}
