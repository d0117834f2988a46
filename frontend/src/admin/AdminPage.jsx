/** The administrators' page: which version serves, how good it is, what was answered, and one customer's list. */
import { useMemo } from 'react';
import { Failed } from '../components/Failed.jsx';
import { Link } from '../components/Link.jsx';
import { useTitle } from '../components/useTitle.js';
import { useShop, useStore, useText } from '../shop.js';
import { useResource } from '../useResource.js';
import { Answers } from './Answers.jsx';
import { Customer } from './Customer.jsx';
import { overviewOf } from './figures.js';
import { Models } from './Models.jsx';
import { Facts, ServerFacts, useAdminText } from './parts.jsx';
import { Sales } from './Sales.jsx';
import './admin.css';

/** @param {{query: string}} props */
export default function AdminPage({ query }) {
  const { sessions, router } = useShop();
  const session = useStore(sessions.current);
  const { path } = useStore(router.route);
  const { t, say } = useAdminText();
  useTitle(say('title'));
  if (session) return <Overview key={session.token} query={query} />;
  return (
    <section className="page message">
      <h1>{say('title')}</h1>
      <p>{say('needs.signIn')}</p>
      <Link className="button" to={`/login?next=${encodeURIComponent(path + query)}`}>
        {t('signIn')}
      </Link>
    </section>
  );
}

/** @param {{query: string}} props */
function Overview({ query }) {
  const { sessions, signOut } = useShop();
  const { say, date, number } = useAdminText();
  const { language } = useText();
  const { data, error, retry } = useResource('/api/admin/overview', overviewOf, { isPersonal: true });
  const facts = useMemo(() => (data ? factsOf(data, { say, date, number }) : []), [data, say, date, number]);

  if (error?.status === 403) {
    return (
      <section className="page message">
        <h1>{say('title')}</h1>
        <p>{say('needs.admin', { name: sessions.current.get()?.name ?? '' })}</p>
        <button className="button" type="button" onClick={signOut}>
          {say('another')}
        </button>
      </section>
    );
  }
  return (
    <div className="page admin">
      <h1>{say('title')}</h1>
      {error && <Failed error={error} retry={retry} />}
      {data === null && error === null && <div className="admin-skeleton skeleton" aria-hidden="true"><span className="line" /></div>}
      {data && (
        <>
          <section aria-label={say('version')}>
            {!data.version && <p className="failed">{say('version.none')}</p>}
            <Facts rows={facts} />
          </section>
          <Models models={data.models} sentence={data.sentence[language] ?? data.sentence.en ?? null} />
          <Sales />
          <Answers answers={data.answers} />
        </>
      )}
      <Customer query={query} />
      {data && (
        <div className="admin-columns">
          {Object.entries({ python: data.python, spool: data.spool, server: data.server }).map(
            ([name, known]) =>
              known.length > 0 && (
                <section key={name}>
                  <h2>{say(name)}</h2>
                  <ServerFacts facts={known} />
                </section>
              ),
          )}
        </div>
      )}
    </div>
  );
}

/**
 * @param {ReturnType<typeof overviewOf>} overview
 * @param {Pick<ReturnType<typeof useAdminText>, 'say' | 'date' | 'number'>} words
 * @returns {[string, string][]}
 */
function factsOf({ version, latency }, { say, date, number }) {
  const ms = (/** @type {unknown} */ value) => (typeof value === 'number' ? `${number(value, 1)} ms` : say('none'));
  const age = version?.ageDays;
  const days = typeof age === 'number' ? Math.round(age * 10) / 10 : null;
  /** @type {[string, string][]} */
  const ofVersion = [
    [say('version'), String(version?.name)],
    [say('trained'), date(version?.trainedAt)],
    [say('age'), days === null ? say('none') : say(days === 1 ? 'age.days.one' : 'age.days', { n: number(days, 1) })],
    [say('dataUntil'), date(version?.dataUntil)],
  ];
  return [
    ...(version ? ofVersion : []),
    [`${say('latency')}, ${say('latency.p50')}`, ms(latency.p50Ms)],
    [`${say('latency')}, ${say('latency.p95')}`, ms(latency.p95Ms)],
    [say('latency.n'), typeof latency.n === 'number' ? number(latency.n) : say('none')],
  ];
}
