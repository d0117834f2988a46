/** Reads `DATABASE_URL`, and gives each database a name without secrets. */
import { readlinkSync, realpathSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { Secret, SettingsError } from './secrets.js';

const REPOSITORY = fileURLToPath(new URL('../../../', import.meta.url));
const SQLITE = 'sqlite:///';
const MYSQL = /^(?:mysql|mariadb)(?:\+pymysql)?$/;
const POSTGRESQL = /^postgres(?:ql)?(?:\+\w+)?$/;
const PARTS = /^[\w+]+:\/\/([^/?#\p{Cc}]*)(?:\/([^/?#\p{Cc}]*))?(?:\?([^#\p{Cc}]*))?$/u; // authority, name, parameters; without a fragment
const HOST = /^(?:[\p{L}\p{N}_.,-]+|\[[\p{L}\p{N}.%]*:[\p{L}\p{N}:.%]*\])$/u;
const AUTHORITY = /^(?:([^:[\]]*)(?::([^[\]]*))?@)?(\[[^\]]*\]|[^:@[\]]*)(?::(\d{1,5}))?$/u; // user, password, host, port
const PARAMETERS = new Set(['unix_socket', 'ssl_ca']);
const FORMS = 'mysql+pymysql://user:password@host:3306/name or sqlite:///path';
const ENCODED = 'In a user or a password, /, ?, #, [, ] and % are written %2F, %3F, %23, %5B, %5D and %25.';
const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const LOOPBACK = new Set(['localhost', '127.0.0.1', '::1']);
const MOST_LINKS = 40; // as on Linux

/**
 * @typedef {object} ServerPlace The parts of a connection to a server.
 * @property {undefined} [file]
 * @property {string} host
 * @property {number} port
 * @property {string} user
 * @property {string} password
 * @property {string} name The database.
 * @property {string | null} [socket] Its path, in place of host and port.
 * @property {string | null} [certificate] The file of the certificate that the server's must be signed with.
 *
 * @typedef {{file: string} & Partial<Record<Exclude<keyof ServerPlace, 'file'>, undefined>>} FilePlace The file of an SQLite database.
 *
 * @typedef {FilePlace | ServerPlace} Place
 */

/**
 * Parse `DATABASE_URL` into the database's file or the parts of a connection. Messages show only the scheme, because the rest may belong
 * to a password that was not percent-encoded.
 *
 * @param {string | Secret | Place | null | undefined} database A URL, or an earlier result of this function.
 * @param {string} [root] The folder that relative paths of SQLite start from.
 * @returns {Place}
 * @throws {SettingsError}
 */
export function placeOf(database, root = REPOSITORY) {
  if (database instanceof Secret) return placeOf(database.reveal(), root);
  if (typeof database === 'object' && database !== null) return checkedName(database);
  const text = String(database ?? '');
  if (text.startsWith(SQLITE)) return { file: checkedFile(text.slice(SQLITE.length), root) };
  const scheme = /^([a-z][a-z\d+.-]*):\/\//i.exec(text)?.[1].toLowerCase();
  if (scheme !== undefined && POSTGRESQL.test(scheme)) {
    throw new SettingsError(`DATABASE_URL should be of MySQL, MariaDB or SQLite, which this backend needs: ${FORMS}. Received: ${scheme}:…`);
  }
  if (scheme === undefined || !MYSQL.test(scheme)) throw new SettingsError(`DATABASE_URL should be ${FORMS}. Received: ${scheme ?? 'no scheme'}:…`);
  const [, authority, name = '', query = ''] = PARTS.exec(text) ?? [];
  if (authority === undefined || `${name}?${query}`.includes('@')) {
    throw new SettingsError(`DATABASE_URL should have its last @ before any /, ? or #, and name one database. Received: ${scheme}:… with more. ${ENCODED}`);
  }
  const [isWhole, user = '', password = '', host, port = '3306'] = AUTHORITY.exec(authority) ?? [];
  if (isWhole === undefined || !HOST.test(host || '127.0.0.1') || !(Number(port) >= 1 && Number(port) <= 65_535)) {
    throw new SettingsError(`DATABASE_URL should be ${FORMS}, with a port from 1 to 65535. Received: ${scheme}:… with another host or port. ${ENCODED}`);
  }
  return checkedName({
    host: host.replace(/^\[|\]$/g, '') || '127.0.0.1',
    port: Number(port),
    user: decoded(user) || 'root',
    password: decoded(password),
    name: decoded(name),
    ...parametersOf(query),
  });
}

/**
 * Return the name of a database, without its user and password. All spellings of one database have the same name. The name of a file is its
 * path, with links followed, whether the file exists or not. A file restored from a backup therefore keeps its name.
 *
 * @param {string | Secret | Place} database
 * @returns {string} Such as `mysql://db.example:3306/shop` or `sqlite:////srv/shop.sqlite`.
 */
export function nameOf(database) {
  const { file, host, port, name, socket } = placeOf(database);
  if (file !== undefined) return `${SQLITE}${withoutLinks(file)}`;
  const server = LOOPBACK.has(host.toLowerCase()) ? 'localhost' : host.toLowerCase();
  return `mysql://${socket ?? `${server}:${port}`}/${name}`;
}

function checkedFile(file, root) {
  if (file !== '' && file !== ':memory:') return path.resolve(root, file);
  throw new SettingsError(`DATABASE_URL should be ${FORMS}, a file that Python opens, too. Received: sqlite:… without one.`);
}

function checkedName(place) {
  if (place.name) return place;
  throw new SettingsError(`DATABASE_URL should be ${FORMS}. Received: no name of a database.`);
}

function parametersOf(query) {
  const parameters = new URLSearchParams(query);
  if ([...parameters.keys()].some((name) => !PARAMETERS.has(name))) {
    throw new SettingsError(`DATABASE_URL may have ${[...PARAMETERS].join(' and ')} behind its ?. Received: another parameter. ${ENCODED}`);
  }
  return { socket: parameters.get('unix_socket'), certificate: parameters.get('ssl_ca') };
}

/** Decode as Python does: a % without two hexadecimal digits stays a %. */
function decoded(text) {
  try {
    const plain = text.replace(/(?:%[\da-f]{2})+/gi, (codes) => UTF8.decode(Buffer.from(codes.replaceAll('%', ''), 'hex')));
    if (!plain.includes('\0')) return plain;
  } catch {
    // the bytes are not UTF-8
  }
  throw new SettingsError(`DATABASE_URL should have characters of UTF-8 behind its %. Received: other bytes. ${ENCODED}`);
}

/** Follow links, even to files that do not exist at present. */
function withoutLinks(file, links = 0) {
  const target = links < MOST_LINKS ? targetOf(file) : null;
  if (target !== null) return withoutLinks(path.resolve(path.dirname(file), target), links + 1);
  try {
    return path.join(realpathSync(path.dirname(file)), path.basename(file));
  } catch {
    return file; // its folder does not exist either
  }
}

function targetOf(file) {
  try {
    return readlinkSync(file);
  } catch {
    return null; // it is no link, or does not exist
  }
}
