/** The administrators' page, and the template tag that escapes what it shows. */
import { createHash } from 'node:crypto';

/** @import { Overview } from '../controllers/internalController.js' */

const ESCAPED = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
const STYLE = `
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 18%, transparent); --quiet: color-mix(in srgb, currentColor 62%, transparent); }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2.5rem auto; padding: 0 1.25rem; }
h1 { font-size: 1.5rem; margin: 0 0 1rem; } h2 { font-size: 1.05rem; margin: 2.25rem 0 .5rem; }
form { display: flex; gap: .5rem; margin-bottom: 1.5rem; } input, button { font: inherit; padding: .3rem .6rem; }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(11.5rem, 1fr)); gap: .75rem; margin: 0; }
dl div { border: 1px solid var(--line); border-radius: .5rem; padding: .6rem .8rem; }
dt { color: var(--quiet); font-size: .85rem; } dd { margin: 0; font-size: 1.05rem; overflow-wrap: anywhere; }
.wide { overflow-x: auto; } table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .4rem .75rem .4rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { color: var(--quiet); font-weight: 500; } .number { text-align: right; font-variant-numeric: tabular-nums; }
.quiet { color: var(--quiet); } .alarm { color: #c2410c; font-weight: 600; }
`;

/** The hash of the page's style, for its content security policy. */
export const STYLE_SOURCE = `'sha256-${createHash('sha256').update(STYLE).digest('base64')}'`;

/**
 * Return the overview of a user and the server as HTML.
 *
 * @param {Overview} overview
 * @returns {string}
 */
export function overviewPage(overview) {
  const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Recommendations of customer ${overview.userId}</title>
<style>${style()}</style>
</head>
<body>
<h1>Recommendations of customer ${overview.userId}</h1>
<form><label>Customer <input name="userId" value="${overview.userId}" inputmode="numeric" size="10"></label><button>Show</button></form>
${facts(factsOf(overview))}
<h2>Cached list</h2>
${listOf(overview.cached)}
<h2>Newest run of each model</h2>
${runsOf(overview.runs, overview.cached?.data[0]?.modelName)}
<h2>Python</h2>
${facts(pythonOf(overview.python))}
</body>
</html>
`;
  return page.toString();
}

function style() {
  return html([STYLE]);
}

function factsOf({ cached, context, spool }) {
  return [
    ['best model', cached?.data[0]?.modelName ?? 'nothing cached'],
    ['version', cached?.modelVersion ?? 'none'],
    ['cached products', cached?.data.length ?? 0],
    ...Object.entries(context).map(([name, value]) => [name.replaceAll('_', ' '), value ?? 'unknown']),
    ['interactions waiting', spool.pending, spool.pending > 0],
    ['set aside', spool.rejected, spool.rejected > 0],
    ...(spool.elsewhere ?? []).map(({ folder, database }) => ['waiting for another database', database ?? folder, true]),
  ];
}

function pythonOf({ workers, queued, breaker, answered, failed, deaths, refused }) {
  const ready = workers.filter(({ state }) => state === 'ready').length;
  const failures = Object.values(failed).reduce((sum, count) => sum + count, 0);
  return [
    ['workers ready', `${ready} of ${workers.length}`, ready < workers.length],
    ['waiting', queued],
    ['answered', answered],
    ['failed', failures, failures > 0],
    ['deaths', deaths, deaths > 0],
    ['breaker', breaker, breaker !== 'closed'],
    ...(refused ? [['cannot start', refused, true]] : []),
  ];
}

function facts(rows) {
  return html`<dl>${rows.map(([name, value, isAlarming]) => html`<div><dt>${name}</dt><dd class="${isAlarming ? 'alarm' : ''}">${value}</dd></div>`)}</dl>`;
}

function listOf(cached) {
  if (!cached?.data.length) return html`<p class="quiet">Nothing is cached.</p>`;
  const rows = cached.data.map(
    ({ product, score, modelName, reason }, index) => html`<tr><td class="number">${index + 1}</td><td>${product.name ?? ''} <span class="quiet">${product.id}</span></td>
<td class="number">${score.toFixed(3)}</td><td>${modelName}</td><td>${reason?.code ?? ''} <span class="quiet">${reason?.item_id ?? reason?.productId ?? ''}</span></td></tr>`,
  );
  return html`<div class="wide"><table><tr><th class="number"></th><th>Product</th><th class="number">Score</th><th>Model</th><th>Reason</th></tr>${rows}</table></div>`;
}

function runsOf(runs, served) {
  if (runs === null) return html`<p class="alarm">The database is away.</p>`;
  if (runs.length === 0) return html`<p class="quiet">There is none yet.</p>`;
  const rows = runs.map(
    ({ modelName, metrics, recommendations, createdAt }) => html`<tr><td>${modelName === served ? html`<strong>${modelName}&nbsp;★</strong>` : modelName}</td>
<td class="number">${fixed(metrics?.map10)}</td><td class="number">${fixed(metrics?.precision10)}</td><td>${metrics?.basis}</td>
<td>${namesOf(recommendations)}</td><td class="quiet">${momentOf(createdAt)}</td></tr>`,
  );
  return html`<div class="wide"><table><tr><th>Model</th><th class="number">MAP@10</th><th class="number">Precision@10</th><th>Basis</th><th>Its products</th><th>When</th></tr>${rows}</table></div>
<p class="quiet">★ made the cached list; it is chosen when models are trained, or for a customer by her own fresh figures.</p>`;
}

function fixed(metric) {
  return typeof metric === 'number' ? metric.toFixed(3) : '–';
}

function namesOf(recommendations) {
  return Array.isArray(recommendations) ? recommendations.map((item) => item?.productId ?? item).join(', ') : '';
}

function momentOf(createdAt) {
  return createdAt instanceof Date ? createdAt.toISOString().replace('T', ' ').slice(0, 16) : createdAt;
}

/** A piece of HTML. All other values are text, and escaped. */
class Html {
  constructor(text) {
    this.text = text;
  }

  toString() {
    return this.text;
  }
}

/** The tag of HTML templates. Values are escaped, lists are joined, and `null` and `undefined` become empty text. */
export function html(strings, ...values) {
  return new Html(strings.reduce((text, string, index) => text + fragment(values[index - 1]) + string));
}

function fragment(value) {
  if (Array.isArray(value)) return value.map(fragment).join('');
  if (value instanceof Html) return value.text;
  return String(value ?? '').replace(/[&<>"']/g, (character) => ESCAPED[character]);
}
