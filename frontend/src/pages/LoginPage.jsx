/** Signing in, and for whoever is signed in, signing out. */
import { useState } from 'react';
import { failureText, waitText } from '../components/Failed.jsx';
import { Link } from '../components/Link.jsx';
import { useTitle } from '../components/useTitle.js';
import { ApiError } from '../lib/api.js';
import { productsOf } from '../lib/product.js';
import { nextPath } from '../lib/router.js';
import { useShop, useStore, useText } from '../shop.js';

/**
 * @import { Session } from '../lib/session.js'
 * @import { Translate } from '../i18n/index.js'
 */

/** @param {{query: string}} props */
export function LoginPage({ query }) {
  const { sessions } = useShop();
  const { t } = useText();
  const session = useStore(sessions.current);
  useTitle(session ? session.name : t('signIn'));
  return <div className="page narrow">{session ? <Account session={session} /> : <Form next={nextPath(query)} />}</div>;
}

/** @param {{session: Session}} props */
function Account({ session }) {
  const { signOut } = useShop();
  const { t } = useText();
  return (
    <section className="panel">
      <h1><bdi>{session.name}</bdi></h1>
      <p className="quiet">{t('for.user.hint')}</p>
      <p className="actions">
        <Link className="button" to="/">
          {t('cart.browse')}
        </Link>
        {session.isAdmin && (
          <Link className="button plain" to="/admin">
            {t('admin')}
          </Link>
        )}
        <button className="button plain" type="button" onClick={signOut}>
          {t('signOut')}
        </button>
      </p>
    </section>
  );
}

/** @param {{next: string}} props */
function Form({ next }) {
  const { api, sessions, router } = useShop();
  const signIn = useSignIn();
  const { t } = useText();
  const [failure, setFailure] = useState(/** @type {ApiError | null} */ (null));
  const [isBusy, setIsBusy] = useState(false);

  async function submit(/** @type {import('react').FormEvent<HTMLFormElement>} */ event) {
    event.preventDefault();
    if (isBusy) return;
    const { email, password } = Object.fromEntries(new FormData(event.currentTarget));
    setIsBusy(true);
    setFailure(null);
    try {
      const answer = await api.send('/api/auth/login', { email: String(email).trim(), password });
      if (!sessions.open(answer)) throw new ApiError('bad_answer');
      signIn();
      router.go(next, { replace: true });
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      setFailure(error);
      setIsBusy(false);
    }
  }

  return (
    <form className="panel" onSubmit={submit}>
      <h1>{t('login.title')}</h1>
      <p className="quiet">{t('login.text')}</p>
      <label>
        {t('login.email')}
        <input name="email" type="email" autoComplete="username" required maxLength={254} aria-describedby="login-failure" />
      </label>
      <label>
        {t('login.password')}
        <input name="password" type="password" autoComplete="current-password" required maxLength={200} aria-describedby="login-failure" />
      </label>
      <button className="button" type="submit" aria-disabled={isBusy}>
        {t(isBusy ? 'login.busy' : 'signIn')}
      </button>
      <p id="login-failure" className="field-error" role="alert">
        {failure && loginFailure(failure, t)}
      </p>
    </form>
  );
}

/** Return what follows a sign-in: the server's knowledge of the cart joins this one. */
function useSignIn() {
  const { api, cart, queue } = useShop();
  return () => {
    const leaving = () => queue.waiting().flatMap(({ productId, actionCode }) => (['uncart', 'purchase'].includes(actionCode) ? [productId] : []));
    const before = leaving(); // the server may not have known of these yet when it answered
    api.read('/api/cart').then(
      (answer) => {
        const ids = new Set([...before, ...leaving()]);
        cart.merge(productsOf(answer), (id) => ids.has(id));
      },
      () => {}, // the cart of this browser is there all the same
    );
  };
}

/** @param {ApiError} error @param {Translate} t */
function loginFailure(error, t) {
  if (error.status === 401 || error.status === 403 || error.status === 400) return t('login.wrong');
  if (error.status === 429) return t('login.limited', { wait: waitText(error.retryAfterMs, t) });
  return failureText(error, t);
}
