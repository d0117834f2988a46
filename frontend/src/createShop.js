/** The parts of the page that outlive its views: storage, language, session, cart, queue, requests and addresses. None needs React. */
import { createLanguage } from './i18n/index.js';
import { createAnswers } from './lib/answers.js';
import { createApi } from './lib/api.js';
import { createCart } from './lib/cart.js';
import { newEventId } from './lib/eventId.js';
import { createQueue } from './lib/queue.js';
import { createRouter } from './lib/router.js';
import { createSeen } from './lib/seen.js';
import { createSessions } from './lib/session.js';
import { keyOf, openStorage } from './lib/storage.js';
import { createStore } from './lib/store.js';

/** @import { Store } from './lib/store.js' */

/** @typedef {{text: string, isAboutCart?: boolean, number: number}} Notice A message that goes away by itself. */
/** @typedef {ReturnType<typeof createShop>} Shop */

const VISIT = 'visit';

/**
 * Create the parts, and connect them with the events of the window.
 *
 * @param {Window & typeof globalThis} window
 */
export function createShop(window) {
  const storage = openStorage(() => window.localStorage);
  const language = createLanguage(storage, window.navigator.languages ?? []);
  const sessions = createSessions(storage);
  const cart = createCart(storage);
  const router = createRouter(window, newEventId);
  const isOffline = createStore(window.navigator.onLine === false);
  /** @type {Store<Notice | null>} */
  const notice = createStore(/** @type {Notice | null} */ (null));
  const api = createApi({
    fetch: window.fetch.bind(window),
    getToken: () => sessions.current.get()?.token ?? null,
    onExpired: sessions.expire,
  });
  const visits = openStorage(() => window.sessionStorage);
  const queue = createQueue({
    storage,
    post: api.post,
    beacon: (body) => {
      const blob = new Blob([JSON.stringify(body)], { type: 'application/json' });
      return window.navigator.sendBeacon?.('/api/interaction', blob) ?? false;
    },
    getSession: sessions.current.get,
    onHold: sessions.expire,
    getVisit() {
      const visit = visits.get(VISIT) ?? newEventId();
      visits.set(VISIT, visit);
      return visit;
    },
  });
  const seen = createSeen({ tell: (list) => queue.add('impression', null, list) });
  const leave = () => {
    seen.flush();
    queue.leave();
  };
  const answers = createAnswers(api);
  let notices = 0;

  window.addEventListener('pagehide', leave);
  window.document.addEventListener('visibilitychange', () => {
    if (window.document.visibilityState === 'hidden') leave();
    else void queue.flush();
  });
  window.addEventListener('online', () => {
    isOffline.set(false);
    void queue.flush();
  });
  window.addEventListener('offline', () => isOffline.set(true));
  window.addEventListener('storage', (event) => {
    const key = keyOf(event);
    if (key === 'cart') cart.reload();
    if (key === 'session') sessions.reload();
    if (key === 'language') language.reload();
  });
  sessions.current.subscribe(() => void queue.flush());
  void queue.flush();

  return {
    storage,
    language,
    sessions,
    cart,
    router,
    isOffline,
    notice,
    api,
    answers,
    queue,
    seen,
    /** End the session. Cart and answers go with it: the server knows them, and whoever comes next to this browser must not see them. */
    signOut() {
      answers.forget();
      sessions.close();
      cart.clear();
    },
    /** @param {string} text @param {{isAboutCart?: boolean}} [options] */
    say(text, { isAboutCart = false } = {}) {
      notices += 1;
      notice.set({ text, isAboutCart, number: notices });
    },
  };
}
