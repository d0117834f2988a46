/**
 * Does everything that the backend does with its database, once, and prints what was sent: `node test/statements/send.js URL [OWN_TABLES]`.
 *
 * The database is an empty shop on MySQL or MariaDB. The output is JSON: the statements, and the lines of src/ that sent them.
 * tests/store/test_mysql8.py parses the statements, and fails if a line of src/ that calls the database is missing.
 */
import { texts, lines } from './recorder.js'; // before the others

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { connectDatabase } from '../../src/config/database.js';
import { checkIds, checkMapping, checkSources } from '../../src/config/mapping.js';
import { defineModels } from '../../src/models/index.js';
import { createMetrics } from '../../src/monitoring/metrics.js';
import { AdminService } from '../../src/services/adminService.js';
import { AnswerCounts } from '../../src/services/answerCounts.js';
import { AuthService } from '../../src/services/authService.js';
import { GuestEvents } from '../../src/services/guestEvents.js';
import { InteractionService } from '../../src/services/interactionService.js';
import { Passwords } from '../../src/services/passwords.js';
import { ProductService } from '../../src/services/productService.js';
import { openSpool } from '../../src/services/spool/spool.js';
import { Arms } from '../../src/services/tracking/arms.js';
import { ListEvents } from '../../src/services/tracking/listEvents.js';
import { VisitorHistory } from '../../src/services/visitorHistory.js';
import { Clock, DAY_MS, FakePython, NOW, VERSION, fill, happen, published, serve } from '../core/shop.js';
import { PYTHON, settingsWith, stage } from '../web/stage.js';

const [URL, ownTables = ''] = process.argv.slice(2);
const GUEST = '0123456789abcdef0123456789abcdef';
const PLAIN = { table: 'Interactions', user: 'userId', item: 'productId', event: 'actionCode', timestamp: 'timestamp' };
const ORDERS = { table: 'wp-orders', user: 'customerId', item: 'the-item', timestamp: 'at', quantity: 'pieces', where: 'pieces > 0 -- only', purchase_when: 'paid = 1', returned_when: 'back = 1' };
const EXPERIMENT = { name: 'lists', arms: ['plain', 'none'].map((name) => ({ name, share: 0.5, model: 'auto', limit: null, request: {} })) };
const log = { info() {}, warn() {}, error() {}, debug() {} };

const folder = mkdtempSync(path.join(tmpdir(), 'statements-'));
const sequelize = connectDatabase({ databaseUrl: URL, ownTables });
try {
  await sendAll();
} finally {
  await sequelize.close();
  rmSync(folder, { recursive: true, force: true });
}
process.stdout.write(JSON.stringify({ texts: [...texts], lines: [...lines] }));

async function sendAll() {
  const models = defineModels(sequelize);
  const shop = { sequelize, models };
  const clock = new Clock();
  await sequelize.query('CREATE TABLE `wp-orders` (`customerId` VARCHAR(9), `the-item` VARCHAR(9), `at` DATETIME, pieces INT, paid INT, back INT)');
  const mapping = checkMapping({ sources: [PLAIN, ORDERS] }, { name: 'shop' });
  await checkIds({ ...shop, snapshot: { current: async () => null } });
  await checkSources({ ...shop, sources: mapping.sources });
  await fill(models, 12, (row) => ({ ...row, brandId: 'nord' }));
  await models.User.bulkCreate([{ id: 7, email: 'ann@shop.example' }, { id: 8, email: 'bob@shop.example' }]);
  await happen(models, 7, [['view', 3], ['cart', 4], ['purchase', 5]]);
  await lists(shop, clock, mapping);
  await products(shop, clock);
  await guests(shop, clock);
  await experiments(shop);
  await accounts(shop);
  await administrators(shop, clock);
  await stage({ services: { sequelize } }).agent.get('/ready').expect(200);
}

async function lists(shop, clock, mapping) {
  const python = new FakePython([1, 2, 3, 6, 7, 8]);
  const { service } = serve(shop, { python, clock, settings: { mapping }, version: published() });
  await service.listForUser(7, { limit: 2 });
  await service.listForUser(7, { limit: 5 }); // longer than what is cached
  await service.computeRecommendationsForUser(7, { limit: 2 });
  await service.getCachedForUser(7, { limit: 2 });
  await service.buildUserProductFeatures(7, [1, 2]);
  await service.invalidateUser(7);
  await service.clearForUser(7);
  await service.listForUser(7, { limit: 2 });
  await service.listForGuest(GUEST, { limit: 2 });
  await Promise.all([service.similar(1, { limit: 2, userId: 7 }), service.together([1, 2], { limit: 2 }), service.trending({ limit: 2 })]);
  python.failure = 'deadline';
  await service.computeRecommendationsForUser(8, { limit: 5 }); // the fallback
  await service.computeRecommendationsForUser(7, { limit: 5 });
  await service.similar(1, { limit: 5, userId: 8 });
  const at = clock.now() / 1000 - 60;
  for (const position of [1, 2]) {
    const place = ownTables === '' ? '' : `${ownTables}.`;
    const sql = `INSERT INTO ${place}rec_batch_lists (user_id, position, item_id, score, version, model, source, computed_at) VALUES ('8', $position, $position, 0.5, $version, 'BMF', 'model', $at)`;
    await sequelize.query(sql, { bind: { position, version: VERSION, at } });
  }
  await service.listForUser(8, { limit: 2 });
  await service.close?.();
}

async function products({ models }, clock) {
  const service = new ProductService({ sequelize, snapshot: { current: async () => null }, clock });
  await service.browse({ category: null, sort: 'popular', page: 1, limit: 5 });
  await service.browse({ category: 'tea', sort: 'new', page: 1, limit: 5 });
  await service.product(1);
  await service.picture(1);
  await models.Comment.create({ content: 'good', productId: 1, userId: 7, star: 5 });
}

async function guests({ models }, clock) {
  const spool = await openSpool({ folder, maxBytes: 10_000, log });
  const guestEvents = new GuestEvents({ sequelize, models, log, now: clock.now });
  const interactions = new InteractionService({ models, spool, guests: guestEvents, log, now: clock.now });
  const event = (eventId, owner, more = {}) => ({ productId: 3, actionCode: 'view', eventId, timestamp: new Date(clock.now() - 1000), device: 'mobile', ...owner, ...more });
  for (const owner of [{ userId: 7 }, { guestId: GUEST }]) {
    const [key] = Object.keys(owner);
    await interactions.record(event(`event-${key}`, owner));
    await interactions.record(event(`event-${key}`, owner)); // a duplicate
  }
  await guestEvents.newest(GUEST);
  await guestEvents.trim({ guestId: GUEST, actionCode: 'view' });
  const history = new VisitorHistory({ sequelize, guests: guestEvents, clock });
  await Promise.all([history.viewed({ userId: 7, guestId: null }, 5), history.cart({ userId: 7, guestId: null })]);
  await sequelize.query("CREATE TRIGGER no_carts BEFORE INSERT ON Interactions FOR EACH ROW BEGIN IF NEW.actionCode = 'cart' THEN SIGNAL SQLSTATE '45000'; END IF; END");
  await interactions.record(event('event-cart', { guestId: GUEST }, { actionCode: 'cart' }));
  await guestEvents.join(GUEST, 7); // the cart is refused, so each event joins by itself
  await sequelize.query('DROP TRIGGER no_carts');
  await models.GuestEvent.create({ guestId: GUEST, productId: 1, actionCode: 'view', timestamp: new Date(NOW - 60 * DAY_MS), eventId: 'event-old' });
  await guestEvents.sweep();
  await interactions.close();
}

async function experiments({ models }) {
  const arms = new Arms({ experiment: EXPERIMENT, sequelize, log });
  const shown = new ListEvents({ sequelize, models, arms, log });
  await arms.enter(7);
  const answer = { recommendation_id: 'blend:0123456789abcdef', session_id: 'visit', timestamp: new Date(NOW).toISOString() };
  const places = [{ productId: 1, position: 1 }, { productId: 2, position: 2 }];
  const impression = { ...answer, actionCode: 'impression', eventId: 'event-shown', device: null, shown: places };
  for (const owner of [{ guestId: GUEST }, { userId: 7 }]) await shown.store({ ...impression, ...owner }); // the second time after a login
  await shown.counted({ ...answer, userId: 7, productId: 1, position: 1, actionCode: 'cart', eventId: 'event-counted', device: null }, async () => {});
  await shown.visited({ userId: 7 }, 'visit', GUEST);
}

async function accounts({ models }) {
  const auth = new AuthService({ settings: settingsWith(), models, passwords: new Passwords(), log });
  await auth.login('ann@shop.example', 'wrong');
  await auth.userOf(7);
}

async function administrators(shop, clock) {
  const { service: recommendations } = serve(shop, { python: new FakePython([1, 2, 3]), clock, version: published() });
  const answerCounts = new AnswerCounts({ sequelize, log, clock });
  answerCounts.add({ source: 'model', fallbackReason: null });
  await answerCounts.lastDays();
  const version = { current: async () => null };
  const python = { stats: () => PYTHON };
  const admin = new AdminService({ ...shop, recommendations, snapshot: version, metrics: createMetrics(), answerCounts, interactions: { stats: () => ({ pending: 0, rejected: 0 }) }, python, clock });
  await admin.overview();
  await admin.makeList(7, { limit: 2 });
  await admin.user(7, { limit: 2 });
}
