/** Secrets that no text shows, and the error of settings, whose message shows no secret either. */
import { inspect } from 'node:util';

const MASK = '***';
const SHORT = 6; // a secret below this length is part of too many words, and is masked only where it stands alone
const URLS = /(?<=:\/\/)\S+/g; // as whole words, in linear time, however many URLs a word holds
const SAMPLE = 'user:password'; // of our own messages

const known = new Set();

/** A setting is missing or wrong. Its message is for people, and shows nothing that may be secret. */
export class SettingsError extends Error {
  name = 'SettingsError';
}

/** A secret value. Only `reveal` shows it; texts, JSON and the console show `***`. */
export class Secret {
  #value;

  /**
   * @param {string} value
   * @param {string} [part] The part that is secret by itself, which `scrubbed` masks from now on.
   */
  constructor(value, part = value) {
    this.#value = value;
    if (part !== '') known.add(part);
  }

  reveal() {
    return this.#value;
  }

  toString() {
    return MASK;
  }

  toJSON() {
    return MASK;
  }

  [inspect.custom]() {
    return MASK;
  }
}

/**
 * Return a text with `***` for every secret of this process, and for the user and password in any URL. Libraries write messages, too.
 *
 * @param {string} text A message or a trace.
 */
export function scrubbed(text) {
  const forms = [...known].flatMap((value) => [...formsOf(value)]).sort((one, other) => other.length - one.length);
  return forms.reduce((partly, form) => (partly.includes(form) ? masked(partly, form) : partly), text.replace(URLS, withoutAccount));
}

/** Mask the user and the password: all before the last @. */
function withoutAccount(rest) {
  const end = rest.lastIndexOf('@');
  return end < 1 || rest.slice(0, end) === SAMPLE ? rest : `${MASK}${rest.slice(end)}`;
}

/** Return the spellings of a secret in texts: plain, percent-encoded, and escaped for JSON. */
function formsOf(value) {
  return new Set([value, encodeURIComponent(value), JSON.stringify(value).slice(1, -1)]);
}

function masked(text, form) {
  if (form.length >= SHORT) return text.replaceAll(form, MASK);
  const escaped = form.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&');
  return text.replace(new RegExp(`(?<![\\p{L}\\p{N}_])${escaped}(?![\\p{L}\\p{N}_])`, 'gu'), MASK);
}
