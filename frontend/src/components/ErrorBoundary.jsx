/** What visitors see instead of a view that failed. */
import { Component } from 'react';
import { useText } from '../shop.js';
import { Link } from './Link.jsx';

/** @extends {Component<{children: import('react').ReactNode}, {hasFailed: boolean}>} */
export class ErrorBoundary extends Component {
  state = { hasFailed: false };

  static getDerivedStateFromError() {
    return { hasFailed: true };
  }

  render() {
    return this.state.hasFailed ? <FailedPage /> : this.props.children;
  }
}

function FailedPage() {
  const { t } = useText();
  return (
    <section className="page message" role="alert">
      <h1>{t('error.page')}</h1>
      <p>{t('error.page.text')}</p>
      <p className="actions">
        <button className="button" type="button" onClick={() => window.location.reload()}>
          {t('reload')}
        </button>
        <Link className="button plain" to="/">
          {t('home')}
        </Link>
      </p>
    </section>
  );
}
