/** A bar chart in the page's colours. What it shows stands beside it as a table, for those who cannot see it. */
import { BarController, BarElement, CategoryScale, Chart as ChartJs, Legend, LinearScale, Tooltip } from 'chart.js';
import { useEffect, useRef, useState } from 'react';

/** @import { Chart as AnyChart, ChartConfiguration, Plugin } from 'chart.js' */

ChartJs.register(BarController, BarElement, CategoryScale, LinearScale, Tooltip, Legend);

const DARK = '(prefers-color-scheme: dark)';

/**
 * @typedef {object} Colours
 * @property {string} ink
 * @property {string} quiet
 * @property {string} line
 * @property {string} accent
 * @property {string[]} series
 */

/** Draws the interval of each bar of a horizontal chart, where it is known. @type {Plugin<'bar'>} */
const INTERVALS = {
  id: 'intervals',
  afterDatasetsDraw(chart) {
    const { ctx, scales } = chart;
    const [data] = /** @type {any[]} */ (chart.data.datasets);
    if (!data?.intervals) return;
    ctx.save();
    ctx.strokeStyle = String(ChartJs.defaults.color);
    ctx.lineWidth = 1.5;
    for (const [index, { y }] of chart.getDatasetMeta(0).data.entries()) {
      if (data.intervals[index].includes(null)) continue;
      const [low, high] = data.intervals[index].map((/** @type {number} */ value) => scales.x.getPixelForValue(value));
      ctx.beginPath();
      ctx.moveTo(low, y);
      ctx.lineTo(high, y);
      for (const x of [low, high]) {
        ctx.moveTo(x, y - 4);
        ctx.lineTo(x, y + 4);
      }
      ctx.stroke();
    }
    ctx.restore();
  },
};

/**
 * @param {{configure: (colours: Colours) => ChartConfiguration<'bar'>, label: string, height: number}} props `configure` stays the same
 *     function while the data do.
 */
export function Chart({ configure, label, height }) {
  const canvas = useRef(/** @type {HTMLCanvasElement | null} */ (null));
  const isDark = useMedia(DARK);
  const isStill = useMedia('(prefers-reduced-motion: reduce)');

  useEffect(() => {
    if (!canvas.current) return undefined;
    const colours = coloursOf(canvas.current, isDark);
    Object.assign(ChartJs.defaults, { color: colours.ink, borderColor: colours.line });
    ChartJs.defaults.font.family = getComputedStyle(canvas.current).fontFamily;
    const { options, ...rest } = configure(colours);
    const chart = new ChartJs(canvas.current, {
      ...rest,
      plugins: [INTERVALS],
      options: { responsive: true, maintainAspectRatio: false, animation: isStill ? false : { duration: 300 }, ...options },
    });
    return () => chart.destroy();
  }, [configure, isDark, isStill]);

  return (
    <div className="chart" style={{ height }}>
      <canvas ref={canvas} role="img" aria-label={label} />
    </div>
  );
}

/** @param {Element} element @param {boolean} isDark @returns {Colours} */
function coloursOf(element, isDark) {
  const style = getComputedStyle(element);
  const colour = (/** @type {string} */ name) => style.getPropertyValue(`--${name}`).trim();
  // Told apart also with the usual colour blindnesses (Okabe and Ito 2008).
  const series = isDark
    ? ['#5cc4ad', '#e9b44c', '#7fb2f0', '#e58a7b', '#c79bdc', '#a9afb4', '#d7d26a']
    : ['#0f6b5c', '#e0a100', '#3b7dd8', '#c8553d', '#8e5aa8', '#8a9096', '#8f8b1e'];
  return { ink: colour('ink'), quiet: colour('quiet'), line: colour('line'), accent: colour('accent'), series };
}

/** @param {string} query */
function useMedia(query) {
  const [matches, setMatches] = useState(() => matchMedia(query).matches);
  useEffect(() => {
    const media = matchMedia(query);
    const look = () => setMatches(media.matches);
    media.addEventListener('change', look);
    return () => media.removeEventListener('change', look);
  }, [query]);
  return matches;
}
