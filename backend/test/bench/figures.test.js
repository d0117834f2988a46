/** The benches over HTTP would notice: what a list has to be, whose it is, what was promised; and the page says what was measured. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createServer } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import jwt from 'jsonwebtoken';

import { Books, faultOf } from '../../bench/loading/answers.js';
import { arrivals } from '../../bench/loading/arrivals.js';
import { closedLoop } from '../../bench/loading/closedLoop.js';
import { Owners } from '../../bench/loading/owners.js';
import { Books as SoakBooks } from '../../bench/loading/soakBooks.js';
import { page, terminal } from '../../bench/loading/tables.js';
import { targets } from '../../bench/loading/targets.js';
import { seeded } from '../fakes.js';
import { listening } from '../../src/httpServer.js';
import { SECRET } from '../web/stage.js';

const PAGE_PROGRAM = fileURLToPath(new URL('../../bench/page.js', import.meta.url));
const SOLD = new Set([1, 2, 3, 4, 5]);
const LONG_AGO = { sent: Infinity }; // all that was noted before is known to everybody
const NOBODY = { knows: () => false };

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
  const wanted = { limit: 3, sold: SOLD };

  test('is full, of products that are sold, none of them twice', () => {
    assert.equal(faultOf(list(1, 2, 3), wanted), null);
    assert.equal(faultOf(list(1, 2), wanted), 'not_full');
    assert.equal(faultOf(list(), wanted), 'not_full');
    assert.equal(faultOf(list(1, 2, 2), wanted), 'twice');
    assert.equal(faultOf(list(1, 2, 9), wanted), 'not_sold');
    assert.equal(faultOf({ ...list(1, 2, 3), status: 500 }, wanted), 'status');
    assert.equal(faultOf({ status: 200, body: 'not JSON' }, wanted), 'shape');
    const unscored = list(1, 2, 3);
    unscored.body.data[1].score = null;
    assert.equal(faultOf(unscored, wanted), 'shape');
  });

  test('of a shop that has less is as long as the shop has products', () => {
    assert.equal(faultOf(list(1, 2, 3, 4, 5), { limit: 10, sold: SOLD }), null);
  });
});

test('books of a load: times, fallbacks by reason, and lists that are somebody else’s', () => {
  const books = new Books({ limit: 2, sold: SOLD });
  books.take({ customer: 7, ms: 1, ...list(1, 2) });
  books.take({ customer: 8, ms: 3, ...list(3, 4) });
  books.take({ customer: 9, ms: 2, ...fellBack(list(5, 4), 'deadline') });
  books.take({ customer: 9, ms: 4, ...list(5) });
  books.lose(9, new Error('cut'));
  books.checkOwners(new Map([[7, [1, 2, 3]], [8, [4, 3]]]));
  const told = books.summary(2);

  assert.deepEqual([told.answers, told.per_second, told.latency_ms.p50, told.latency_ms.max], [4, 2, 3, 4]);
  assert.deepEqual([told.sources, told.fallbacks, told.fallback_share], [{ cache: 2, heuristic: 1 }, { deadline: 1 }, 0.25]);
  assert.deepEqual(told.wrong, { not_full: 1, lost: 1, wrong_user: 1 });
});

describe('against a server', () => {
  let server;
  let url;
  const asked = [];
  before(async () => {
    server = createServer((req, res) => {
      const { sub } = jwt.verify(req.headers.authorization.replace('Bearer ', ''), SECRET, { algorithms: ['HS256'] });
      asked.push(Number(sub));
      res.end(JSON.stringify(list(Number(sub)).body));
    });
    const { port } = await listening(server, { host: '127.0.0.1', port: 0 });
    url = `http://127.0.0.1:${port}/`;
  });
  after(() => server.close());

  const loadOf = (books) => {
    let count = 0;
    return { url, books, nextCustomer: () => 1 + (count++ % 5) };
  };
  const owned = new Map([...SOLD].map((id) => [id, [id]]));

  test('a closed loop asks with each customer’s own token, and enters every answer for who asked', async () => {
    const books = new Books({ limit: 1, sold: SOLD });
    await closedLoop({ ...loadOf(books), connections: 3, until: { amount: 30 } });
    books.checkOwners(owned);
    const told = books.summary(1);

    assert.deepEqual([told.answers, told.wrong, told.words], [30, {}, []]);
    assert.deepEqual([...new Set(asked)].sort(), [1, 2, 3, 4, 5]);
  });

  test('customers who think come at their rate', async () => {
    const books = new Books({ limit: 1, sold: SOLD });
    const seconds = await arrivals({ ...loadOf(books), customers: 100, thinkS: 0.5, seconds: 0.5, random: seeded(1) });
    books.checkOwners(owned);
    const told = books.summary(seconds);

    assert.deepEqual(told.wrong, {});
    assert.ok(told.answers > 60 && told.answers < 150, `${told.answers} came, and not a hundred or so`); // five deviations of a Poisson variable
  });
});

describe('in a soak', () => {
  const visit = { kind: 'list', method: 'GET', path: '/list', as: 7, customer: 7, limit: 2, isPersonal: true, statuses: [200] };
  const violationsOf = (books) => books.summary().violations;

  test('what was sold out or bought may not be shown, unless the database is away', () => {
    const books = new SoakBooks(SOLD);
    books.sell(1, false);
    books.acknowledge(7, { eventId: 'event-1', productId: 2, actionCode: 'purchase' }, 201);
    const snapshot = list(1, 2);
    for (const item of snapshot.body.data) item.modelName = 'snapshot';
    books.take(visit, snapshot, { ...LONG_AGO, owners: NOBODY });
    books.take(visit, list(3, 4), { ...LONG_AGO, owners: NOBODY });
    books.take({ ...visit, as: 8, customer: 8 }, list(2, 3), { ...LONG_AGO, owners: NOBODY });
    assert.deepEqual(violationsOf(books), {});
    books.take(visit, list(1, 3), { ...LONG_AGO, owners: NOBODY });
    books.take(visit, list(2, 3), { ...LONG_AGO, owners: NOBODY });
    books.sell(1, true);
    books.take(visit, list(1, 3), { ...LONG_AGO, owners: NOBODY });

    assert.deepEqual(violationsOf(books), { sold_out: 1, bought: 1 });
    assert.equal(books.summary().valid_share, 4 / 6);
  });

  test('a customer is recognised by her scores', async () => {
    const owners = new Owners();
    const scores = { 7: [[1, 0.1], [2, 0.2]], 8: [[1, 0.9], [2, 0.8]] };
    const ask = async ({ user_id: user }) => ({ model_version: 'v1', items: scores[user].map(([productId, score]) => ({ productId, score })) });
    await owners.learn(ask, { customers: [7, 8], moments: [0] });
    const books = new SoakBooks(SOLD);
    books.take(visit, list(2, 1), { ...LONG_AGO, owners });
    assert.deepEqual([owners.lookalikes, violationsOf(books)], [0, {}]);
    books.take({ ...visit, customer: 8 }, list(2, 1), { ...LONG_AGO, owners });

    assert.deepEqual([violationsOf(books), books.summary().owners_checked], [{ wrong_user: 1 }, 2]);
    scores[8] = scores[7];
    const same = new Owners();
    await same.learn(ask, { customers: [7, 8], moments: [0] });
    assert.equal(same.lookalikes, 1);
  });

  test('what is acknowledged is what is stored, no more and no less', () => {
    const books = new SoakBooks(SOLD);
    const event = (n) => ({ eventId: `event-${n}`, productId: n, actionCode: 'view' });
    const row = (n, changes) => ({ ...event(n), userId: 7, ...changes });
    for (const n of [1, 2, 3]) books.acknowledge(7, event(n), 202);

    assert.deepEqual(books.compare([row(1), row(2), row(3)]), { acknowledged: 3, stored: 3, spooled: 3 });
    assert.deepEqual(violationsOf(books), {});
    books.compare([row(1), row(1), row(3, { userId: 8 }), row(4)]);
    assert.deepEqual(violationsOf(books), { double: 1, interaction_lost: 2, interaction_unasked: 1 });
  });

  test('a status that a request may not get is noticed, and a token for somebody else', () => {
    const books = new SoakBooks(SOLD);
    const login = { kind: 'login', method: 'POST', path: '/login', customer: 7, statuses: [200, 503] };
    const tokenOfCustomer = (sub) => ({ status: 200, body: { errCode: 0, data: { token: jwt.sign({ sub }, SECRET) } } });
    books.take(login, tokenOfCustomer('7'), {});
    books.take(login, { status: 503, body: {} }, {});
    assert.deepEqual(violationsOf(books), {});
    books.take(login, tokenOfCustomer('8'), {});
    books.take(login, { status: 500, body: {} }, {});

    assert.deepEqual(violationsOf(books), { wrong_user: 1, status: 1 });
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

  test('holds each figure that is asked for beside what was measured', () => {
    const met = (told) => targets(told).map(({ measured, isMet }) => [measured, isMet]);

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

  test('of this repository says what its figures say', () => {
    assert.match(execFileSync(process.execPath, [PAGE_PROGRAM, '--check'], { encoding: 'utf8' }), /says what was measured/);
  });
});
