/** Messages beside the page's content. */
import { useEffect, useState } from 'react';
import { useShop, useStore, useText } from '../shop.js';
import { CloseIcon } from './icons.jsx';
import { Link } from './Link.jsx';

const SHOWN_MS = 5000;

export function ExpiredBanner() {
  const { sessions, router } = useShop();
  const { t } = useText();
  const { page, path, query } = useStore(router.route);
  if (!useStore(sessions.hasExpired)) return null;
  return (
    <div className="banner" role="alert">
      <p>{t('expired')}</p>
      {page !== 'login' && (
        <Link className="button small" to={`/login?next=${encodeURIComponent(path + query)}`}>
          {t('signIn')}
        </Link>
      )}
      <button className="icon-button" type="button" aria-label={t('dismiss')} onClick={sessions.dismiss}>
        <CloseIcon />
      </button>
    </div>
  );
}

export function OfflineBanner() {
  const { isOffline } = useShop();
  const { t } = useText();
  return useStore(isOffline) ? (
    <div className="banner" role="status">
      <p>{t('offline')}</p>
    </div>
  ) : null;
}

/** The message that an act has been done. It covers nothing for long, and screen readers hear it. */
export function NoticeBar() {
  const { notice } = useShop();
  const { t } = useText();
  const current = useStore(notice);
  const [hidden, setHidden] = useState(0); // number of the last notice whose time is over
  const number = current?.number ?? 0;
  useEffect(() => {
    if (number === 0) return undefined;
    const timer = setTimeout(() => setHidden(number), SHOWN_MS);
    return () => clearTimeout(timer);
  }, [number]);
  const isShown = current !== null && number > hidden;
  return (
    <div className={isShown ? 'notice shown' : 'notice'}>
      <p role="status">{isShown && <bdi key={number}>{current.text}</bdi>}</p>
      {isShown && current.isAboutCart && (
        <Link className="notice-link" to="/cart" onClick={() => setHidden(number)}>
          {t('toCart')}
        </Link>
      )}
    </div>
  );
}
