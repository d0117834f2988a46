/** F56, F60: the server is killed and the database cut off repeatedly; acknowledged and stored interactions are equal. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { migrate } from '../core/migrate.js';
import { seeded } from '../fakes.js';
import { eventually } from '../harness.js';
import { endServers, startServerProcess } from './serverProcess.js';
import { KINDS, awayShop, fillUsers, withModels } from './shops.js';

const LIVES = Number(process.env.RECSYS_TEST_KILLS ?? 8);
const CLIENTS = 8;
const RETRY_MS = 20;
const TEST_TIMEOUT_MS = 120_000 + 10_000 * LIVES;
const DRAINED_MS = 60_000;
const MOMENTS_MS = { least: 30, most: 900 }; // between two blows: from the middle of a start to long after it
const PRODUCTS = [101, 102, 103];
const ACKNOWLEDGED = new Set([200, 201, 202]);

after(endServers);

for (const kind of KINDS) {
  describe(kind, () => {
    test(`F56 F60 over ${LIVES} kills, no acknowledged interaction is lost or doubled`, { timeout: TEST_TIMEOUT_MS }, async (t) => {
      const shop = await awayShop(kind);
      try {
        if (shop.missing) t.skip(shop.missing);
        else await killLoop(shop);
      } finally {
        await shop.remove();
      }
    });
  });
}

async function killLoop(shop) {
  const folder = mkdtempSync(path.join(tmpdir(), 'kills-'));
  await migrate(shop.directUrl);
  await fillUsers(shop.directUrl);
  await withModels(shop.directUrl, ({ Product }) => Product.bulkCreate(PRODUCTS.map((id) => ({ id, name: `product ${id}` }))));
  const variables = {
    DATABASE_URL: shop.url,
    MODELS_DIR: path.join(folder, 'models'),
    SPOOL_DIR: path.join(folder, 'spool'),
    PYTHON_BIN: path.join(folder, 'no-python'),
    LOG_LEVEL: 'info',
  };
  const world = { server: await startServerProcess(variables), isOver: false };
  const acknowledged = [];
  const clients = Array.from({ length: CLIENTS }, (_, number) => client(world, number, acknowledged));
  for (const one of clients) one.catch(() => (world.isOver = true));
  try {
    await blows(world, shop, variables);
    shop.comeBack();
    world.isOver = true;
    await Promise.all(clients);
    await eventually(async () => assert.equal(await world.server.metric('spool_pending'), 0), DRAINED_MS);
    assert.equal(await world.server.metric('spool_rejected'), 0);
    assert.equal(await world.server.stop(), 0);
  } finally {
    world.isOver = true;
    shop.comeBack();
    world.server.child.kill('SIGKILL');
    await Promise.allSettled(clients);
    rmSync(folder, { recursive: true, force: true });
  }
  const stored = await withModels(shop.directUrl, ({ Interaction }) => Interaction.findAll({ raw: true }));
  const inward = acknowledged.map(({ eventId }) => eventId).sort();
  const outward = stored.map(({ eventId }) => eventId).sort();

  assert.deepEqual(outward, inward);
  const byEvent = new Map(stored.map((row) => [row.eventId, row]));
  for (const { eventId, userId, productId } of acknowledged) {
    const row = byEvent.get(eventId);
    assert.deepEqual([row.userId, row.productId, row.actionCode], [userId, productId, 'view']);
  }
  const ways = new Set(acknowledged.map(({ status }) => status));
  assert.ok(ways.has(201) && ways.has(202), `answered with ${[...ways]}`); // both ways were gone
  assert.ok(acknowledged.length > CLIENTS * LIVES, `${acknowledged.length} interactions`);
}

/** Kill the server and take the database away by turns, at moments that the seed decides. */
async function blows(world, shop, variables) {
  const random = seeded(7);
  const moment = () => sleep(MOMENTS_MS.least + random() * (MOMENTS_MS.most - MOMENTS_MS.least));
  const harms = [shop.goAway, shop.comeBack, shop.hang, shop.comeBack];
  for (let life = 0; life < LIVES && !world.isOver; life += 1) {
    harms[life % harms.length]();
    await moment();
    world.server.child.kill('SIGKILL');
    await world.server.ended;
    if (random() < 0.5) harms[(life + 1) % harms.length]();
    world.server = await startServerProcess(variables);
    await moment();
  }
}

/** Send one event after the other; each again until it is acknowledged, as a page does that keeps its `eventId`. */
async function client(world, number, acknowledged) {
  const userId = 7 + (number % 3);
  for (let count = 0; !world.isOver; count += 1) {
    const event = { eventId: `client-${number}-${count}`, productId: PRODUCTS[count % PRODUCTS.length], actionCode: 'view' };
    for (;;) {
      const { server } = world;
      const status = await server.post('/api/interaction', { as: userId, body: event }).then((answer) => answer.status, () => null);
      if (ACKNOWLEDGED.has(status)) {
        acknowledged.push({ ...event, userId, status });
        break;
      }
      if (status !== null && status !== 503) {
        const complaints = await eventually(() => complaintsOf(server));
        throw new Error(`${event.eventId} was answered with ${status}: ${complaints.slice(-2).join('; ')}`);
      }
      await sleep(RETRY_MS);
    }
  }
}

/** Return what the server told its log of defects; it comes a little later than the answer. */
function complaintsOf({ lines }) {
  const told = lines.filter(({ err }) => err !== undefined).map(({ err }) => err.stack);
  assert.notEqual(told.length, 0);
  return told;
}
