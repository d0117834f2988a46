/** Do recommendations sell? What is credited to them, and the two arms of the experiment. */
import { useEffect } from 'react';
import { Failed } from '../components/Failed.jsx';
import { CURRENCY } from '../config.js';
import { money } from '../lib/money.js';
import { useResource } from '../useResource.js';
import { Table, useAdminText } from './parts.jsx';
import { placesOf, salesOf } from './salesFigures.js';
import { TEXTS } from './texts.js';

/** @import { Arm, Comparison, Mean, Report } from './salesFigures.js' */

const POLL_MS = 2000; // while the report is being made
const BASES = /** @type {const} */ (['click', 'view', 'none']);
const PER_UNIT = 10 ** (new Intl.NumberFormat('en', { style: 'currency', currency: CURRENCY }).resolvedOptions().maximumFractionDigits ?? 2); // cents
const SAMPLE = `[experiments]
name = "lists"

[experiments.arms.without]
share = 0.5
model = "none"

[experiments.arms.with]
share = 0.5`;

/** Return how amounts of the report are written. */
function useSalesText() {
  const text = useAdminText();
  const { say, number, language } = text;
  const amount = (/** @type {number} */ value) => `${value < 0 ? '−' : ''}${money(Math.round(Math.abs(value) * PER_UNIT) / PER_UNIT, language, CURRENCY)}`;
  return {
    ...text,
    amount,
    percent: (/** @type {number} */ share, digits = 1) => `${number(100 * share, digits)} %`,
    /** A reason as the report has it, in the visitor's language. @param {string} reason */
    reasonText: (reason) => (TEXTS.en[/** @type {keyof typeof TEXTS.en} */ (`reason.${reason}`)] ? say(`reason.${reason}`) : reason),
  };
}

export function Sales() {
  const { say, date } = useSalesText();
  const { data, error, retry } = useResource('/api/admin/sales', salesOf, { isPersonal: true });
  const isComputing = data?.isComputing === true;

  useEffect(() => {
    if (!isComputing) return undefined;
    const timer = setTimeout(retry, POLL_MS);
    return () => clearTimeout(timer);
  }, [isComputing, data, retry]);

  const failure = data?.failure;
  return (
    <section className="admin-section" aria-busy={isComputing}>
      <h2>{say('sales')}</h2>
      {error && <Failed error={error} retry={retry} />}
      {failure && <p className="failed">{failure.code === 'too_large' ? say('sales.tooLarge') : say('sales.failed', { message: failure.message })}</p>}
      {data && !data.report && isComputing && <p className="quiet" role="status">{say('sales.computing')}</p>}
      {data?.report && (
        <>
          <Credits report={data.report} />
          {data.report.comparison ? <Arms comparison={data.report.comparison} /> : <Begin />}
          <p className="quiet small" role="status">
            {isComputing ? say('sales.again') : say('sales.computed', { time: date(data.computedAt) })}
          </p>
        </>
      )}
    </section>
  );
}

/** @param {{report: Report}} props */
function Credits({ report }) {
  const { say, amount, number, percent, reasonText, language } = useSalesText();
  const { credited, algorithms, notes } = report;
  const { total } = credited;
  const shareOf = (/** @type {typeof BASES[number]} */ basis) => (total.revenue > 0 ? credited[basis].revenue / total.revenue : 0);
  const day = new Intl.DateTimeFormat(language, { dateStyle: 'medium' });
  const period = say('sales.period', { since: day.format(report.since), until: day.format(report.until) });
  if (total.purchases === 0) return <p className="empty">{period} {say('sales.none')}</p>;
  return (
    <>
      <p className="quiet">{period} {say('sales.about')}</p>
      <p>
        {say('sales.total')} <strong>{amount(total.revenue)}</strong>, {say('sales.purchases', { n: number(total.purchases) })}
      </p>
      <div className="credits" role="img" aria-label={BASES.map((basis) => `${say(`basis.${basis}`)}: ${percent(shareOf(basis))}`).join(', ')}>
        {BASES.map((basis) => <span key={basis} className={`credit ${basis}`} style={{ flexGrow: shareOf(basis) }} />)}
      </div>
      <ul className="legend" role="list">
        {BASES.map((basis) => (
          <li key={basis}>
            <span className={`dot ${basis}`} aria-hidden="true" /> {say(`basis.${basis}`)} <strong>{percent(shareOf(basis))}</strong> <span className="quiet">{amount(credited[basis].revenue)}</span>
          </li>
        ))}
      </ul>
      {algorithms.length > 0 && (
        <Table
          label={say('sales.algorithms')}
          head={[say('sales.algorithm'), say('sales.bought'), say('sales.revenue')]}
          numbers={[1, 2]}
          rows={algorithms.map(({ name, purchases, revenue }) => ({ key: name, cells: [name, number(purchases), amount(revenue)] }))}
        />
      )}
      <LeftOut title={say('sales.leftOut')} counts={notes.map(([reason, n]) => [reasonText(reason), number(n)])} />
    </>
  );
}

/** @param {{comparison: Comparison}} props */
function Arms({ comparison }) {
  const { say, number, percent, amount, reasonText } = useSalesText();
  const { arms, metric, verdict, difference, ratio, leftOut } = comparison;
  const [first, second] = arms;
  const isMoney = metric === 'revenue';
  const written = (/** @type {number} */ value) => (isMoney ? amount(value) : number(value, 3));
  const signed = (/** @type {number} */ value) => `${value > 0 ? '+' : ''}${written(value)}`;
  const known = TEXTS.en[/** @type {keyof typeof TEXTS.en} */ (`verdict.${verdict}`)] !== undefined;
  const row = (/** @type {string} */ name, /** @type {(arm: Arm) => import('react').ReactNode} */ cell) => ({ key: name, cells: [say(`arm.${name}`), ...arms.map(cell)] });
  const mean = (/** @type {(value: number) => string} */ write, /** @type {keyof Arm['means']} */ name) => (/** @type {Arm} */ arm) => <WithInterval mean={arm.means[name]} write={write} />;
  return (
    <>
      <h3>{say('experiment', { name: comparison.name })}</h3>
      <p className={`sentence verdict ${verdict.replaceAll(' ', '-')}`}>{known ? say(`verdict.${verdict}`, { first: first.name, second: second.name }) : verdict}</p>
      {difference && (
        <figure className="difference">
          <figcaption>
            {say(`difference.${metric}`, { second: second.name, first: first.name })} <strong>{signed(difference.value)}</strong>
            {difference.relative !== null && <> ({difference.relative > 0 ? '+' : ''}{percent(difference.relative)})</>}
          </figcaption>
          {difference.low !== null && difference.high !== null && (
            <>
              <DifferenceLine difference={difference} />
              <p className="quiet small">{say('difference.interval', { low: signed(difference.low), high: signed(difference.high), p: number(difference.p, 4) })}</p>
            </>
          )}
        </figure>
      )}
      <div className="arms">
        <Table
          label={say('experiment', { name: comparison.name })}
          head={['', ...arms.map(({ name, model }) => <span key={name}>{name} <span className="kind">{model}</span></span>)]}
          numbers={[1, 2]}
          rows={[
            row('users', ({ counts }) => number(counts.users)),
            row('observed', ({ counts }) => number(counts.observed)),
            row('impressions', ({ counts }) => number(counts.impressions)),
            row('clicks', ({ counts }) => number(counts.clicks)),
            row('ctr', mean((value) => percent(value, 2), 'ctr')),
            row('carts', ({ counts }) => number(counts.carts)),
            row('carts_per_user', mean((value) => number(value, 3), 'carts_per_user')),
            row('purchases', ({ counts }) => number(counts.purchases)),
            row('purchases_per_user', mean((value) => number(value, 3), 'purchases_per_user')),
            row('revenue', ({ counts }) => amount(counts.revenue)),
            row('revenue_per_user', mean(amount, 'revenue_per_user')),
          ]}
        />
      </div>
      <p className={ratio.isOk ? 'quiet small' : 'failed'}>
        {say(ratio.isOk ? 'ratio.good' : 'ratio.bad', {
          counts: ratio.counts.map((n) => number(n)).join(' / '),
          expected: ratio.expected.map((n) => number(n)).join(' / '),
          p: number(ratio.p, 4),
        })}
      </p>
      <p className="quiet small">{say('experiment.looks')}</p>
      <LeftOut title={say('experiment.leftOut')} counts={leftOut.map(([reason, n]) => [reasonText(reason), number(n)])} />
    </>
  );
}

/** @param {{mean: Mean | null, write: (value: number) => string}} props */
function WithInterval({ mean, write }) {
  const { say } = useAdminText();
  if (mean === null) return say('none');
  return (
    <>
      {write(mean.value)} {mean.low !== null && mean.high !== null && <span className="interval"><span className="unbroken">[{write(mean.low)};</span> <span className="unbroken">{write(mean.high)}]</span></span>}
    </>
  );
}

/** The interval of the difference on a line with 0 in its middle. @param {{difference: {value: number, low: number | null, high: number | null}}} props */
function DifferenceLine({ difference }) {
  const { low, value, high } = placesOf(difference);
  return (
    <svg className="difference-line" viewBox="0 0 100 12" preserveAspectRatio="none" aria-hidden="true">
      <line className="axis" x1="0" x2="100" y1="6" y2="6" />
      <line className="zero" x1="50" x2="50" y1="0" y2="12" />
      <line className="range" x1={low} x2={high} y1="6" y2="6" />
      <line className="point" x1={value} x2={value} y1="2" y2="10" />
    </svg>
  );
}

/** @param {{title: string, counts: [string, string][]}} props */
function LeftOut({ title, counts }) {
  if (counts.length === 0) return null;
  return (
    <details className="left-out">
      <summary>{title}</summary>
      <ul>
        {counts.map(([reason, n]) => <li key={reason}>{n} {reason}</li>)}
      </ul>
    </details>
  );
}

function Begin() {
  const { say } = useAdminText();
  return (
    <div className="begin">
      <h3>{say('begin')}</h3>
      <p>{say('begin.why')}</p>
      <p>{say('begin.how')}</p>
      <pre tabIndex={0}>{SAMPLE}</pre>
      <p className="quiet small">{say('begin.then')}</p>
    </div>
  );
}
