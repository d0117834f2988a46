/** The benches over HTTP notice wrong lists, swapped users and lost interactions, and the page shows the measured figures. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createServer } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import jwt from 'jsonwebtoken';

import { Recorder, faultOf } from '../../bench/loading/recorder.js';
import { arrivals } from '../../bench/loading/arrivals.js';
import { closedLoop } from '../../bench/loading/closedLoop.js';
import { OwnershipCheck } from '../../bench/loading/ownershipCheck.js';
import { percentiles } from '../../bench/loading/percentiles.js';
import { SoakRecorder } from '../../bench/loading/soakRecorder.js';
import { page, terminal } from '../../bench/loading/tables.js';
import { targets } from '../../bench/loading/targets.js';
import { seeded } from '../fakes.js';
import { listening } from '../../src/httpServer.js';
import { SECRET } from '../web/stage.js';

const PAGE_PROGRAM = fileURLToPath(new URL('../../bench/page.js', import.meta.url));
const ACTIVE = new Set([1, 2, 3, 4, 5]);
const LATER = { sent: Infinity }; // all earlier changes must be respected
const UNCHECKED = { canCheck: () => false };

const list = (...ids) => ({
  status: 200,
  body: {
    errCode: 0,
    data: ids.map((id) => ({ product: { id, name: `Product ${id}` }, score: id / 10, modelName: 'BMF' })),
    source: 'cache',
    fallbackReason: null,
    modelVersion: 'v1',
  },
});
const fellBack = (answer, fallbackReason) => ({ ...answer, body: { ...answer.body, source: 'heuristic', fallbackReason } });

describe('a list', () => {
  const expected = { limit: 3, active: ACTIVE };

  test('is full, of active products, none of them twice', () => {
    assert.equal(faultOf(list(1, 2, 3), expected), null);
    assert.equal(faultOf(list(1, 2), expected), 'not_full');
    assert.equal(faultOf(list(), expected), 'not_full');
    assert.equal(faultOf(list(1, 2, 2), expected), 'twice');
    assert.equal(faultOf(list(1, 2, 9), expected), 'not_sold');
    assert.equal(faultOf({ ...list(1, 2, 3), status: 500 }, expected), 'status');
    assert.equal(faultOf({ status: 200, body: 'not JSON' }, expected), 'shape');
    const unscored = list(1, 2, 3);
    unscored.body.data[1].score = null;
    assert.equal(faultOf(unscored, expected), 'shape');
  });

  test('of a small shop has all its products', () => {
    assert.equal(faultOf(list(1, 2, 3, 4, 5), { limit: 10, active: ACTIVE }), null);
  });
});

test('percentiles are those of the sorted values', () => {
  const values = Array.from({ length: 100 }, (_, position) => 100 - position);

  assert.deepEqual(percentiles(values), { p50: 51, p95: 96, p99: 100, max: 100 });
  assert.deepEqual(percentiles([]), { p50: 0, p95: 0, p99: 0, max: 0 });
});

test('the recorder of a load has times, fallbacks by reason, and swapped lists', () => {
  const recorder = new Recorder({ limit: 2, active: ACTIVE });
  recorder.add({ user: 7, ms: 1, ...list(1, 2) });
  recorder.add({ user: 8, ms: 3, ...list(3, 4) });
  recorder.add({ user: 9, ms: 2, ...fellBack(list(5, 4), 'deadline') });
  recorder.add({ user: 9, ms: 4, ...list(5) });
  recorder.addLost(9, new Error('cut'));
  recorder.checkOwnership(new Map([[7, [1, 2, 3]], [8, [4, 3]]]));
  const summary = recorder.summary(2);

  assert.deepEqual([summary.answers, summary.per_second, summary.latency_ms.p50, summary.latency_ms.max], [4, 2, 3, 4]);
  assert.deepEqual([summary.sources, summary.fallbacks, summary.fallback_share], [{ cache: 2, heuristic: 1 }, { deadline: 1 }, 0.25]);
  assert.deepEqual(summary.wrong, { not_full: 1, lost: 1, wrong_user: 1 });
});

describe('against a server', () => {
  let server;
  let url;
  const users = [];
  before(async () => {
    server = createServer((req, res) => {
      const { sub } = jwt.verify(req.headers.authorization.replace('Bearer ', ''), SECRET, { algorithms: ['HS256'] });
      users.push(Number(sub));
      res.end(JSON.stringify(list(Number(sub)).body));
    });
    const { port } = await listening(server, { host: '127.0.0.1', port: 0 });
    url = `http://127.0.0.1:${port}/`;
  });
  after(() => server.close());

  const loadOf = (recorder) => {
    let count = 0;
    return { url, recorder, nextUser: () => 1 + (count++ % 5) };
  };
  const owned = new Map([...ACTIVE].map((id) => [id, [id]]));

  test('a closed loop sends each user’s token, and records the answers by user', async () => {
    const recorder = new Recorder({ limit: 1, active: ACTIVE });
    await closedLoop({ ...loadOf(recorder), connections: 3, until: { amount: 30 } });
    recorder.checkOwnership(owned);
    const summary = recorder.summary(1);

    assert.deepEqual([summary.answers, summary.wrong, summary.words], [30, {}, []]);
    assert.deepEqual([...new Set(users)].sort(), [1, 2, 3, 4, 5]);
  });

  test('users who think arrive at their rate', async () => {
    const recorder = new Recorder({ limit: 1, active: ACTIVE });
    const seconds = await arrivals({ ...loadOf(recorder), customers: 100, thinkS: 0.5, seconds: 0.5, random: seeded(1) });
    recorder.checkOwnership(owned);
    const summary = recorder.summary(seconds);

    assert.deepEqual(summary.wrong, {});
    assert.ok(summary.answers > 60 && summary.answers < 150, `${summary.answers} arrived, not about a hundred`); // five standard deviations of a Poisson variable
  });
});

describe('in a soak', () => {
  const request = { kind: 'list', method: 'GET', path: '/list', as: 7, user: 7, limit: 2, isPersonal: true, statuses: [200] };
  const violationsOf = (recorder) => recorder.summary().violations;

  test('sold-out or purchased products may not be shown, except from the snapshot', () => {
    const recorder = new SoakRecorder(ACTIVE);
    recorder.setAvailable(1, false);
    recorder.addAcknowledged(7, { eventId: 'event-1', productId: 2, actionCode: 'purchase' }, 201);
    const snapshot = list(1, 2);
    for (const item of snapshot.body.data) item.modelName = 'snapshot';
    recorder.add(request, snapshot, { ...LATER, ownership: UNCHECKED });
    recorder.add(request, list(3, 4), { ...LATER, ownership: UNCHECKED });
    recorder.add({ ...request, as: 8, user: 8 }, list(2, 3), { ...LATER, ownership: UNCHECKED });
    assert.deepEqual(violationsOf(recorder), {});
    recorder.add(request, list(1, 3), { ...LATER, ownership: UNCHECKED });
    recorder.add(request, list(2, 3), { ...LATER, ownership: UNCHECKED });
    recorder.setAvailable(1, true);
    recorder.add(request, list(1, 3), { ...LATER, ownership: UNCHECKED });

    assert.deepEqual(violationsOf(recorder), { sold_out: 1, bought: 1 });
    assert.equal(recorder.summary().valid_share, 4 / 6);
  });

  test('a user is recognised by their scores', async () => {
    const ownership = new OwnershipCheck();
    const scores = { 7: [[1, 0.1], [2, 0.2]], 8: [[1, 0.9], [2, 0.8]] };
    const send = async ({ user_id: user }) => ({ model_version: 'v1', items: scores[user].map(([productId, score]) => ({ productId, score })) });
    await ownership.record(send, { users: [7, 8], moments: [0] });
    const recorder = new SoakRecorder(ACTIVE);
    recorder.add(request, list(2, 1), { ...LATER, ownership });
    assert.deepEqual([ownership.nAmbiguous, violationsOf(recorder)], [0, {}]);
    recorder.add({ ...request, user: 8 }, list(2, 1), { ...LATER, ownership });

    assert.deepEqual([violationsOf(recorder), recorder.summary().owners_checked], [{ wrong_user: 1 }, 2]);
    scores[8] = scores[7];
    const same = new OwnershipCheck();
    await same.record(send, { users: [7, 8], moments: [0] });
    assert.equal(same.nAmbiguous, 1);
  });

  test('acknowledged and stored interactions are the same', () => {
    const recorder = new SoakRecorder(ACTIVE);
    const event = (n) => ({ eventId: `event-${n}`, productId: n, actionCode: 'view' });
    const row = (n, changes) => ({ ...event(n), userId: 7, ...changes });
    for (const n of [1, 2, 3]) recorder.addAcknowledged(7, event(n), 202);

    assert.deepEqual(recorder.compare([row(1), row(2), row(3)]), { acknowledged: 3, stored: 3, spooled: 3 });
    assert.deepEqual(violationsOf(recorder), {});
    recorder.compare([row(1), row(1), row(3, { userId: 8 }), row(4)]);
    assert.deepEqual(violationsOf(recorder), { double: 1, interaction_lost: 2, interaction_unasked: 1 });
  });

  test('late lists, and a server that grows, are violations', () => {
    const recorder = new SoakRecorder(ACTIVE);
    const lateBy = (ms) => recorder.add(request, list(1, 2), { sent: performance.now() - ms, ownership: UNCHECKED });
    lateBy(9000);
    for (const [rss, descriptors] of [[1e8, 30], [2e8, 400], [2e8, 400], [1.6e8, 280]]) recorder.addSample({ rss, descriptors });
    recorder.checkGrowth();
    assert.deepEqual(violationsOf(recorder), {});
    lateBy(10_001);
    recorder.addSample({ rss: 1.8e8, descriptors: 281 });
    const leaking = new SoakRecorder(ACTIVE);
    for (const [rss, descriptors] of [[1e8, 30], [1.7e8, 281]]) leaking.addSample({ rss, descriptors });
    leaking.checkGrowth();

    assert.deepEqual([violationsOf(recorder), violationsOf(leaking)], [{ late: 1 }, { growth: 2 }]);
    assert.equal(leaking.summary().rss_bytes, 1.7e8);
  });

  test('an unexpected status and another user’s token are violations', () => {
    const recorder = new SoakRecorder(ACTIVE);
    const login = { kind: 'login', method: 'POST', path: '/login', user: 7, statuses: [200, 503] };
    const tokenOfUser = (sub) => ({ status: 200, body: { errCode: 0, data: { token: jwt.sign({ sub }, SECRET) } } });
    recorder.add(login, tokenOfUser('7'), {});
    recorder.add(login, { status: 503, body: {} }, {});
    assert.deepEqual(violationsOf(recorder), {});
    recorder.add(login, tokenOfUser('8'), {});
    recorder.add(login, { status: 500, body: {} }, {});

    assert.deepEqual(violationsOf(recorder), { wrong_user: 1, status: 1 });
  });
});

describe('the page', () => {
  const figures = (p50, wrong = {}) => ({
    answers: 100, per_second: 50, latency_ms: { p50, p99: 20 }, processor_ms: 0.5, fallback_share: 0, fallbacks: {}, wrong, words: [],
  });
  const results = (p50, wrong) => ({
    load: {
      machine: 'Linux', processors: 2, load: 0.1, commit: '0123456789', day: '2026-11-21', shop: 'a shop',
      databases: {
        sqlite: {
          deadline_ms: 800,
          cold_start: { most_ms: 900, tries: [{ ms: 900, source: 'heuristic', fallback_reason: 'deadline', fault: null }] },
          cold: { 1: figures(30) },
          warm: { 1: figures(2) },
          thinking: { customers: 50, thinkS: 1, ...figures(p50, wrong) },
          defects: [],
        },
      },
    },
  });
  const TEXT = 'before\n<!-- results: http -->\nold\n<!-- end of results -->\nafter\n';

  test('has each target beside the measured figure', () => {
    const met = (results) => targets(results).map(({ measured, isMet }) => [measured, isMet]);

    assert.deepEqual(met(results(4)), [['4.0 ms', true], ['20.0 ms', true], ['30.0 ms', true], ['900.0 ms', true], ['0 of 301', true]]);
    assert.deepEqual(met(results(6, { lost: 2 }))[0], ['6.0 ms', false]);
    assert.deepEqual(met(results(6, { lost: 2 })).at(-1), ['2 of 301', false]);
    assert.match(terminal(results(6)), /cached list, 50 customers who think, SQLite: p50 +≤ 5 ms +6\.0 ms +no/);
  });

  test('changes with the figures, between its markers only', () => {
    const written = page(TEXT, results(4));

    assert.equal(page(written, results(4)), written);
    assert.notEqual(page(written, results(6)), written);
    assert.ok(written.startsWith('before\n<!-- results: http -->\n**') && written.endsWith('\n<!-- end of results -->\nafter\n'));
    assert.equal(page(written, {}), TEXT.replace('old', 'Not measured yet.'));
    assert.throws(() => page('no markers', {}), /should hold/);
  });

  test('of this repository shows its figures', () => {
    assert.match(execFileSync(process.execPath, [PAGE_PROGRAM, '--check'], { encoding: 'utf8' }), /says what was measured/);
  });
});
