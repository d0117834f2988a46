/** Who is signed in. */
import { createStore } from './store.js';
import { idOf, textOf } from './product.js';

/**
 * @import { Store } from './store.js'
 * @import { Values } from './storage.js'
 */

const KEY = 'session';

/**
 * @typedef {object} Session
 * @property {string} token
 * @property {string} userId
 * @property {string} name
 * @property {boolean} isAdmin
 */

/**
 * @typedef {object} Sessions
 * @property {Store<Session | null>} current
 * @property {Store<boolean>} hasExpired Whether the token ended, and the visitor has not answered to that yet.
 * @property {(answer: any) => Session | null} open By the answer to a login; `null` if it is unusable.
 * @property {() => void} close
 * @property {(token: string) => void} expire
 * @property {() => void} dismiss
 * @property {() => void} reload Reads what another tab wrote.
 */

/**
 * @param {Values} storage
 * @returns {Sessions}
 */
export function createSessions(storage) {
  const current = createStore(sessionOf(storage.get(KEY)));
  const hasExpired = createStore(false);
  return {
    current,
    hasExpired,
    open(answer) {
      const { token, user } = answer?.data ?? {};
      const name = [textOf(user?.firstName), textOf(user?.lastName)].filter(Boolean).join(' ') || textOf(user?.email) || '';
      const session = sessionOf({ token, userId: idOf(user?.id), name, isAdmin: user?.isAdmin === true });
      if (!session) return null;
      storage.set(KEY, session);
      hasExpired.set(false);
      current.set(session);
      return session;
    },
    close() {
      storage.remove(KEY);
      hasExpired.set(false);
      current.set(null);
    },
    expire(token) {
      if (current.get()?.token !== token) return; // another tab has signed in again
      storage.remove(KEY);
      current.set(null);
      hasExpired.set(true);
    },
    dismiss: () => hasExpired.set(false),
    reload() {
      const session = sessionOf(storage.get(KEY));
      if (session?.token === current.get()?.token) return;
      if (session) hasExpired.set(false);
      current.set(session);
    },
  };
}

/** @param {any} stored @returns {Session | null} */
function sessionOf(stored) {
  if (typeof stored?.token !== 'string' || typeof stored.userId !== 'string') return null;
  return { token: stored.token, userId: stored.userId, name: textOf(stored.name) ?? '', isAdmin: stored.isAdmin === true };
}
