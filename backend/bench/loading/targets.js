/** What the server is asked to reach, and what was measured. */

const CACHED_MS = { p50: 5, p99: 25 };
const MISS_MS = 40;
const LADDER_MS = 150; // beyond the deadline
const LABELS = { sqlite: 'SQLite', mariadb: 'MariaDB' };

/** Return the name of a database for people. */
export function labelOf(kind) {
  return LABELS[kind] ?? kind;
}

/**
 * Return every figure that is asked for, with what was measured.
 *
 * @param {{load?: object, soak?: object}} results As `benchmarks/results/http.json` holds them.
 * @returns {{what: string, asked: string, measured: string, isMet: boolean}[]} None of what was not measured.
 */
export function targets({ load, soak }) {
  return [...Object.entries(load?.databases ?? {}).flatMap(ofDatabase), ...Object.entries(soak?.databases ?? {}).flatMap(ofSoak)];
}

function ofDatabase([kind, { thinking, cold, cold_start: coldStart, deadline_ms: deadlineMs, ...told }]) {
  const label = labelOf(kind);
  const cached = `cached list, ${thinking.customers} customers who think, ${label}`;
  const loads = [...Object.values(cold), ...Object.values(told.warm), thinking];
  const wrong = loads.reduce((sum, load) => sum + total(load.wrong), coldStart.tries.filter(({ fault }) => fault !== null).length) + told.defects.length;
  const answers = loads.reduce((sum, load) => sum + load.answers, coldStart.tries.length);
  return [
    atMost(`${cached}: p50`, thinking.latency_ms.p50, CACHED_MS.p50),
    atMost(`${cached}: p99`, thinking.latency_ms.p99, CACHED_MS.p99),
    atMost(`new list, one at a time, ${label}: p50`, cold['1'].latency_ms.p50, MISS_MS),
    atMost(`first list after a cold start, ${label}: longest`, coldStart.most_ms, deadlineMs + LADDER_MS),
    { what: `lists that were wrong, ${label}`, asked: '0', measured: `${wrong} of ${answers}`, isMet: wrong === 0 },
  ];
}

function ofSoak([kind, { answers, violations, seconds }]) {
  const wrong = total(violations);
  const what = `soak with kills, ${Math.round(seconds / 60)} min, ${labelOf(kind)}: what should not have been`;
  return [{ what, asked: '0', measured: `${wrong} in ${answers} answers`, isMet: wrong === 0 }];
}

function atMost(what, value, limit) {
  return { what, asked: `≤ ${limit} ms`, measured: `${value.toFixed(1)} ms`, isMet: value <= limit };
}

/** Return the sum of some counts. */
export function total(counts) {
  return Object.values(counts).reduce((sum, count) => sum + count, 0);
}
