/** The text of recsys.toml, with whole numbers that can be told from others, as in Python. */
import { parse } from 'smol-toml';

/**
 * Return the tables of a text. Whole numbers are BigInt: 3.0 is a number, and 3 a BigInt.
 *
 * @param {string} text
 * @returns {Record<string, any>}
 * @throws {import('smol-toml').TomlError} The text is no TOML.
 */
export function parsedToml(text) {
  return parse(text, { integersAsBigInt: true });
}

/** Return the kind of a value, as messages name it. @param {unknown} value */
export function kindOf(value) {
  return typeof value === 'bigint' ? 'number' : typeof value;
}
