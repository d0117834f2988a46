/** A value that components watch through `useSyncExternalStore`. */

/**
 * @template T
 * @typedef {object} Store
 * @property {() => T} get
 * @property {(value: T) => void} set Tells the listeners, if the value is another one.
 * @property {(listener: () => void) => () => void} subscribe Returns what ends the subscription.
 */

/**
 * @template T
 * @param {T} value
 * @returns {Store<T>}
 */
export function createStore(value) {
  let current = value;
  /** @type {Set<() => void>} */
  const listeners = new Set();
  return {
    get: () => current,
    set(next) {
      if (Object.is(next, current)) return;
      current = next;
      for (const listener of [...listeners]) listener();
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}
