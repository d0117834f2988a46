/** The settings of the server, from the environment, `.env` and `recsys.toml`. */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { nameOf, placeOf } from './databaseUrl.js';
import { readDotenv } from './dotenv.js';
import { readExperiment } from './experiment.js';
import { DEFAULT_MAPPING, checkMapping } from './mapping.js';
import { Secret, SettingsError } from './secrets.js';
import { kindOf, parsedToml } from './toml.js';

export { SettingsError };

const REPOSITORY = fileURLToPath(new URL('../../../', import.meta.url));
const SECRET_BYTES = 32; // as long as the output of HS256; a shorter key weakens the signature
const SAMPLE_SECRET = 'replace-this-by-the-output-of-openssl-rand-hex-32'; // the one in .env.example
const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'];
const DAY_S = 86_400;
const UTC_NAMES = new Set(['UTC', 'Etc/UTC']);

/**
 * The variables that the server reads, with their meanings, as in the table of README.md.
 *
 * The Python side reads those of the database and of the models, too, in the same way.
 */
export const VARIABLES = Object.freeze({
  JWT_SECRET: { default: null, meaning: 'signs the tokens; at least 32 bytes, such as `openssl rand -hex 32`' },
  DATABASE_URL: { default: null, meaning: '`mysql+pymysql://user:password@host:3306/name` or `sqlite:///path`; or in pieces, `DB_HOST` to `DB_PASSWORD`' },
  DB_HOST: { default: '127.0.0.1', meaning: 'the database server' },
  DB_PORT: { default: '3306', meaning: 'its port' },
  DB_NAME: { default: null, meaning: 'the database; also `DB_DATABASE_NAME`' },
  DB_USER: { default: 'root', meaning: 'the account; also `DB_USERNAME`' },
  DB_PASSWORD: { default: '', meaning: 'its password; also `DB_PASS`' },
  MODELS_DIR: { default: 'models', meaning: 'where versions are published' },
  RECSYS_TOML: { default: 'recsys.toml', meaning: "the shop's mapping; read here for `time_zone`, `[[sources]]`, `[experiments]` and the place of our tables; the shop's must be those of the default schema, `stored_time_zone` UTC" },
  PYTHON_BIN: { default: null, meaning: 'the interpreter; else `.venv`, else the first of python3, python and py on `PATH`' },
  HOST: { default: '127.0.0.1', meaning: 'the address to listen on; `0.0.0.0` for all' },
  PORT: { default: '6969', meaning: 'the port to listen on; 0 for any free one' },
  TRUST_PROXY: { default: '0', meaning: 'proxies in front, whose `X-Forwarded-For` is believed' },
  CORS_ORIGIN: { default: '', meaning: 'origins of pages elsewhere that may ask, with commas between' },
  FRONTEND_DIR: { default: 'frontend/dist', meaning: 'the built page; without one, there are only the routes' },
  LOG_LEVEL: { default: 'info', meaning: LOG_LEVELS.join(', ') },
  JWT_TTL_S: { default: `${DAY_S}`, meaning: 'seconds for which a token is good' },
  JWT_ISSUER: { default: '', meaning: '`iss` that tokens get and must have; empty for none' },
  JWT_AUDIENCE: { default: '', meaning: '`aud` that tokens get and must have; empty for none' },
  ADMIN_ROLES: { default: 'R1', meaning: '`Users.roleId` of administrators, with commas between' },
  ADMIN_IDS: { default: '', meaning: '`Users.id` of more administrators, with commas between' },
  METRICS_TOKEN: { default: '', meaning: 'bearer token for `/metrics`; without one, only this machine itself may read them, through no proxy' },
  PYTHON_POOL_SIZE: { default: '2', meaning: 'Python processes to keep' },
  PYTHON_TIMEOUT_MS: { default: '800', meaning: 'milliseconds that Python has for a list, before the fallback answers' },
  CACHE_TTL_S: { default: '900', meaning: 'seconds for which a list is fresh' },
  CACHE_STALE_S: { default: `${DAY_S}`, meaning: 'seconds after that for which it is answered while a new one is being computed' },
  SPOOL_DIR: { default: 'data/spool', meaning: 'where interactions wait while the database is away, for each database in a folder of its own; on a disk that stays' },
  SPOOL_MAX_BYTES: { default: `${64 * 2 ** 20}`, meaning: 'how much may wait there' },
  RATE_LIMIT_IP: { default: '1200', meaning: 'requests a minute from one address; 0 for no limit' },
  RATE_LIMIT_USER: { default: '240', meaning: 'requests a minute of one user, or guest with a cookie; 0 for no limit' },
  RATE_LIMIT_LOGIN: { default: '10', meaning: 'failed logins in a quarter of an hour, for an address and for an account; 0 for no limit' },
});

/** @typedef {ReturnType<typeof readSettings>} Settings */

/**
 * Read the environment, the repository's `.env` and the time zone of `recsys.toml`. The settings are deeply frozen.
 *
 * @param {Record<string, string | undefined>} environ It takes precedence over `.env`.
 * @param {string} [root] The folder that relative paths start from.
 * @throws {SettingsError}
 */
export function readSettings(environ, root = REPOSITORY) {
  const variables = { ...dotenvOf(path.join(root, '.env'), environ), ...environ };
  const read = (name) => variables[name] || VARIABLES[name].default; // an empty variable counts as not set
  const number = (name, range) => wholeNumber(name, read(name), range);
  const list = (name) => read(name).split(',').map((item) => item.trim()).filter(Boolean);
  const database = databaseUrl(variables, read, root);
  return frozen({
    host: read('HOST'),
    port: number('PORT', [0, 65_535]),
    trustProxy: number('TRUST_PROXY', [0, 100]),
    frontendDir: path.resolve(root, read('FRONTEND_DIR')),
    corsOrigin: list('CORS_ORIGIN').map(checkedOrigin),
    logLevel: oneOf('LOG_LEVEL', read('LOG_LEVEL'), LOG_LEVELS),
    databaseUrl: database,
    databaseName: nameOf(database),
    modelsDir: path.resolve(root, read('MODELS_DIR')),
    ...shopOf(variables.RECSYS_TOML, path.resolve(root, read('RECSYS_TOML')), placeOf(database), root),
    jwtSecret: new Secret(checkedSecret(variables.JWT_SECRET ?? '')),
    jwt: { ttlS: number('JWT_TTL_S', [60, 366 * DAY_S]), issuer: read('JWT_ISSUER') || null, audience: read('JWT_AUDIENCE') || null },
    admins: { roles: list('ADMIN_ROLES'), ids: list('ADMIN_IDS').map((id) => wholeNumber('ADMIN_IDS', id, [0, Number.MAX_SAFE_INTEGER])) },
    metricsToken: read('METRICS_TOKEN') ? new Secret(read('METRICS_TOKEN')) : null,
    python: {
      bin: read('PYTHON_BIN'),
      size: number('PYTHON_POOL_SIZE', [1, 64]),
      timeoutMs: number('PYTHON_TIMEOUT_MS', [1, 600_000]),
    },
    cache: { ttlS: number('CACHE_TTL_S', [0, 366 * DAY_S]), staleS: number('CACHE_STALE_S', [0, 366 * DAY_S]) },
    spoolDir: path.resolve(root, read('SPOOL_DIR')),
    spoolMaxBytes: number('SPOOL_MAX_BYTES', [4096, 2 ** 40]),
    rateLimits: {
      ip: number('RATE_LIMIT_IP', [0, 1e9]),
      user: number('RATE_LIMIT_USER', [0, 1e9]),
      login: number('RATE_LIMIT_LOGIN', [0, 1e9]),
    },
  });
}

function wholeNumber(name, text, [least, most]) {
  const number = /^\d{1,16}$/.test(text) ? Number(text) : NaN;
  if (number >= least && number <= most) return number;
  const received = /^[-+.\d]{1,20}$/.test(text) ? text : 'no number'; // it may be a password in the wrong line
  throw new SettingsError(`${name} should be a whole number from ${least} to ${most}. Received: ${received}.`);
}

function oneOf(name, text, allowed) {
  if (allowed.includes(text)) return text;
  throw new SettingsError(`${name} should be one of ${allowed.join(', ')}. Received: ${text}.`);
}

/** Check `JWT_SECRET`. Messages show no part of it. */
function checkedSecret(secret) {
  const bytes = Buffer.byteLength(secret);
  const advice = '`openssl rand -hex 32` makes one; put it into .env as JWT_SECRET=…';
  if (secret === SAMPLE_SECRET) throw new SettingsError(`JWT_SECRET should be a secret. Received: the sample of .env.example. ${advice}`);
  if (bytes < SECRET_BYTES) throw new SettingsError(`JWT_SECRET should have at least ${SECRET_BYTES} bytes. Received: ${bytes}. ${advice}`);
  return secret;
}

function checkedOrigin(text) {
  if (URL.canParse(text) && new URL(text).origin === text) return text;
  const received = text.includes('@') ? 'one with an account' : text;
  throw new SettingsError(`CORS_ORIGIN should hold origins such as https://shop.example, with commas between. Received: ${received}.`);
}

function dotenvOf(file, environ) {
  try {
    return readDotenv(file, environ);
  } catch (error) {
    throw new SettingsError(`.env should be a file that can be read, or left out. Received: ${error.code}.`, { cause: error });
  }
}

/** Return `DATABASE_URL`, or a URL made of `DB_HOST` to `DB_PASSWORD`, as Python does. SQLite's path becomes absolute. */
function databaseUrl(variables, read, root) {
  const url = variables.DATABASE_URL || urlOfParts(variables, read);
  const { file, password = '' } = placeOf(url, root);
  return new Secret(file === undefined ? url : `sqlite:///${file}`, password);
}

function urlOfParts(variables, read) {
  const name = variables.DB_NAME || variables.DB_DATABASE_NAME;
  if (!name) {
    throw new SettingsError(
      'DATABASE_URL (or DB_HOST, DB_PORT, DB_NAME, DB_USER, DB_PASSWORD) should say where the shop’s database is. ' +
        'Received: nothing. `make demo` writes a .env for its embedded shop.',
    );
  }
  const user = variables.DB_USER || variables.DB_USERNAME || read('DB_USER');
  const password = variables.DB_PASSWORD || variables.DB_PASS || '';
  const port = wholeNumber('DB_PORT', read('DB_PORT'), [1, 65_535]);
  const host = read('DB_HOST');
  if (!/^(?:[\p{L}\p{N}_.,-]+|\[[\p{L}\p{N}.%]*:[\p{L}\p{N}:.%]*\])$/u.test(host)) throw new SettingsError('DB_HOST should be the name or the address of a server. Received: something else.');
  return `mysql+pymysql://${encodeURIComponent(user)}:${encodeURIComponent(password)}@${host}:${port}/${encodeURIComponent(name)}`;
}

/**
 * Return what the server needs of `recsys.toml`, after checking it: the time zone, where our own tables lie, the prefix of the cache's, the sources of
 * events, and the experiment. Python reads the same file.
 */
function shopOf(explicitFile, file, database, root) {
  if (!existsSync(file)) {
    if (explicitFile) throw new SettingsError(`RECSYS_TOML should name a file. Received: ${explicitFile}.`);
    return { timeZone: 'UTC', ownTables: '', cachePrefix: '', mapping: DEFAULT_MAPPING, experiment: null };
  }
  const toml = tomlOf(file);
  const mapping = checkMapping(toml, database);
  const { time_zone: timeZone = 'UTC', stored_time_zone: storedTimeZone = 'UTC', own_tables: ownTables, cache_prefix: cachePrefix = '' } = toml.shop ?? {};
  checkStoredZone(storedTimeZone);
  canonicalZone(timeZone); // throws if it is unknown
  return { timeZone, ownTables: ownTablesOf(ownTables, database, root), cachePrefix: checkedPrefix(cachePrefix), mapping, experiment: readExperiment(toml) };
}

/** Return where our own tables lie, as Python does: an absolute path for SQLite, else the name of a database; empty for the shop's. */
function ownTablesOf(place, { file }, root) {
  if (place === undefined) return '';
  if (typeof place !== 'string' || place.trim() === '') throw new SettingsError(`own_tables of [shop] should be text. Received: ${typeof place === 'string' ? 'blanks' : kindOf(place)}.`);
  if (file !== undefined) return path.resolve(root, place);
  if (/^[A-Za-z_]\w*$/.test(place)) return place;
  throw new SettingsError(`own_tables of [shop] should be a plain name of a database of the same server. Received: ${place}.`);
}

/** Check the prefix as Python does; it stands in statements. */
function checkedPrefix(prefix) {
  if (typeof prefix === 'string' && /^(?:[A-Za-z_]\w*)?$/.test(prefix)) return prefix;
  throw new SettingsError(`cache_prefix of [shop] should be letters, digits and underscores, such as recsys_. Received: ${prefix}.`);
}

/** @returns {Record<string, any>} */
function tomlOf(file) {
  try {
    return parsedToml(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new SettingsError(`${path.basename(file)} should be valid TOML. Received: ${whereOf(error)}.`, { cause: error });
  }
}

/** Return the first line of the parser's message. The others quote the file, which may hold secrets. */
function whereOf(error) {
  const [what] = error.message.split('\n');
  return error.line === undefined ? what : `${what}, in line ${error.line}`;
}

/** Check that the stored time zone is UTC, because timestamps are written in UTC here. In another zone, Python would read them hours off. */
function checkStoredZone(zone) {
  if (UTC_NAMES.has(canonicalZone(zone))) return;
  throw new SettingsError(
    'stored_time_zone of [shop] should be UTC, or left out: timestamps are written in UTC here, and Python would read them in that zone. ' +
      `Received: ${zone}.`,
  );
}

function canonicalZone(zone) {
  try {
    if (typeof zone === 'string') return new Intl.DateTimeFormat('en', { timeZone: zone }).resolvedOptions().timeZone;
  } catch {
    // there is no such zone
  }
  throw new SettingsError(`[shop] time zones should be names such as Europe/Berlin. Received: ${typeof zone === 'string' ? zone : 'no text'}.`);
}

/**
 * Freeze a value and all that it holds.
 *
 * @template T
 * @param {T} value
 * @returns {Readonly<T>}
 */
function frozen(value) {
  if (typeof value === 'object' && value !== null) Object.values(Object.freeze(value)).forEach(frozen);
  return value;
}
