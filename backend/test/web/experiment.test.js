/** Lists by arms, what they have shown and what of it was clicked, on both databases; and the report that counts it. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';

import { ConnectionRefusedError } from 'sequelize';

import { definition } from '../../src/config/experiment.js';
import { GuestEvents } from '../../src/services/guestEvents.js';
import { InteractionService } from '../../src/services/interactionService.js';
import { openSpool } from '../../src/services/spool/spool.js';
import { SalesReports } from '../../src/services/salesReport.js';
import { Arms, armOf } from '../../src/services/tracking/arms.js';
import { ListEvents, newRecommendationId } from '../../src/services/tracking/listEvents.js';
import { onBothDatabases } from '../core/databases.js';
import { Clock, DAY_MS, FakePython, NOW, fill, idsOf, serve } from '../core/shop.js';
import { PYTHON, REPOSITORY, eventually } from '../harness.js';
import { listeningLog, stage } from './stage.js';

const arm = (name, rest) => ({ name, share: 0.4, model: 'auto', limit: null, request: {}, ...rest });
const EXPERIMENT = { name: 'lists', arms: [arm('without', { model: 'none' }), arm('short', { model: 'popularity', limit: 3, request: { budget_ms: 900 } })] };
const customerOf = (name) => Array.from({ length: 99 }, (_, n) => n).find((id) => (armOf(EXPERIMENT, id)?.name ?? null) === name) ?? -1;
const [WITHOUT, SHORT, OUTSIDE] = ['without', 'short', null].map(customerOf);
const GUEST = 'a'.repeat(32);
const RANKING = Array.from({ length: 40 }, (_, n) => 40 - n);
const ROOT = mkdtempSync(path.join(tmpdir(), 'experiment-'));
const [ID, OTHER_ID] = ['ENCM', 'ENCM'].map(newRecommendationId);
const CLICK = { actionCode: 'click', productId: 5, recommendation_id: ID, position: 2, session_id: 's'.repeat(32), eventId: 'click-0001' };
const SHOWN = { actionCode: 'impression', recommendation_id: ID, session_id: CLICK.session_id, eventId: 'shown-0001', shown: [{ productId: 4, position: 1 }, { productId: 5, position: 2 }, { productId: 4, position: 1 }] };
const away = () => Promise.reject(new ConnectionRefusedError(Object.assign(new Error('ECONNREFUSED'), { code: 'ECONNREFUSED' })));

async function servicesOf({ models, sequelize }, { experiment = EXPERIMENT, folder = mkdtempSync(path.join(ROOT, 'spool-')), now = Date.now, listEvent = models.ListEvent } = {}) {
  const { log, lines } = listeningLog();
  const arms = new Arms({ experiment, sequelize, log, clock: { now } });
  const lists = new ListEvents({ sequelize, models: { ListEvent: listEvent }, arms, log, now });
  const guests = new GuestEvents({ sequelize, models, log, now });
  const spool = await openSpool({ folder, maxBytes: 1 << 20, log });
  return { arms, lists, guests, lines, folder, interactions: new InteractionService({ models, spool, guests, lists, log, now }) };
}

const select = (sequelize, sql) => sequelize.query(sql, { type: 'SELECT' });
const text = (value) => (value === null ? null : String(value));
const countsOf = async (sequelize) => (await select(sequelize, 'SELECT algorithm, position, action, count FROM rec_analytics ORDER BY action, position')).map((row) => Object.values(row).map(text).join(' '));
const eventsOf = async (sequelize) => (await select(sequelize, 'SELECT user_id AS u, product_id AS p, interaction_type AS t, position AS n FROM rec_user_interactions ORDER BY id')).map(({ u, p, t, n }) => [text(u), text(p), t, n].join(' '));
const armsOf = async (sequelize) => (await select(sequelize, 'SELECT user_id AS u, arm FROM rec_user_segments ORDER BY user_id')).map(({ u, arm: kept }) => [text(u), kept]);

onBothDatabases((shopTest) => {
  shopTest('customers get the list of their arm, and nobody one of another arm', async ({ models, sequelize }) => {
    await fill(models, 60);
    const arms = new Arms({ experiment: EXPERIMENT, sequelize, log: listeningLog().log });
    const { service, python } = serve({ models, sequelize }, { python: new FakePython(RANKING) });
    const { service: inArms } = serve({ models, sequelize }, { python, arms });
    await service.listForUser(SHORT, { limit: 10 });
    const before = python.requests.length;
    const [short, outside] = [await inArms.listForUser(SHORT, { limit: 10 }), await inArms.listForUser(OUTSIDE, { limit: 10 })];
    const again = await inArms.listForUser(SHORT, { limit: 10 });
    const [own, ordinary] = python.requests.slice(before);

    assert.equal(before, 1);
    assert.deepEqual([short.source, again.source, idsOf(short).length, idsOf(outside).length], ['model', 'cache', 3, 10]); // the cached list was no arm's
    assert.deepEqual([own.model, own.budget_ms, own.user_id, ordinary.model, ordinary.budget_ms], ['popularity', 900, SHORT, undefined, undefined]);
    assert.equal(python.requests.length, 3);
    await inArms.similar(5, { limit: 10, userId: SHORT });
    assert.deepEqual([python.requests[3].model, python.requests[3].budget_ms], [undefined, 900]); // it belongs to a product: no model of the arm
    assert.deepEqual(idsOf(await inArms.trending({ userId: SHORT })).length, 3);
    const asked = python.requests.length;
    for (const none of [await inArms.listForUser(WITHOUT), await inArms.computeRecommendationsForUser(WITHOUT), await inArms.similar(5, { userId: WITHOUT }), await inArms.together([5], { userId: WITHOUT }), await inArms.trending({ userId: WITHOUT })]) {
      assert.deepEqual(none, { data: [], source: 'none', fallbackReason: null, modelVersion: null });
    }
    assert.deepEqual([await inArms.getCachedForUser(WITHOUT), python.requests.length], [null, asked]);
    python.failure = 'crashed';
    const fallback = await inArms.computeRecommendationsForUser(SHORT);
    assert.deepEqual([fallback.fallbackReason, fallback.data.length], ['crashed', 3]);
    assert.equal((await inArms.similar(5, { guestId: null })).data.length, 10); // guests have no arm
    await Promise.all([service.close(), inArms.close()]);
  });

  shopTest('who has entered is written once, and again after the experiment was changed', async ({ sequelize, models }) => {
    const clock = new Clock();
    const { arms, lines } = await servicesOf({ models, sequelize }, { now: clock.now });
    for (const user of [SHORT, WITHOUT, OUTSIDE, SHORT, null]) await arms.enter(user);
    clock.turn(DAY_MS);
    const { arms: another } = await servicesOf({ models, sequelize }, { now: clock.now });
    await another.enter(SHORT);
    const [prefix, at] = [definition(EXPERIMENT), NOW / 1000];
    const expected = [[String(SHORT), `${prefix}short:${at}`], [String(WITHOUT), `${prefix}without:${at}`]].sort();
    assert.deepEqual((await armsOf(sequelize)).sort(), expected);

    const changed = { ...EXPERIMENT, arms: [EXPERIMENT.arms[0], { ...EXPERIMENT.arms[1], limit: 5 }] };
    await (await servicesOf({ models, sequelize }, { experiment: changed, now: clock.now })).arms.enter(SHORT);
    assert.deepEqual((await armsOf(sequelize)).find(([user]) => user === String(SHORT)), [String(SHORT), `${definition(changed)}short:${at + DAY_MS / 1000}`]);
    await sequelize.query('ALTER TABLE rec_user_segments RENAME TO rec_user_segments_kept');
    const { arms: unlucky, lines: said } = await servicesOf({ models, sequelize });
    await unlucky.enter(SHORT).finally(() => sequelize.query('ALTER TABLE rec_user_segments_kept RENAME TO rec_user_segments'));
    assert.match(said.at(-1).msg, /could not be written/);
    assert.deepEqual(lines, []);
  });

  shopTest('what a list has shown and what was clicked is stored and counted once', async ({ sequelize, models }) => {
    await fill(models, 9);
    const { interactions } = await servicesOf({ models, sequelize });
    const answers = [];
    for (const event of [SHOWN, SHOWN, CLICK, CLICK]) answers.push(await interactions.record({ ...event, userId: 7 }));
    await interactions.record({ ...CLICK, userId: 8, recommendation_id: OTHER_ID }); // an event of another answer with the same id is another event
    const cart = { actionCode: 'cart', productId: 5, recommendation_id: ID, position: 2, userId: 7, eventId: 'cart-00001' };
    await interactions.record(cart);
    assert.equal((await interactions.record(cart)).duplicate, true);
    await interactions.record({ ...cart, actionCode: 'view', eventId: 'view-00001' });

    assert.deepEqual(answers.map(({ stored, duplicate }) => [stored, duplicate]), [[true, false], [false, true], [true, false], [false, true]]);
    assert.deepEqual(await eventsOf(sequelize), ['7 4 impression 1', '7 5 impression 2', '7 5 click 2', '8 5 click 2']);
    assert.deepEqual(await countsOf(sequelize), ['encm 2 add_to_cart 1', 'encm 2 click 2', 'encm 1 impression 1', 'encm 2 impression 1']);
    assert.deepEqual((await models.Interaction.findAll({ raw: true })).map(({ actionCode }) => actionCode), ['cart', 'view']);
    assert.deepEqual(interactions.choicesOf({ userId: 7 }), [{ productId: 5, actionCode: 'cart' }]); // a click is no choice
    await interactions.close();
  });

  shopTest('it waits on the disk while the database is away', async ({ sequelize, models }) => {
    const during = await servicesOf({ models, sequelize }, { listEvent: { bulkCreate: away, create: away } });
    assert.equal((await during.interactions.record({ ...SHOWN, userId: 7 })).spooled, true);
    assert.equal((await during.interactions.record({ ...CLICK, guestId: GUEST })).spooled, true);
    await during.interactions.close();
    const after = await servicesOf({ models, sequelize }, { folder: during.folder });
    assert.deepEqual(await after.interactions.drain(), { stored: 2, duplicate: 0, rejected: 0 });
    assert.deepEqual(await eventsOf(sequelize), ['7 4 impression 1', '7 5 impression 2', `guest_${GUEST} 5 click 2`]);
    await after.interactions.close();
  });

  shopTest('without the tables it is refused for good, and what visitors do is kept', async ({ sequelize, models }) => {
    await fill(models, 9);
    const { interactions, lists } = await servicesOf({ models, sequelize });
    const rename = (from, to) => Promise.all(['rec_user_interactions', 'rec_analytics'].map((name) => sequelize.query(`ALTER TABLE ${name}${from} RENAME TO ${name}${to}`)));
    await rename('', '_kept');
    try {
      await assert.rejects(interactions.record({ ...CLICK, userId: 7 }), { name: 'NotCounted', message: /train\.py/ });
      assert.equal((await interactions.record({ ...CLICK, actionCode: 'cart', eventId: 'cart-00002', userId: 7 })).stored, true);
      await interactions.join(GUEST, 7);
      await lists.visited({ userId: 7 }, CLICK.session_id, GUEST);
    } finally {
      await rename('_kept', '');
    }
    await interactions.close();
  });

  shopTest('what lists have shown to a guest becomes the customer’s at the login, or with the first event of the visit', async ({ sequelize, models }) => {
    await fill(models, 9);
    const { interactions, lists } = await servicesOf({ models, sequelize });
    const [visit, other] = ['b'.repeat(32), 'c'.repeat(32)];
    for (const [n, guestId] of [GUEST, other].entries()) await interactions.record({ ...SHOWN, guestId, eventId: `shown-${n}000` });
    await interactions.join(GUEST, SHORT);
    await lists.visited({ userId: SHORT }, visit, other);
    await lists.visited({ userId: SHORT }, visit, other);
    await lists.visited({ guestId: GUEST }, visit, GUEST);

    const user = String(SHORT);
    const shown = [`${user} 4 impression 1`, `${user} 5 impression 2`];
    assert.deepEqual(await eventsOf(sequelize), [...shown, ...shown, `${user}  visit `]);
    await interactions.close();
  });

  const AGAIN = { duplicate: true, events: 1, clicks: 1 };
  const ANOTHER = { duplicate: false, events: 2, clicks: 2 };
  const [ofGuest, ofCustomer] = [{ guestId: GUEST }, { userId: 7 }];
  for (const [what, first, second, { owner, duplicate, events, clicks }] of [
    ['by the guest', ofGuest, ofGuest, { ...AGAIN, owner: `guest_${GUEST}` }],
    ['after the login', ofGuest, ofCustomer, { ...AGAIN, owner: '7' }],
    ['by the guest under another id', ofGuest, { guestId: 'f'.repeat(32) }, { ...AGAIN, owner: `guest_${'f'.repeat(32)}` }],
    ['after the logout', ofCustomer, ofGuest, { ...AGAIN, owner: '7' }],
    ['by another customer', ofCustomer, { userId: 8 }, { ...AGAIN, owner: '7' }],
    ['by another customer, of another answer', ofCustomer, { userId: 8, recommendation_id: OTHER_ID }, { ...ANOTHER, owner: '7' }],
    ['by the customer, of another answer', ofCustomer, { ...ofCustomer, recommendation_id: OTHER_ID }, { ...ANOTHER, owner: '7' }],
    ['as a second click', ofCustomer, { ...ofCustomer, eventId: 'click-0002' }, { ...ANOTHER, owner: '7' }],
    ['as one of another product', ofCustomer, { ...ofCustomer, productId: 6 }, { ...ANOTHER, owner: '7' }],
    ['as an impression', ofCustomer, { ...ofCustomer, actionCode: 'impression' }, { ...ANOTHER, owner: '7', clicks: 1 }],
  ]) {
    shopTest(`a click that is sent again ${what} is ${duplicate ? 'the same' : 'another one'}`, async ({ sequelize, models }) => {
      const { interactions } = await servicesOf({ models, sequelize });
      await interactions.record({ ...CLICK, ...first });
      assert.equal((await interactions.record({ ...CLICK, ...second })).duplicate, duplicate);
      const stored = await eventsOf(sequelize);
      assert.deepEqual([stored.length, stored[0]], [events, `${owner} 5 click 2`]);
      assert.ok((await countsOf(sequelize)).includes(`encm 2 click ${clicks}`));
      await interactions.close();
    });
  }

  shopTest('an impression of several products that is sent again after the login counts once, and is the customer’s', async ({ sequelize, models }) => {
    const { interactions } = await servicesOf({ models, sequelize });
    await interactions.record({ ...SHOWN, guestId: GUEST });
    assert.equal((await interactions.record({ ...SHOWN, userId: 7 })).duplicate, true);
    assert.deepEqual(await eventsOf(sequelize), ['7 4 impression 1', '7 5 impression 2']);
    assert.deepEqual(await countsOf(sequelize), ['encm 1 impression 1', 'encm 2 impression 1']);
    await interactions.close();
  });

  shopTest('what guests were shown is kept for 30 days', async ({ sequelize, models }) => {
    const clock = new Clock();
    const { interactions, guests } = await servicesOf({ models, sequelize }, { now: clock.now });
    await interactions.record({ ...SHOWN, guestId: GUEST });
    await interactions.record({ ...SHOWN, userId: 7, eventId: 'shown-0002' });
    clock.turn(31 * DAY_MS);
    await interactions.record({ ...CLICK, guestId: GUEST });
    assert.equal(await guests.sweep(), 2);
    assert.deepEqual(await eventsOf(sequelize), ['7 4 impression 1', '7 5 impression 2', `guest_${GUEST} 5 click 2`]);
    await interactions.close();
  });

  shopTest('the report of Python credits a purchase to a click that came here, and finds who has seen both arms', async ({ url, sequelize, models }) => {
    await fill(models, 9);
    const then = Date.now() - 9 * DAY_MS;
    const { interactions, lists, arms } = await servicesOf({ models, sequelize }, { now: () => then });
    for (const user of [SHORT, WITHOUT]) await arms.enter(user);
    for (const event of [SHOWN, CLICK]) await interactions.record({ ...event, userId: SHORT });
    await interactions.record({ productId: 5, actionCode: 'purchase', eventId: 'bought-001', userId: SHORT });
    const toml = path.join(mkdtempSync(path.join(ROOT, 'toml-')), 'recsys.toml');
    const table = ({ name, share, model, limit }) => `[experiments.arms.${name}]\nshare = ${share}\nmodel = "${model}"\n${limit === null ? '' : `limit = ${limit}\n`}`;
    const plain = { ...EXPERIMENT, arms: EXPERIMENT.arms.map((one) => ({ ...one, request: {} })) };
    writeFileSync(toml, `[experiments]\nname = "lists"\n${plain.arms.map(table).join('')}`);
    await sequelize.query('DELETE FROM rec_user_segments');
    const again = await servicesOf({ models, sequelize }, { experiment: plain, now: () => then });
    for (const user of [SHORT, WITHOUT]) await again.arms.enter(user);
    const report = async () => {
      const env = { ...process.env, DATABASE_URL: url.replace(/^mysql:/, 'mysql+pymysql:'), RECSYS_TOML: toml };
      const { stdout } = await promisify(execFile)(PYTHON, [path.join(REPOSITORY, 'scripts/experiment.py'), 'report', '--json'], { env });
      return JSON.parse(stdout);
    };

    const { credited, by_algorithm: byAlgorithm, comparison } = await report();
    assert.deepEqual([credited.click, byAlgorithm], [{ purchases: 1, revenue: 10 }, { encm: { purchases: 1, revenue: 10 } }]);
    assert.deepEqual(comparison.arms.map(({ name, observed, impressions, clicks, revenue }) => [name, observed, impressions, clicks, revenue]), [['without', 1, 0, 0, 0], ['short', 1, 2, 1, 10]]);

    await lists.visited({ userId: WITHOUT }, CLICK.session_id, GUEST); // the visit of the other customer
    assert.deepEqual((await report()).comparison.left_out, { 'in both arms': 2 });
    await interactions.close();
  });
});

test('an answer names itself and the arm, and who has had it is entered', async () => {
  const entered = [];
  const arms = { of: (id) => (id === 7 ? arm('A') : null), enter: async (id) => void entered.push(id) };
  const { agent, as } = stage({ services: { arms } });
  const one = await agent.get('/api/recommendations/list').set(as(7)).expect(200);
  const other = await agent.get('/api/recommendations/similar/110').expect(200);

  assert.match(one.body.recommendation_id, /^rec_bmf_[0-9a-f]{32}$/);
  assert.notEqual(one.body.recommendation_id, other.body.recommendation_id);
  assert.deepEqual([one.body.arm, other.body.arm], ['A', null]);
  await eventually(() => assert.deepEqual(entered, [7, null]));
});

test('an impression brings no cookie, a click does, and both are of the guest of the visit', async () => {
  const { agent, asked } = stage();
  const send = (body) => agent.post('/api/interaction').send(body).expect(201);
  const [shown, clicked] = [await send(SHOWN), await send(CLICK)];
  const [first, second] = asked.filter(([name]) => name === 'record').map(([, event]) => event);

  assert.equal(shown.headers['set-cookie'], undefined);
  assert.match(clicked.headers['set-cookie'][0], new RegExp(`^recsys_guest=${second.guestId}\\.`));
  assert.equal(first.guestId, second.guestId);
  assert.deepEqual(first.shown, SHOWN.shown);
  assert.deepEqual([second.recommendation_id, second.position, second.session_id], [ID, 2, CLICK.session_id]);
  const own = await agent.post('/api/interaction').set('Cookie', clicked.headers['set-cookie'][0].split(';')[0]).send(SHOWN).expect(201);
  assert.equal(own.headers['set-cookie'], undefined);
  await send({ ...SHOWN, session_id: 'short' });
  const guests = new Set(asked.filter(([name]) => name === 'record').map(([, { guestId }]) => guestId));
  assert.equal(guests.size, 2); // a visit with a short id may be anybody's
});

for (const [change, field] of [
  [{ recommendation_id: undefined }, 'recommendation_id'],
  [{ recommendation_id: '' }, 'recommendation_id'],
  [{ recommendation_id: 'x'.repeat(129) }, 'recommendation_id'],
  [{ recommendation_id: 'é' }, 'recommendation_id'],
  [{ position: 0 }, 'position'],
  [{ position: 1.5 }, 'position'],
  [{ position: 10_001 }, 'position'],
  [{ session_id: '' }, 'session_id'],
  [{ session_id: 7 }, 'session_id'],
  [{ productId: undefined }, 'productId'],
  [{ shown: SHOWN.shown }, 'shown'],
  [{ actionCode: 'impression', shown: SHOWN.shown }, 'productId'],
  [{ actionCode: 'impression', productId: undefined, shown: [] }, 'shown'],
  [{ actionCode: 'impression', productId: undefined, shown: [{ productId: 'x', position: 1 }] }, 'shown[0].productId'],
  [{ actionCode: 'impression', productId: undefined, shown: [{ productId: 1 }] }, 'shown[0].position'],
  [{ actionCode: 'impression', productId: undefined, shown: Array(101).fill({ productId: 1, position: 1 }) }, 'shown'],
]) {
  test(`a click with ${JSON.stringify(change).slice(0, 60)} is refused by name`, async () => {
    const { agent, as, asked } = stage();
    const { body } = await agent.post('/api/interaction').set(as(7)).send({ ...CLICK, ...change }).expect(400);
    assert.equal(body.field, field);
    assert.match(body.message, /should be .*\. Received: /);
    assert.deepEqual(asked, []);
  });
}

test('one report is made at a time, the last one is answered meanwhile, and a failure is told', async () => {
  const clock = new Clock();
  const { log, lines } = listeningLog();
  const runs = [];
  const make = () => new Promise((resolve, reject) => runs.push({ resolve, reject }));
  const sales = new SalesReports({ log, clock, make });
  assert.deepEqual([sales.latest(), sales.latest()], Array(2).fill({ report: null, computedAt: null, isComputing: true, failure: null }));
  assert.equal(runs.length, 1);
  runs[0].resolve({ total: 1 });
  await sales.settled();
  const known = { report: { total: 1 }, computedAt: new Date(NOW).toISOString(), isComputing: false, failure: null };
  assert.deepEqual([sales.latest(), runs.length], [known, 1]);
  clock.turn(301_000);
  assert.deepEqual(sales.latest(), { ...known, isComputing: true });
  runs[1].reject(Object.assign(new Error('exit'), { code: 65, stderr: 'a warning\nexperiment: There should be fewer.' }));
  await sales.settled();
  const failure = { code: 'too_large', message: 'There should be fewer.' };
  assert.deepEqual(sales.latest(), { ...known, failure });
  assert.equal(lines.length, 1);
  sales.close();
  clock.turn(DAY_MS);
  assert.deepEqual([sales.latest().isComputing, runs.length], [false, 2]);
});
