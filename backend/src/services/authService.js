import { createSecretKey, randomUUID } from 'node:crypto';

import bcrypt from 'bcryptjs';
import jwt from 'jsonwebtoken';
import { col, fn, where } from 'sequelize';

import { Pause } from '../concurrency/pause.js';
import { SingleFlight } from '../concurrency/singleFlight.js';
import { withinMs } from '../concurrency/withinMs.js';
import { systemClock } from '../concurrency/clock.js';

const ALGORITHM = 'HS256'; // fixed: what a token's own header says is never followed
const SUBJECT = /^(?:0|[1-9]\d{0,15})$/;
const ACTIVE = 'S1';
const TOKEN_BYTES = 4096; // ours have 200
const SKEW_S = 60; // by which the clock of another machine that signs tokens may be ahead
const LOOKUP_MS = 250; // of a request's time, for the customer's own row
const LOGIN_MS = 2000;
const LOOKUP_PAUSE_MS = 1000; // after a lookup has failed, the next ones do not wait for another failure
const KNOWN = { forMs: 15_000, users: 10_000 }; // a customer who is blocked is out within 15 s
const DEFAULT_ROUNDS = 10;
const COLUMNS = ['id', 'email', 'firstName', 'lastName', 'roleId', 'statusId'];

/** A token that is not one of ours, or no longer. */
export class TokenRefused extends Error {
  name = 'TokenRefused';
}

/**
 * Return what knows customers by their passwords and by their tokens.
 *
 * @param {{settings: object, models: {User: object}, passwords: object, log: object, clock?: object}} services
 */
export function createAuthService(services) {
  return new AuthService(services);
}

class AuthService {
  #settings;
  #key;
  #User;
  #passwords;
  #log;
  #clock;
  #known = new Map();
  #lookups = new SingleFlight();
  #away;
  #stranger = null;

  constructor({ settings, models, passwords, log, clock = systemClock }) {
    this.#settings = settings;
    this.#key = createSecretKey(Buffer.from(settings.jwtSecret.reveal())); // a text would first be tried as a public key, a fifth of a cached list's time
    this.#User = models.User;
    this.#passwords = passwords;
    this.#log = log;
    this.#clock = clock;
    this.#away = new Pause(LOOKUP_PAUSE_MS, clock);
  }

  /**
   * Return a token for who has the password, or null. An unknown address takes as long as a wrong password.
   *
   * @param {string} email
   * @param {string} password
   * @returns {Promise<{token: string, expiresIn: number, user: object} | null>}
   * @throws {TooLate} The database hangs, or too many log in at once.
   */
  async login(email, password) {
    const row = await withinMs(LOGIN_MS, this.#rowOf(email), this.#clock);
    const isAccount = isHash(row?.password);
    const isRight = await this.#passwords.compare(password, isAccount ? row.password : await this.#strangersHash());
    if (!isRight || !isAccount || !isActive(row)) return null;
    const { password: _, ...user } = row;
    return { token: this.sign(user.id), expiresIn: this.#settings.jwt.ttlS, user };
  }

  /** Return the row of an address, in capitals or not; MariaDB's own comparison takes accents for nothing, too, and ours does not. */
  async #rowOf(email) {
    const find = (condition) => this.#User.findOne({ where: condition, attributes: [...COLUMNS, 'password'], raw: true });
    const isSqlite = this.#User.sequelize?.getDialect() === 'sqlite';
    const row = (await find({ email })) ?? (isSqlite ? await find(where(fn('lower', col('email')), email.toLowerCase())) : null);
    return row !== null && plainAddress(row.email) === plainAddress(email) ? row : null;
  }

  /** Return a token for a customer. */
  sign(userId) {
    const { ttlS, issuer, audience } = this.#settings.jwt;
    const optional = { ...(issuer && { issuer }), ...(audience && { audience }) };
    return jwt.sign({}, this.#key, { algorithm: ALGORITHM, subject: String(userId), expiresIn: ttlS, ...optional });
  }

  /**
   * Return the customer whom a token names.
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
    checkWhatJwtDoesNot(header, payload);
    const { sub } = payload;
    const isPlain = ['string', 'number'].includes(typeof sub); // a list of one would read as that one
    if (isPlain && SUBJECT.test(sub) && Number.isSafeInteger(Number(sub))) return Number(sub);
    throw new TokenRefused('its subject is no customer');
  }

  /**
   * Return a customer's row, or null where there is none. A database that is away does not shut out customers whose token is good: their
   * row is then only its id, and `isVerified` is false.
   *
   * @param {number} id
   * @returns {Promise<{id: number, roleId: string | null, isActive: boolean, isVerified: boolean} | null>}
   */
  async userOf(id) {
    const now = this.#clock.now();
    const known = this.#known.get(id);
    if (known !== undefined && now < known.until) return known.user;
    if (this.#away.isOn) return unverified(id);
    return this.#lookups.run(id, () => this.#lookUp(id)); // a page's requests come at once
  }

  async #lookUp(id) {
    try {
      const row = await withinMs(LOOKUP_MS, this.#User.findByPk(id, { attributes: COLUMNS, raw: true }), this.#clock);
      return this.#remembered(id, row === null ? null : { ...row, id, isActive: isActive(row), isVerified: true });
    } catch (error) {
      this.#away.begin();
      this.#log.warn({ reason: error.message }, 'customers are known by their tokens only: the database is away');
      return unverified(id);
    }
  }

  #remembered(id, user) {
    if (user === null) return null; // an account may be made at any moment
    this.#known.delete(id);
    if (this.#known.size >= KNOWN.users) this.#known.delete(this.#known.keys().next().value);
    this.#known.set(id, { user, until: this.#clock.now() + KNOWN.forMs });
    return user;
  }

  /** Return a hash that no password has, as dear to compare as the shop's own. */
  async #strangersHash() {
    this.#stranger ??= await this.#makeStranger();
    return this.#stranger;
  }

  async #makeStranger() {
    const rows = await this.#User.findAll({ attributes: ['password'], limit: 20, raw: true });
    const hash = rows.map(({ password }) => password).find(isHash);
    return bcrypt.hash(randomUUID(), hash ? bcrypt.getRounds(hash) : DEFAULT_ROUNDS);
  }
}

/** Return an address in the spelling by which it is known, and its failures are counted. */
export function plainAddress(email) {
  return email.trim().toLowerCase();
}

/** The package follows no `crit`, takes any number for a time, and a token of the future for one that does not age. */
function checkWhatJwtDoesNot(header, { iat, nbf = 0, exp = 0 }) {
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
