/** The figures as tables, for a terminal and as Markdown. */
import { labelOf, targets, total } from './targets.js';

const [BEGIN, END] = ['<!-- results: http -->\n', '<!-- end of results -->\n'];
const NOT_MEASURED = 'Not measured yet.\n';

/**
 * @typedef {object} Section
 * @property {string} title
 * @property {string[]} columns
 * @property {string[][]} rows
 * @property {number} left How many of the first columns are text, aligned to the left.
 * @property {string} [note]
 */

/**
 * Return the tables of the figures.
 *
 * @param {{load?: object, soak?: object}} results
 * @returns {Section[]}
 */
export function sections(results) {
  return [targetTable(results), ...(results.load ? [loads(results.load), starts(results.load)] : []), ...(results.soak ? [soaks(results.soak)] : [])];
}

/** Return tables for a terminal. */
export function terminal(results) {
  return sections(results)
    .map(({ title, columns, rows, left, note }) => [title, ...aligned([columns, ...rows], left), ...(note ? [note] : [])].join('\n'))
    .join('\n\n');
}

/** Return tables as Markdown. */
function markdown(results) {
  const parts = sections(results).flatMap(({ title, columns, rows, left, note }) => [`**${title}**`, grid(columns, rows, left), ...(note ? [note] : [])]);
  return `${[...parts, ...Object.entries(results).map(circumstancesOf)].join('\n\n')}\n`;
}

/**
 * Return a page with the tables between its markers.
 *
 * @param {string} text Of the page.
 * @param {{load?: object, soak?: object}} results
 * @throws {Error} It has no such markers.
 */
export function page(text, results) {
  const [before, rest, ...more] = text.split(BEGIN);
  const end = rest?.indexOf(END) ?? -1;
  if (end < 0 || more.length > 0) throw new Error(`The page should hold ${BEGIN.trim()} once, and ${END.trim()} behind it. Received: something else.`);
  const isMeasured = Object.keys(results).length > 0;
  return `${before}${BEGIN}${isMeasured ? markdown(results) : NOT_MEASURED}${rest.slice(end)}`;
}

function targetTable(results) {
  const rows = targets(results).map(({ what, limit, measured, isMet }) => [what, limit, measured, isMet ? 'yes' : '**no**']);
  return { title: 'What is asked over HTTP, and what was measured', columns: ['figure', 'asked', 'measured', 'met'], rows, left: 1 };
}

function loads({ databases }) {
  const rows = Object.entries(databases).flatMap(([kind, { cold, warm, thinking }]) => [
    ...Object.entries(cold).map(([level, figures]) => [labelOf(kind), 'new lists', `${level}, closed loop`, ...cells(figures)]),
    ...Object.entries(warm).map(([level, figures]) => [labelOf(kind), 'cached lists', `${level}, closed loop`, ...cells(figures)]),
    [labelOf(kind), 'cached lists', `${thinking.customers}, thinking ${thinking.thinkS} s`, ...cells(thinking)],
  ]);
  return {
    title: 'Lists over HTTP',
    columns: ['database', 'what', 'customers at once', 'p50', 'p99', 'answers/s', 'processor', 'fallback', 'reasons', 'wrong / answers'],
    rows,
    left: 3,
    note: 'Milliseconds; processor is what the server’s own process computed for an answer, its Python processes apart.',
  };
}

function cells({ latency_ms: { p50, p99 }, per_second: rate, processor_ms: processor, fallback_share: share, fallbacks, wrong, answers }) {
  const reasons = Object.entries(fallbacks).map(([reason, count]) => `${reason} ${count}`);
  const computed = processor === null ? '–' : processor.toFixed(2);
  return [p50.toFixed(1), p99.toFixed(1), rate.toFixed(0), computed, `${(100 * share).toFixed(1)} %`, reasons.join(', ') || '–', `${total(wrong)} / ${answers}`];
}

function starts({ databases }) {
  const rows = Object.entries(databases).map(([kind, { cold_start: { tries, most_ms: most } }]) => {
    const who = [...new Set(tries.map(({ source, fallback_reason: reason }) => `${source} (${reason ?? 'in time'})`))];
    return [labelOf(kind), who.join(', '), `${tries.length}`, `${most}`];
  });
  const note = 'Milliseconds for a list that is asked for at the moment when the server listens, its Python processes just started, its cache empty.';
  return { title: 'The first list after a cold start', columns: ['database', 'who answered', 'starts', 'longest'], rows, left: 2, note };
}

function soaks({ databases }) {
  const entries = Object.entries(databases);
  const row = (name, of) => [name, ...entries.map(([, summary]) => of(summary))];
  const counts = (named) => Object.entries(named).map(([name, count]) => `${name} ${count}`).join(', ') || 'nothing';
  const rows = [
    row('minutes', ({ seconds }) => (seconds / 60).toFixed(1)),
    row('answers', ({ answers }) => `${answers}`),
    row('of them lists', ({ lists }) => `${lists}`),
    row('lists that are full and valid', ({ valid_share: share }) => `${(100 * share).toFixed(2)} %`),
    row('lists of the fallback', ({ fallback_share: share, fallbacks }) => `${(100 * share).toFixed(1)} %: ${counts(fallbacks)}`),
    row('a customer’s own list, recognised by its scores', ({ owners_checked: checked }) => `${checked}`),
    row('p50, p99 of a list', ({ latency_ms: { p50, p99 } }) => `${p50.toFixed(1)} ms, ${p99.toFixed(1)} ms`),
    row('interactions acknowledged / stored', ({ interactions: { acknowledged, stored } }) => `${acknowledged} / ${stored}`),
    row('memory of the server after its last restart', ({ rss_bytes: bytes }) => (bytes ? `${(bytes / 2 ** 20).toFixed(0)} MiB` : '–')),
    row('harm', ({ harm }) => counts(harm)),
    row('what should not have been', ({ violations }) => counts(violations)),
  ];
  return { title: 'Soak with random kills', columns: ['', ...entries.map(([kind]) => labelOf(kind))], rows, left: 1 };
}

/** Return the sentence with the shop, machine, commit and day of one part. */
function circumstancesOf([part, { machine, processors, load, commit, day, quick, shop }]) {
  const busy = load > processors / 2 ? ` The machine had other things to do: load ${load} at the start.` : '';
  const brief = quick ? ' A quick run: it says that the program works, and nothing else.' : '';
  return `${part === 'load' ? 'Load' : 'Soak'}: ${shop}, ${machine}, commit ${String(commit).slice(0, 8)}, ${day}.${busy}${brief}`;
}

function aligned(rows, left) {
  const plain = rows.map((row) => row.map((cell) => cell.replaceAll('**', '')));
  const widths = plain[0].map((_, column) => Math.max(...plain.map((row) => row[column].length)));
  return plain.map((row) => row.map((cell, n) => (n < left ? cell.padEnd(widths[n]) : cell.padStart(widths[n]))).join('   ').trimEnd());
}

function grid(columns, rows, left) {
  const line = (row) => `| ${row.join(' | ')} |`;
  return [line(columns), `|${'---|'.repeat(left)}${'---:|'.repeat(columns.length - left)}`, ...rows.map(line)].join('\n');
}
