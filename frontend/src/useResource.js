/** Answers of the server in components, with what was answered before in the meantime. */
import { useCallback, useEffect, useState } from 'react';
import { keyOf } from './lib/answers.js';
import { useShop, useStore } from './shop.js';

const FRESH_MS = 60_000;

/**
 * @template T
 * @typedef {object} Resource
 * @property {T | null} data
 * @property {import('./lib/api.js').ApiError | null} error Only where there is no data.
 * @property {boolean} isLoading
 * @property {() => void} retry
 */

/**
 * Ask the server, and return what is known so far. What was answered before is returned at once, so that the page looks the same when
 * the visitor comes back to it.
 *
 * @template T
 * @param {string} path
 * @param {(answer: any) => T} parse Outside a component, so that it stays the same function.
 * @param {{isPersonal?: boolean, keepsLast?: boolean}} [options] A personal answer is asked for again each time. `keepsLast` returns the
 *     last path's data while a new path is asked for.
 * @returns {Resource<T>}
 */
export function useResource(path, parse, { isPersonal = false, keepsLast = false } = {}) {
  const { answers, sessions } = useShop();
  const userId = useStore(sessions.current)?.userId ?? '';
  const key = keyOf(path, isPersonal ? userId : null);
  const [state, setState] = useState(() => stateOf(answers.known(key), key, parse));
  const [attempt, setAttempt] = useState(0);

  useEffect(() => {
    const known = answers.known(key);
    setState((old) => {
      const isCurrent = old.key === key && !(known && old.isLoading); // an answer may have come since the render
      return isCurrent ? old : stateOf(known, key, parse, keepsLast ? old.data : null);
    });
    if (known && !isPersonal && Date.now() - known.at < FRESH_MS) return undefined;
    const controller = new AbortController();
    answers.ask(key, path, controller.signal).then(
      () => {
        if (!controller.signal.aborted) setState(stateOf(answers.known(key), key, parse));
      },
      (error) => {
        if (controller.signal.aborted) return;
        setState((old) => {
          const data = old.isOld ? null : old.data;
          return { key, data, isOld: false, isLoading: false, error: data === null ? error : null };
        });
      },
    );
    return () => controller.abort();
  }, [answers, key, path, parse, isPersonal, keepsLast, attempt]);

  const retry = useCallback(() => {
    setState((old) => ({ ...old, isLoading: true, error: null }));
    setAttempt((count) => count + 1);
  }, []);

  // In the render after the path has changed, the effect above has not run yet.
  const current = state.key === key ? state : stateOf(answers.known(key), key, parse, keepsLast ? state.data : null);
  return { data: current.data, error: current.error, isLoading: current.isLoading, retry };
}

/**
 * @template T
 * @param {{content: any} | undefined} known
 * @param {string} key
 * @param {(answer: any) => T} parse
 * @param {T | null} [old] Data of another path.
 */
function stateOf(known, key, parse, old = null) {
  return {
    key,
    data: known ? parse(known.content) : old,
    isOld: !known && old !== null,
    isLoading: !known,
    error: /** @type {import('./lib/api.js').ApiError | null} */ (null),
  };
}
