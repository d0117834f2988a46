/** How good the models are beside the baselines. */
import { useCallback } from 'react';
import { Chart } from './Chart.jsx';
import { Table, useAdminText } from './parts.jsx';

/**
 * @import { Estimate, Model } from './figures.js'
 * @import { Colours } from './Chart.jsx'
 * @import { ChartConfiguration } from 'chart.js'
 */

const BAR = 30; // px

/** @param {{models: Model[], sentence: string | null}} props */
export function Models({ models, sentence }) {
  const { say, metric } = useAdminText();
  const kindOf = (/** @type {Model} */ model) => say(model.isBaseline ? 'kind.baseline' : 'kind.model');
  const withInterval = (/** @type {Estimate | null} */ estimate) =>
    estimate && (
      <>
        {metric(estimate.value)} <span className="interval">{intervalText(estimate, metric)}</span>
      </>
    );
  return (
    <section className="admin-section">
      <h2>{say('models')}</h2>
      {models.length === 0 && <p className="empty">{say('models.none')}</p>}
      {sentence && <p className="sentence">{sentence}</p>}
      {models.length > 0 && (
        <>
          <div className="admin-columns">
            <Bars models={models} metric="precision10" />
            <Bars models={models} metric="map10" />
          </div>
          {models.some(({ precision10, map10 }) => [precision10, map10].some(hasInterval)) && <p className="quiet small">{say('intervals')}</p>}
          <Table
            label={say('models')}
            head={[say('model'), say('precision10'), say('map10')]}
            numbers={[1, 2]}
            rows={models.map((model) => ({
              key: model.name,
              cells: [
                <span key="name">
                  {model.name} <span className="kind">{kindOf(model)}</span> {model.isWinner && <span className="tag">{say('winner')}</span>}
                </span>,
                withInterval(model.precision10),
                withInterval(model.map10),
              ],
            }))}
          />
        </>
      )}
    </section>
  );
}

/** @param {{models: Model[], metric: 'precision10' | 'map10'}} props */
function Bars({ models, metric }) {
  const { say, metric: written } = useAdminText();
  const configure = useCallback(
    (/** @type {Colours} */ colours) => {
      const known = models.filter((model) => model[metric] !== null);
      const estimates = known.map((model) => /** @type {Estimate} */ (model[metric]));
      const data = {
        labels: known.map(({ name }) => name),
        datasets: [
          {
            data: estimates.map(({ value }) => value),
            intervals: estimates.map(({ low, high }) => [low, high]),
            backgroundColor: known.map(({ isBaseline, isWinner }) => {
              if (isWinner) return colours.accent;
              return isBaseline ? colours.line : `color-mix(in srgb, ${colours.accent} 45%, transparent)`;
            }),
            borderRadius: 4,
            barThickness: BAR * 0.6,
          },
        ],
      };
      return /** @type {ChartConfiguration<'bar'>} */ ({
        type: 'bar',
        data,
        options: {
          indexAxis: 'y',
          plugins: {
            legend: { display: false },
            tooltip: { callbacks: { label: ({ dataIndex }) => rangeOf(estimates[dataIndex], written) } },
          },
          scales: {
            x: { beginAtZero: true, suggestedMax: Math.max(...estimates.map(({ value, high }) => high ?? value)), ticks: { maxTicksLimit: 5 } },
            y: { grid: { display: false } },
          },
        },
      });
    },
    [models, metric, written],
  );
  return (
    <figure>
      <figcaption>{say(metric)}</figcaption>
      <Chart configure={configure} label={`${say('models')}: ${say(metric)}`} height={models.length * BAR + 40} />
    </figure>
  );
}

/** @param {Estimate | null} estimate */
function hasInterval(estimate) {
  return estimate !== null && estimate.low !== null && estimate.high !== null;
}

/** @param {Estimate} estimate @param {(value: number | null) => string} written */
function intervalText(estimate, written) {
  return hasInterval(estimate) ? `[${written(estimate.low)}; ${written(estimate.high)}]` : '';
}

/** @param {Estimate} estimate @param {(value: number | null) => string} written */
function rangeOf(estimate, written) {
  return `${written(estimate.value)} ${intervalText(estimate, written)}`;
}
