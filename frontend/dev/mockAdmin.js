/** What the mock server answers administrators. The figures are invented. */
import { USERS, errorOf, listFor } from './mockShop.js';

const HOUR_MS = 3_600_000;
const MODELS = [
  ['NeuMF', 'model', 0.0412, 0.0038, 0.0187, 0.0024],
  ['ENCM', 'model', 0.0397, 0.0037, 0.0179, 0.0023],
  ['LNCM', 'model', 0.0369, 0.0036, 0.0161, 0.0021],
  ['BMF', 'model', 0.0344, 0.0035, 0.0149, 0.0021],
  ['EASE', 'baseline', 0.0389, 0.0037, 0.0174, 0.0022],
  ['item_cf', 'baseline', 0.0331, 0.0034, 0.0140, 0.0019],
  ['popularity', 'baseline', 0.0178, 0.0025, 0.0069, 0.0012],
];

/** Return status and answer, or `null` for another route. */
export function adminRoutes(state, { route, id, user }) {
  if (!route.includes(' /api/admin/')) return null;
  if (!user) return [401, errorOf(401, 'There should be a token.')];
  if (!USERS.find((known) => known.id === user)?.isAdmin) return [403, errorOf(403, 'This should be asked by an administrator.')];
  if (route === 'GET /api/admin/overview') return [200, overview()];
  if (route === 'GET /api/admin/sales') return [200, sales()];
  const customer = USERS.find((known) => known.id === id);
  if (!customer) return [404, errorOf(404, 'There is no such customer.')];
  if (route === 'POST /api/admin/users/:id/list') state.withoutList.delete(id);
  return [200, customerOf(state, customer)];
}

const mean = (value, low, high) => ({ value, low, high, n: 5000 });
const armOf = (name, model, figures) => ({ name, model, ...figures });

/** What recommendations have sold: half of the customers have no lists, and buy a little less. */
export function sales() {
  const now = Math.floor(Date.now() / 1000);
  const sums = (purchases, revenue) => ({ purchases, revenue });
  const without = { users: 5210, observed: 4180, impressions: 0, clicks: 0, carts: 1920, purchases: 803, revenue: 401_500_000 };
  const withLists = { users: 5164, observed: 4141, impressions: 98_020, clicks: 4117, carts: 2266, purchases: 921, revenue: 470_800_000 };
  return {
    errCode: 0,
    computedAt: new Date(1000 * now).toISOString(),
    isComputing: false,
    failure: null,
    report: {
      since: now - 30 * 86_400,
      until: now,
      total: sums(2210, 1_105_300_000),
      credited: { click: sums(284, 151_200_000), view: sums(391, 188_700_000), none: sums(1535, 765_400_000) },
      by_algorithm: { neumf: sums(402, 210_400_000), together: sums(163, 82_000_000), item_cf: sums(88, 39_300_000), fallback: sums(22, 8_200_000) },
      unpriced: 3,
      copies: 0,
      left_out: { repeated: 211, 'clicks without an impression': 12, 'by bots': 640 },
      comparison: {
        name: 'lists',
        metric: 'revenue',
        planned_users: 10_000,
        arms: [
          armOf('without', 'none', { ...without, ctr: mean(null, null, null), carts_per_user: mean(0.459, 0.44, 0.478), purchases_per_user: mean(0.192, 0.179, 0.205), revenue_per_user: mean(96_052, 89_100, 103_004) }),
          armOf('with', 'auto', { ...withLists, ctr: mean(0.042, 0.0405, 0.0435), carts_per_user: mean(0.547, 0.526, 0.568), purchases_per_user: mean(0.222, 0.208, 0.236), revenue_per_user: mean(113_692, 106_020, 121_364) }),
        ],
        sample_ratio: { counts: [5210, 5164], expected: [5187, 5187], p: 0.6516 },
        difference: { value: 17_640, low: 1930, high: 33_350, relative: 0.1836, p: 0.0201, claim: 'better' },
        verdict: 'better',
        left_out: { 'not observed for seven days yet': 2053, 'in both arms': 14 },
      },
    },
  };
}

function overview() {
  const now = Math.floor(Date.now() / HOUR_MS) * HOUR_MS;
  const answers = [];
  for (let hour = 0; hour < 7 * 24; hour += 1) {
    const at = new Date(now - hour * HOUR_MS).toISOString();
    const traffic = Math.round(60 + 50 * Math.sin(((hour % 24) / 24) * 2 * Math.PI));
    answers.push({ hour: at, source: 'cache', reason: null, count: traffic * 3 }, { hour: at, source: 'model', reason: null, count: traffic });
    answers.push({ hour: at, source: 'fold_in', reason: null, count: Math.round(traffic / 2) });
    if (hour > 30 && hour < 34) answers.push({ hour: at, source: 'popularity', reason: 'deadline', count: traffic * 2 });
  }
  return {
    errCode: 0,
    version: { name: '20261120T0310Z-4f2a', trainedAt: new Date(now - 31 * HOUR_MS).toISOString(), ageDays: 1.3, dataUntil: new Date(now - 40 * HOUR_MS).toISOString() },
    models: MODELS.map(([name, kind, p, dp, m, dm]) => ({
      name, kind, precision10: p, precision10Low: p - dp, precision10High: p + dp, map10: m, map10Low: m - dm, map10High: m + dm, winner: name === 'NeuMF',
    })),
    sentence: {
      en: 'NeuMF serves: of ten recommended products, customers chose 0.41 on average in the test, 0.02 more than with the best method without a network (EASE); the intervals overlap.',
      vi: 'NeuMF đang phục vụ: trong mười sản phẩm gợi ý, khách hàng trung bình chọn 0,41 sản phẩm khi kiểm tra, nhiều hơn 0,02 so với phương pháp tốt nhất không dùng mạng nơ-ron (EASE); các khoảng tin cậy chồng lên nhau.',
    },
    latency: { p50Ms: 6.2, p95Ms: 21.8, n: 48211 },
    answers,
    python: { ready: 2, workers: 2, queued: 0, answered: 51_034, failed: 0, deaths: 0, breaker: 'closed', refused: null, refusedVersion: null },
    spool: { waiting: 0, rejected: 0, elsewhere: [] },
    server: { database: 'sqlite', uptime: '3 h', node: process.version },
  };
}

function customerOf(state, { id, firstName, lastName }) {
  const list = listFor(state, id, 10);
  const items = state.products;
  const createdAt = new Date().toISOString();
  return {
    errCode: 0,
    user: { id, name: `${firstName} ${lastName}` },
    list: state.withoutList.has(id) ? null : { data: list.data, source: list.source, fallbackReason: null, modelVersion: list.modelVersion, computedAt: createdAt },
    context: { time_of_day: 'evening', season: 'autumn', device_type: null },
    runs: [
      { model: 'NeuMF', metrics: { precision10: 0.1, map10: 0.05, basis: 'heldout' }, error: null, items: items.slice(0, 5), createdAt },
      { model: 'ENCM', metrics: { precision10: 0.1, map10: 0.033, basis: 'heldout' }, error: null, items: items.slice(3, 8), createdAt },
      { model: 'LNCM', metrics: null, error: null, items: items.slice(6, 11), createdAt },
      { model: 'BMF', metrics: null, error: 'scores were not finite', items: [], createdAt },
    ],
    history: state.events
      .filter(({ user }) => user === id)
      .toReversed()
      .map(({ productId, actionCode, timestamp }) => ({ product: items.find((product) => product.id === productId), actionCode, timestamp })),
  };
}
