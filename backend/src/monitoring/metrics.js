/** The metrics that `/metrics` shows. */
import { Counter, Gauge, Histogram, Registry } from 'prom-client';

/**
 * @import { PoolStats } from '../services/pythonInvoker.js'
 * @import { Published } from '../services/recommendations/snapshot.js'
 * @import { WaitingFolder } from '../services/spool/databases.js'
 * @import { Spool } from '../services/spool/spool.js'
 */

/**
 * @typedef {object} Metrics
 * @property {Registry} registry
 * @property {(answer: {source: string, fallbackReason: string | null}) => void} answer
 * @property {(request: {ms: number, outcome: string}) => void} compute
 * @property {(look: {hit: string}) => void} cache
 * @property {(interaction: {outcome: string, clamped?: string | null}) => void} interaction
 * @property {(request: {method: string, route: string, status: number, ms: number}) => void} request
 * @property {(route: string) => Promise<Latency>} latency Of a route's successful answers since the start.
 *
 * @typedef {{p50Ms: number | null, p95Ms: number | null, n: number}} Latency Median and 95th percentile; null without answers.
 */

const DAY_MS = 86_400_000;
const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5]; // targets: 5 ms for a cached list, 40 ms for a new one

/**
 * Create the metrics. The most important one is how many answers come from the fallback chain, by reason.
 *
 * @param {object} [watched] Functions that are called whenever the metrics are read.
 * @param {() => PoolStats} [watched.python]
 * @param {() => ReturnType<Spool['stats']>} [watched.spool]
 * @param {() => WaitingFolder[]} [watched.elsewhere] What `waitingElsewhere` returns.
 * @param {() => Promise<Published | null>} [watched.published] What `Snapshot.current` returns.
 * @returns {Metrics}
 */
export function createMetrics({ python, spool, elsewhere, published } = {}) {
  const registry = new Registry();
  const create = factoriesOf(registry);
  const requests = create.histogram('http_request_seconds', 'Time until an answer was sent.', ['method', 'route', 'status']);
  const answers = create.counter('answers_total', 'Lists answered; a fallback has a reason.', ['source', 'fallback_reason']);
  const computed = create.histogram('compute_seconds', 'Time that asking Python took.', ['outcome']);
  const cache = create.counter('cache_total', 'Looks into the cache.', ['hit']);
  const interactions = create.counter('interactions_total', 'Interactions, by what became of them.', ['outcome']);
  const clamped = create.counter('interactions_clamped_total', 'Interactions whose time was moved, by where it was.', ['from']);
  if (python) watchPython(create, python);
  if (spool) watchSpool(create, spool);
  if (published) watchVersion(create, published);
  if (elsewhere) create.gauge('spool_elsewhere', 'Spools in SPOOL_DIR that are of other databases, or do not say of which.', () => elsewhere().length);
  return {
    registry,
    answer: ({ source, fallbackReason }) => answers.inc({ source, fallback_reason: fallbackReason ?? 'none' }),
    compute: ({ ms, outcome }) => computed.observe({ outcome }, ms / 1000),
    cache: ({ hit }) => cache.inc({ hit }),
    interaction: ({ outcome, clamped: from = null }) => {
      interactions.inc({ outcome });
      if (from !== null) clamped.inc({ from });
    },
    request: ({ method, route, status, ms }) => requests.observe({ method, route, status }, ms / 1000),
    latency: async (route) => latencyOf((await requests.get()).values.filter(({ labels }) => labels.route === route && Number(labels.status) === 200)),
  };
}

/**
 * Return the percentiles of a histogram, each read from its bucket as if the values in it were spread evenly.
 *
 * @param {{labels: any, value: number}[]} values Of `Histogram.get`, maybe of several combinations of labels.
 * @returns {Latency}
 */
function latencyOf(values) {
  const counts = [0, ...SECONDS].map((bound) => values.filter(({ labels }) => labels.le === bound).reduce((sum, { value }) => sum + value, 0));
  const n = values.filter(({ labels }) => labels.le === '+Inf').reduce((sum, { value }) => sum + value, 0);
  const percentileMs = (share) => {
    const upper = counts.findIndex((count) => count >= share * n && count > 0);
    if (upper === -1) return n === 0 ? null : 1000 * SECONDS[SECONDS.length - 1]; // or longer
    const [low, high] = [SECONDS[upper - 2] ?? 0, SECONDS[upper - 1]];
    const part = (share * n - counts[upper - 1]) / (counts[upper] - counts[upper - 1]);
    return Number((1000 * (low + part * (high - low))).toFixed(1));
  };
  return { p50Ms: percentileMs(0.5), p95Ms: percentileMs(0.95), n };
}

function factoriesOf(registry) {
  const common = (name, help, labelNames = []) => ({ name: `recsys_${name}`, help, labelNames, registers: [registry] });
  return {
    counter: (...options) => new Counter(common(...options)),
    histogram: (...options) => new Histogram({ ...common(...options), buckets: SECONDS }),
    gauge: (name, help, read) =>
      new Gauge({
        ...common(name, help),
        async collect() {
          const value = await read();
          if (value === null) this.remove(); // it is not known: `reset` would show 0
          else this.set(value);
        },
      }),
  };
}

function watchPython({ gauge }, stats) {
  gauge('python_ready', 'Workers that are ready.', () => stats().workers.filter(({ state }) => state === 'ready').length);
  gauge('python_queued', 'Requests that wait for a worker.', () => stats().queued);
  gauge('python_deaths', 'Workers that died.', () => stats().deaths);
  gauge('python_version_refused', 'Workers that go on with the version before, because the active one failed its check.', () => refusalsOf(stats()).length);
  gauge('python_breaker_open', '1 while Python is left alone because it keeps dying.', () => Number(stats().breaker !== 'closed'));
}

function watchVersion({ gauge }, published) {
  const ageOf = (name) => async () => agesOf(await published())[name];
  gauge('model_age_days', 'Days since the active version was trained.', ageOf('ageDays'));
  gauge('model_data_age_days', 'Days since the newest event that the active version knows.', ageOf('dataAgeDays'));
}

/**
 * Return how old the active version and its newest event are, in days; null where that is not known.
 *
 * @param {Pick<Published, 'trainedAt' | 'dataUntil'> | null} published
 * @param {number} [now] Milliseconds since 1970.
 */
export function agesOf(published, now = Date.now()) {
  const daysSince = (moment) => (moment === null || moment === undefined ? null : Math.max(0, (now - moment) / DAY_MS));
  return { ageDays: daysSince(published?.trainedAt), dataAgeDays: daysSince(published?.dataUntil) };
}

/**
 * Return the versions that ready workers have refused, one for each such worker.
 *
 * @param {Pick<PoolStats, 'workers'>} stats
 */
export function refusalsOf({ workers }) {
  return workers.filter(({ state }) => state === 'ready').flatMap(({ refused }) => refused ?? []);
}

function watchSpool({ gauge }, stats) {
  gauge('spool_pending', 'Interactions that wait for the database.', () => stats().pending);
  gauge('spool_rejected', 'Interactions that no database would have, in rejected.jsonl.', () => stats().rejected);
}
