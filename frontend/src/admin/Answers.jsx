/** What answered the requests of the last days. */
import { useCallback, useMemo } from 'react';
import { Chart } from './Chart.jsx';
import { columnsOf, sharesOf } from './figures.js';
import { Table, useAdminText } from './parts.jsx';

/**
 * @import { Count } from './figures.js'
 * @import { Colours } from './Chart.jsx'
 * @import { ChartConfiguration } from 'chart.js'
 */

/** @type {Count[]} */
const NONE = [];
const HOURS = 6; // of a column: 28 of them can still be told apart on a phone

/** @param {{answers: Count[] | null}} props `null` where the server could not read them. */
export function Answers({ answers: known }) {
  const answers = known ?? NONE;
  const { say, number, language } = useAdminText();
  const columns = useMemo(() => columnsOf(answers, Date.now(), HOURS), [answers]);
  const configure = useCallback(
    (/** @type {Colours} */ colours) => {
      const day = new Intl.DateTimeFormat(language, { weekday: 'short', day: 'numeric' });
      const hour = new Intl.DateTimeFormat(language, { weekday: 'short', hour: '2-digit', minute: '2-digit' });
      return /** @type {ChartConfiguration<'bar'>} */ ({
        type: 'bar',
        data: {
          labels: columns.starts,
          datasets: columns.series.map(({ source, values }, index) => ({
            label: source,
            data: values,
            backgroundColor: colours.series[index % colours.series.length],
            categoryPercentage: 0.9,
            barPercentage: 1,
          })),
        },
        options: {
          interaction: { mode: 'index', intersect: false },
          plugins: {
            legend: { position: 'bottom', labels: { boxWidth: 12, boxHeight: 12 } },
            tooltip: { callbacks: { title: ([{ dataIndex }]) => hour.format(columns.starts[dataIndex]) } },
          },
          scales: {
            x: {
              stacked: true,
              grid: { display: false },
              ticks: { autoSkip: true, maxRotation: 0, maxTicksLimit: 7, callback: (_value, index) => day.format(columns.starts[index]) },
            },
            y: { stacked: true, beginAtZero: true, ticks: { precision: 0, maxTicksLimit: 6 } },
          },
        },
      });
    },
    [columns, language],
  );
  return (
    <section className="admin-section">
      <h2>{say('answers')}</h2>
      {answers.length === 0 ? (
        <p className="empty">{say(known === null ? 'answers.unknown' : 'answers.none')}</p>
      ) : (
        <>
          <Chart configure={configure} label={say('answers')} height={280} />
          <Table
            label={say('answers')}
            head={[say('source'), say('reason'), say('count'), say('share')]}
            numbers={[2, 3]}
            rows={sharesOf(answers).map(({ source, reason, count, share }) => ({
              key: `${source} ${reason}`,
              cells: [source, reason ?? say('none'), number(count), `${number(share * 100, 1)} %`],
            }))}
          />
        </>
      )}
    </section>
  );
}
