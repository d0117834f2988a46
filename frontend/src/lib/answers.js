/** The server's answers to reads: those that are known, and those that were asked for before the page could show them. */

/**
 * @import { Api } from './api.js'
 *
 * @typedef {object} Answers
 * @property {(key: string) => {content: any, at: number} | undefined} known
 * @property {(key: string, path: string, signal: AbortSignal) => Promise<any>} ask
 * @property {() => void} forget Forgets all answers, because another visitor comes.
 * @property {(key: string, path: string) => Promise<void>} askEarly The next to ask for it gets this answer, or this failure. Resolves after either.
 */

const EARLY_MS = 10_000; // later, the answer may be out of date

/** Return the key of an answer: a personal one is of one visitor, whose id is empty for a guest. */
export function keyOf(/** @type {string} */ path, /** @type {string | null} */ visitor) {
  return visitor === null ? path : `${visitor} ${path}`;
}

/**
 * @param {Pick<Api, 'read'>} api
 * @param {() => number} [now]
 * @returns {Answers}
 */
export function createAnswers(api, now = Date.now) {
  /** @type {Map<string, {content: any, at: number}>} */
  const known = new Map();
  /** @type {Map<string, {answer: Promise<any>, at: number}>} */
  const early = new Map();

  /** @param {string} key */
  function takeEarly(key) {
    const begun = early.get(key);
    early.delete(key);
    return begun && now() - begun.at < EARLY_MS ? begun.answer : null;
  }

  /** @param {string} key @param {Promise<any>} answer */
  async function noted(key, answer) {
    const content = await answer;
    known.set(key, { content, at: now() });
    return content;
  }

  return {
    known: (key) => known.get(key),
    forget() {
      known.clear();
      early.clear();
    },
    ask: (key, path, signal) => takeEarly(key) ?? noted(key, api.read(path, { signal })),
    askEarly(key, path) {
      const answer = noted(key, api.read(path));
      early.set(key, { answer, at: now() });
      return answer.then(
        () => {},
        () => {}, // whoever asks is told
      );
    },
  };
}
