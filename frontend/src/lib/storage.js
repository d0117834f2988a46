/** JSON values in the browser's storage; in memory where the browser has none, refuses, or is full. */

const PREFIX = 'shop.';

/**
 * @typedef {object} Values
 * @property {(key: string) => any} get `null` for a value that is missing or unreadable.
 * @property {(key: string, value: unknown) => void} set
 * @property {(key: string) => void} remove
 * @property {(prefix: string) => string[]} keys
 * @property {boolean} isKept Whether the values outlive the page.
 */

/**
 * Open the storage.
 *
 * @param {() => Storage | null | undefined} open Returns `localStorage`. A browser that blocks it throws already here.
 * @returns {Values}
 */
export function openStorage(open) {
  const storage = usable(open);
  /** @type {Map<string, string | null>} what storage could not take; `null` for a removed value */
  const memory = new Map();

  /** @param {string} name */
  function read(name) {
    if (memory.has(name)) return memory.get(name) ?? null;
    return attempt(() => storage?.getItem(name) ?? null, null);
  }

  return {
    isKept: storage !== null,
    get: (key) => attempt(() => JSON.parse(read(PREFIX + key) ?? 'null'), null),
    set(key, value) {
      const name = PREFIX + key;
      const text = JSON.stringify(value);
      const isStored = attempt(() => (storage ? (storage.setItem(name, text), true) : false), false);
      if (isStored) memory.delete(name);
      else memory.set(name, text);
    },
    remove(key) {
      const name = PREFIX + key;
      const isRemoved = attempt(() => (storage?.removeItem(name), true), false);
      if (isRemoved) memory.delete(name);
      else memory.set(name, null);
    },
    keys(prefix) {
      const names = new Set(attempt(() => Object.keys(storage ?? {}), []));
      for (const [name, text] of memory) {
        if (text === null) names.delete(name);
        else names.add(name);
      }
      return [...names].filter((name) => name.startsWith(PREFIX + prefix)).map((name) => name.slice(PREFIX.length));
    },
  };
}

/** The key that a `storage` event of another tab is about; `null` for another program's. */
export function keyOf(/** @type {StorageEvent} */ { key }) {
  return key?.startsWith(PREFIX) ? key.slice(PREFIX.length) : null;
}

/** @param {() => Storage | null | undefined} open */
function usable(open) {
  return attempt(() => {
    const storage = open() ?? null;
    storage?.setItem(`${PREFIX}probe`, '1');
    storage?.removeItem(`${PREFIX}probe`);
    return storage;
  }, null);
}

/**
 * @template T
 * @param {() => T} action
 * @param {T} otherwise
 * @returns {T}
 */
function attempt(action, otherwise) {
  try {
    return action();
  } catch {
    return otherwise;
  }
}
