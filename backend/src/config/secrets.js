import { inspect } from 'node:util';

const MASK = '***';
const TORN_BELOW = 6; // a shorter secret is a part of too many words: it is masked where it stands alone
const ACCOUNT = /(?<=:\/\/)[^\s@"']*@/g; // the user and the password of any URL

const known = new Set();

/** A value that nothing but `reveal` tells: in texts, in JSON and to the console it is `***`. */
export class Secret {
  #value;

  /**
   * @param {string} value
   * @param {string} [part] What of it is secret by itself: `scrubbed` knows it from now on.
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
 * Return a text with `***` for every secret of this process and for the account in any URL: others write messages, too.
 *
 * @param {string} text A message or a trace.
 */
export function scrubbed(text) {
  const forms = [...known].flatMap((value) => [...formsOf(value)]).sort((one, other) => other.length - one.length);
  return forms.reduce((kept, form) => (kept.includes(form) ? masked(kept, form) : kept), text.replace(ACCOUNT, `${MASK}@`));
}

/** Return the spellings in which a secret may turn up: as it is, as in a URL, as in JSON. */
function formsOf(value) {
  return new Set([value, encodeURIComponent(value), JSON.stringify(value).slice(1, -1)]);
}

function masked(text, form) {
  if (form.length >= TORN_BELOW) return text.replaceAll(form, MASK);
  const escaped = form.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&');
  return text.replace(new RegExp(`(?<![\\p{L}\\p{N}_])${escaped}(?![\\p{L}\\p{N}_])`, 'gu'), MASK);
}
