/** The head of every page: the shop's name, the language, the visitor, the cart. */
import { useEffect, useRef, useState } from 'react';
import { SHOP_NAME } from '../config.js';
import { LANGUAGES, translator } from '../i18n/index.js';
import { totalOf } from '../lib/cart.js';
import { useShop, useStore, useText } from '../shop.js';
import { BagIcon, Logo, PersonIcon } from './icons.jsx';
import { Link } from './Link.jsx';

export function Header() {
  const { sessions, cart, router } = useShop();
  const { t } = useText();
  const session = useStore(sessions.current);
  const { pieces } = totalOf(useStore(cart.lines));
  const { page, path, query } = useStore(router.route);
  const isCurrent = (/** @type {string} */ name) => (page === name ? 'page' : undefined);

  return (
    <header className="header">
      <div className="header-row">
        <Link className="brand" to="/" aria-current={isCurrent('home')}>
          <Logo />
          <span>{SHOP_NAME}</span>
        </Link>
        <nav className="header-links">
          <LanguageChoice />
          {session?.isAdmin && (
            <Link className="header-link wide-link" to="/admin" aria-current={isCurrent('admin')}>
              {t('admin')}
            </Link>
          )}
          <Link
            className="header-link"
            to={['home', 'login'].includes(page) ? '/login' : `/login?next=${encodeURIComponent(path + query)}`}
            aria-current={isCurrent('login')}
            aria-label={session ? t('signedIn', { name: session.name }) : t('signIn')}
          >
            <PersonIcon />
            <bdi className="wide-only account">{session ? session.name : t('signIn')}</bdi>
          </Link>
          <Link className="header-link" to="/cart" aria-current={isCurrent('cart')} aria-label={`${t('cart')}, ${t('items', { n: pieces })}`}>
            <span className="cart-icon">
              <BagIcon />
              <CartCount pieces={pieces} />
            </span>
            <span className="wide-only">{t('cart')}</span>
          </Link>
        </nav>
      </div>
    </header>
  );
}

/** @param {{pieces: number}} props */
function CartCount({ pieces }) {
  const [isMoving, setIsMoving] = useState(false);
  const before = useRef(pieces);
  useEffect(() => {
    setIsMoving(pieces > before.current);
    before.current = pieces;
  }, [pieces]);
  if (pieces === 0) return null;
  return (
    <span
      className={isMoving ? 'count moving' : 'count'}
      data-count={pieces > 99 ? '99+' : pieces} // the link's label says it in words
      onAnimationEnd={() => setIsMoving(false)}
    />
  );
}

function LanguageChoice() {
  const { language } = useShop();
  const { t, language: current } = useText();
  return (
    <div className="languages" role="group" aria-label={t('language.choose')}>
      {LANGUAGES.map((code) => (
        <button
          key={code}
          type="button"
          lang={code}
          aria-pressed={code === current}
          aria-label={`${code.toUpperCase()} – ${translator(code)('language.name')}`}
          onClick={() => language.choose(code)}
        >
          {code.toUpperCase()}
        </button>
      ))}
    </div>
  );
}
