/** The targets of the server, and the measured figures beside them. */

const CACHED_MS = { p50: 5, p99: 25 };
const MISS_MS = 40;
const FALLBACK_MS = 150; // after the deadline
const LABELS = { sqlite: 'SQLite', mariadb: 'MariaDB' };

/** Return the name of a database for people. */
export function labelOf(kind) {
  return LABELS[kind] ?? kind;
}

/**
 * Return every target with the measured figure.
 *
 * @param {{load?: object, soak?: object}} results As `benchmarks/results/http.json` holds them.
 * @returns {{what: string, limit: string, measured: string, isMet: boolean}[]} Only what was measured.
 */
export function targets({ load, soak }) {
  return [...Object.entries(load?.databases ?? {}).flatMap(ofDatabase), ...Object.entries(soak?.databases ?? {}).flatMap(ofSoak)];
}

function ofDatabase([kind, { thinking, cold, cold_start: coldStart, deadline_ms: deadlineMs, ...others }]) {
  const label = labelOf(kind);
  const cached = `cached list, ${thinking.customers} customers who think, ${label}`;
  const loads = [...Object.values(cold), ...Object.values(others.warm), thinking];
  const wrong = loads.reduce((sum, load) => sum + total(load.wrong), coldStart.tries.filter(({ fault }) => fault !== null).length) + others.defects.length;
  const answers = loads.reduce((sum, load) => sum + load.answers, coldStart.tries.length);
  return [
    atMost(`${cached}: p50`, thinking.latency_ms.p50, CACHED_MS.p50),
    atMost(`${cached}: p99`, thinking.latency_ms.p99, CACHED_MS.p99),
    atMost(`new list, one at a time, ${label}: p50`, cold['1'].latency_ms.p50, MISS_MS),
    atMost(`first list after a cold start, ${label}: longest`, coldStart.most_ms, deadlineMs + FALLBACK_MS),
    { what: `lists that were wrong, ${label}`, limit: '0', measured: `${wrong} of ${answers}`, isMet: wrong === 0 },
  ];
}

function ofSoak([kind, { answers, violations, seconds }]) {
  const wrong = total(violations);
  const what = `soak with kills, ${Math.round(seconds / 60)} min, ${labelOf(kind)}: what should not have been`;
  return [{ what, limit: '0', measured: `${wrong} in ${answers} answers`, isMet: wrong === 0 }];
}

function atMost(what, value, limit) {
  return { what, limit: `≤ ${limit} ms`, measured: `${value.toFixed(1)} ms`, isMet: value <= limit };
}

/** Return the sum of counts. */
export function total(counts) {
  return Object.values(counts).reduce((sum, count) => sum + count, 0);
}
