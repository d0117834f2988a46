/** The languages of the page. */
import { createStore } from '../lib/store.js';
import en from './en.js';
import vi from './vi.js';

/** @import { Values } from '../lib/storage.js' */

const KEY = 'language';
const TEXTS = { en, vi };

/** @typedef {'en' | 'vi'} Language */
/** @typedef {(key: string, values?: Record<string, string | number>) => string} Translate */

export const LANGUAGES = /** @type {Language[]} */ (Object.keys(TEXTS));

/**
 * Return the function that says things in a language.
 *
 * @param {Language} language
 * @returns {Translate}
 */
export function translator(language) {
  return translatorOf(TEXTS[language]);
}

/**
 * Return the function that says things by their keys. `{name}` in a text is replaced by `values.name`. A text with a count `n` may
 * have a form `….one`.
 *
 * @param {Record<string, string>} texts
 * @returns {Translate}
 */
export function translatorOf(texts) {
  return (key, values = {}) => {
    const text = (values.n === 1 ? texts[`${key}.one`] : undefined) ?? texts[key] ?? key;
    return text.replace(/\{(\w+)\}/g, (slot, name) => (Object.hasOwn(values, name) ? String(values[name]) : slot));
  };
}

/**
 * Return the language to begin with: the visitor's choice, else the first of the browser's that the page has, else Vietnamese.
 *
 * @param {unknown} chosen
 * @param {readonly string[]} preferred As in `navigator.languages`.
 * @returns {Language}
 */
export function languageOf(chosen, preferred) {
  const wanted = [chosen, ...preferred.map((tag) => tag.toLowerCase().split('-')[0])];
  return LANGUAGES.find((language) => language === wanted.find((tag) => LANGUAGES.some((known) => known === tag))) ?? 'vi';
}

/**
 * @param {Values} storage
 * @param {readonly string[]} preferred
 */
export function createLanguage(storage, preferred) {
  const current = createStore(languageOf(storage.get(KEY), preferred));
  return {
    current,
    choose(/** @type {Language} */ language) {
      storage.set(KEY, language);
      current.set(language);
    },
    reload: () => current.set(languageOf(storage.get(KEY), preferred)),
  };
}
