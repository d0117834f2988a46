/** The frame of all pages, and which page an address shows. */
import { Suspense, lazy, useEffect, useLayoutEffect, useRef } from 'react';
import { ErrorBoundary } from './components/ErrorBoundary.jsx';
import { Header } from './components/Header.jsx';
import { ExpiredBanner, NoticeBar, OfflineBanner } from './components/Notices.jsx';
import { SHOP_NAME } from './config.js';
import { CartPage } from './pages/CartPage.jsx';
import { HomePage } from './pages/HomePage.jsx';
import { LoginPage } from './pages/LoginPage.jsx';
import { MissingPage } from './pages/MissingPage.jsx';
import { ProductPage } from './pages/ProductPage.jsx';
import { useShop, useStore, useText } from './shop.js';

/** @import { Route } from './lib/router.js' */

const AdminPage = lazy(() => import('./admin/AdminPage.jsx')); // customers do not load it

export function App() {
  const { router } = useShop();
  const { t, language } = useText();
  const route = useStore(router.route);
  useScrollAndFocus(route);

  useEffect(() => {
    document.documentElement.lang = language;
  }, [language]);

  return (
    <>
      <a className="skip" href="#content">
        {t('skip')}
      </a>
      <Header />
      <main id="content" tabIndex={-1}>
        <ExpiredBanner />
        <OfflineBanner />
        <ErrorBoundary key={route.path}>
          <Suspense fallback={<p className="page quiet">{t('loading')}</p>}>
            <Page route={route} />
          </Suspense>
        </ErrorBoundary>
      </main>
      <footer className="footer">
        <p>
          {SHOP_NAME} · {t('footer')}
        </p>
      </footer>
      <NoticeBar />
    </>
  );
}

/** @param {{route: Route}} props */
function Page({ route }) {
  switch (route.page) {
    case 'home':
      return <HomePage query={route.query} />;
    case 'product':
      return <ProductPage key={route.id} id={String(route.id)} />;
    case 'cart':
      return <CartPage />;
    case 'login':
      return <LoginPage query={route.query} />;
    case 'admin':
      return <AdminPage query={route.query} />;
    default:
      return <MissingPage />;
  }
}

/**
 * Begin a new page at its top and with the focus on it; come back to an earlier one where the visitor left it.
 *
 * @param {Route} route
 */
function useScrollAndFocus(route) {
  const positions = useRef(/** @type {Map<string, number>} */ (new Map()));
  const last = useRef(route);

  useEffect(() => {
    history.scrollRestoration = 'manual';
  }, []);

  useEffect(() => {
    const note = () => positions.current.set(route.key, window.scrollY);
    window.addEventListener('scroll', note, { passive: true });
    return () => window.removeEventListener('scroll', note);
  }, [route.key]);

  useLayoutEffect(() => {
    const { path, key } = last.current;
    last.current = route;
    if (path === route.path || key === route.key) return;
    window.scrollTo({ top: positions.current.get(route.key) ?? 0, behavior: 'instant' });
    document.getElementById('content')?.focus({ preventScroll: true });
  }, [route]);
}
