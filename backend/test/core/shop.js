/** A small shop, and a fake Python whose answers the test chooses. */
import { snapshotProduct } from '../../src/services/products.js';
import { DEFAULT_RULES } from '../../src/services/recommendations/snapshot.js';
import { PythonBridgeError } from '../../src/services/pythonInvoker.js';
import { RecommendationService } from '../../src/services/recommendationService.js';

export const NOW = Date.UTC(2026, 10, 20, 14, 0); // an afternoon in autumn
export const MINUTE_MS = 60_000;
export const DAY_MS = 86_400_000;
export const SETTINGS = Object.freeze({ timeZone: 'UTC', python: { timeoutMs: 2000 }, cache: { ttlS: 900, staleS: 3600 } });
export const VERSION = '20261119T231800Z-0a1b2c3d';

/** A clock that stands still until `turn` is called. */
export class Clock {
  constructor(now = NOW) {
    this.time = now;
  }

  now = () => this.time;

  turn(ms) {
    this.time += ms;
  }
}

/**
 * Fill a shop: products 1 to `n`, two months old, with the id as number of views, the first half tea, the others coffee; every product
 * costs 10.
 */
export async function fill({ Product, Productdetail }, n, change = (row) => row) {
  const ids = Array.from({ length: n }, (_, index) => index + 1);
  const createdAt = new Date(NOW - 60 * DAY_MS);
  const rows = ids.map((id) => ({ id, name: `Product ${id}`, categoryId: id <= n / 2 ? 'tea' : 'coffee', brandId: null, view: id, createdAt }));
  await Product.bulkCreate(rows.map(change));
  await Productdetail.bulkCreate(ids.map((id) => ({ productId: id, originalPrice: 10 })));
}

/** Insert events, ten seconds apart, by default the last one a minute ago. */
export async function happen({ Interaction }, userId, events, until = NOW - MINUTE_MS) {
  const rows = events.map(([actionCode, productId], index) => ({
    userId,
    productId,
    actionCode,
    timestamp: new Date(until - 10_000 * (events.length - 1 - index)),
  }));
  await Interaction.bulkCreate(rows);
}

/** A fake Python that answers with given items, records its requests, and fails on demand. */
export class FakePython {
  requests = [];
  failure = null;
  version = VERSION;
  gate = null;

  constructor(items) {
    this.items = items;
  }

  runPythonInference = async (request) => {
    this.requests.push(request);
    if (this.gate !== null) await this.gate;
    if (this.failure !== null) throw new PythonBridgeError(this.failure, 'as the test wants it');
    return this.answerTo(request);
  };

  answerTo({ user_id: user = null, limit }) {
    const items = this.items.slice(0, limit).map((productId, rank) => ({ productId, score: 1 / (rank + 2) }));
    if (items.length > 0) items[0].reason = { code: 'viewed', item_id: 3 };
    const metrics = (n) => ({ precision10: n / 10, map10: n / 20 });
    const run = (model, n) => ({ model, items: this.items.slice(n, n + 3), metrics: metrics(n), basis: 'fresh' });
    const runs = ['ENCM', 'LNCM', 'NeuMF', 'BMF'].map(run);
    const answer = { ok: true, user_id: user, model: 'ENCM', model_version: this.version, items, runs, source: 'model' };
    return { ...answer, context: {}, warnings: [], ms: 1 };
  }

  /** Let requests wait until the returned function is called. */
  hold() {
    let open;
    this.gate = new Promise((resolve) => {
      open = resolve;
    });
    return () => {
      this.gate = null;
      open();
    };
  }
}

/** A version's snapshot, as `createSnapshot` would return it. */
export function published({ name = VERSION, activatedAt = NOW - DAY_MS, rules = {}, popular = [], newest = [] } = {}) {
  const product = (id) => snapshotProduct({ id, name: `Product ${id}`, category: null, brand: null, price: 10 });
  return { name, activatedAt, rules: { ...DEFAULT_RULES, ...rules }, popular: popular.map(product), newest: newest.map(product) };
}

/** Create the service of a shop, with the parts that a test replaces. */
export function serve({ sequelize, models }, { python = new FakePython([]), settings = {}, version = published(), ...parts } = {}) {
  const clock = parts.clock ?? new Clock();
  const counts = { cache: [], compute: [], answer: [] };
  const metrics = Object.fromEntries(Object.keys(counts).map((name) => [name, (facts) => counts[name].push(facts)]));
  const snapshot = { version, current: async () => snapshot.version };
  const log = { warn() {} };
  const service = new RecommendationService({
    sequelize, models, python, snapshot, metrics, log, clock, settings: { ...SETTINGS, ...settings }, ...parts,
  });
  return { service, python, clock, counts, snapshot };
}

/** Return the ids that an answer shows. */
export function idsOf({ data }) {
  return data.map(({ product }) => product.id);
}
