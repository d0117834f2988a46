/** A reader of `.env` files that agrees with python-dotenv. */
import { readFileSync } from 'node:fs';

const EXPORT = /(?:export[^\S\r\n]+)?/y;
const KEY = /(?:'([^']+)'|([^=#\s'][^=#\s]*))[^\S\r\n]*/y;
const EQUALS = /=[^\S\r\n]*/y;
const SINGLE_QUOTED = /'((?:\\.|[^'\\])*)'/sy;
const DOUBLE_QUOTED = /"((?:\\.|[^"\\])*)"/sy;
const UNQUOTED = /[^\r\n]*/y;
const LINE_END = /[^\S\r\n]*(?:#[^\r\n]*)?(?:\r\n|\n|\r|$)/y;
const REST_OF_LINE = /[^\r\n]*(?:\r\n|\n|\r|$)/y;
const BLANK = /\s*/y;
const NAMED = /\$\{([^}:]*)(?::-([^}]*))?\}/g;
const ESCAPED = { a: '\x07', b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v' };

/**
 * Return the variables of a `.env` file, read as python-dotenv does. Both sides read one file, and must get the same password from it.
 * Node's dotenv package differs: it ends unquoted values at any `#`, and does not resolve `${NAME}`.
 *
 * @param {string} file It may be missing.
 * @param {Record<string, string | undefined>} environ For `${NAME}`, unless the file has set it before.
 * @returns {Record<string, string>}
 */
export function readDotenv(file, environ) {
  let text;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if (error.code === 'ENOENT') return {};
    throw error;
  }
  return parseDotenv(text, environ);
}

/** Return the assignments in a text. Other lines are ignored. */
export function parseDotenv(text, environ) {
  const cursor = { text, at: 0 };
  const values = {};
  while (take(BLANK, cursor) !== null && cursor.at < text.length) {
    const line = assignment(cursor);
    if (line === null) take(REST_OF_LINE, cursor);
    else if (line.value === null) delete values[line.key];
    else values[line.key] = resolved(line.value, { ...environ, ...values });
  }
  return values;
}

function assignment(cursor) {
  if (cursor.text[cursor.at] === '#') return null;
  take(EXPORT, cursor);
  const named = take(KEY, cursor);
  if (named === null) return null;
  const equals = take(EQUALS, cursor);
  const value = equals === null ? null : valueAt(cursor, equals[0] !== '=');
  return value === undefined || take(LINE_END, cursor) === null ? null : { key: named[1] ?? named[2], value };
}

function valueAt(cursor, isSpaced) {
  const first = cursor.text[cursor.at];
  if (first === '#' && isSpaced) return ''; // a comment behind an empty value
  if (first === "'") return take(SINGLE_QUOTED, cursor)?.[1].replace(/\\([\\'])/g, '$1');
  if (first === '"') return take(DOUBLE_QUOTED, cursor)?.[1].replace(/\\([\\'"abfnrtv])/g, (_, letter) => ESCAPED[letter] ?? letter);
  return take(UNQUOTED, cursor)[0].replace(/\s+#.*/s, '').trimEnd();
}

function resolved(value, variables) {
  return value.replace(NAMED, (_, name, otherwise = '') => variables[name] ?? otherwise);
}

function take(pattern, cursor) {
  pattern.lastIndex = cursor.at;
  const match = pattern.exec(cursor.text);
  if (match !== null) cursor.at = pattern.lastIndex;
  return match;
}
