/** The metrics that `/metrics` shows. */
import { Counter, Gauge, Histogram, Registry } from 'prom-client';

/**
 * @import { PoolStats } from '../services/pythonInvoker.js'
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
 */

const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5]; // targets: 5 ms for a cached list, 40 ms for a new one

/**
 * Create the metrics. The most important one is how many answers come from the fallback chain, by reason.
 *
 * @param {object} [watched] Functions that are called whenever the metrics are read.
 * @param {() => PoolStats} [watched.python]
 * @param {() => ReturnType<Spool['stats']>} [watched.spool]
 * @param {() => WaitingFolder[]} [watched.elsewhere] What `waitingElsewhere` returns.
 * @returns {Metrics}
 */
export function createMetrics({ python, spool, elsewhere } = {}) {
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
  };
}

function factoriesOf(registry) {
  const common = (name, help, labelNames = []) => ({ name: `recsys_${name}`, help, labelNames, registers: [registry] });
  return {
    counter: (...options) => new Counter(common(...options)),
    histogram: (...options) => new Histogram({ ...common(...options), buckets: SECONDS }),
    gauge: (name, help, read) =>
      new Gauge({
        ...common(name, help),
        collect() {
          this.set(read());
        },
      }),
  };
}

function watchPython({ gauge }, stats) {
  gauge('python_ready', 'Workers that are ready.', () => stats().workers.filter(({ state }) => state === 'ready').length);
  gauge('python_queued', 'Requests that wait for a worker.', () => stats().queued);
  gauge('python_deaths', 'Workers that died.', () => stats().deaths);
  gauge('python_breaker_open', '1 while Python is left alone because it keeps dying.', () => Number(stats().breaker !== 'closed'));
}

function watchSpool({ gauge }, stats) {
  gauge('spool_pending', 'Interactions that wait for the database.', () => stats().pending);
  gauge('spool_rejected', 'Interactions that no database would have, in rejected.jsonl.', () => stats().rejected);
}
