/** The version's snapshot: it follows CURRENT, and is checked before it is used. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

import { createSnapshot, DEFAULT_RULES } from '../../src/services/recommendations/snapshot.js';

const LISTS = {
  popular: [3, 1, 2],
  newest: [4, 3],
  by_category: { tea: [3] },
  products: [1, 2, 3, 4].map((id) => ({ id, name: `Product ${id}`, category: 'tea', brand: null, price: id === 4 ? null : 2.5 })),
};
const SETTINGS = {
  ...{ purchase_events: ['sale'], cancel_events: ['return'], cart_events: ['basket'], uncart_events: ['unbasket'] },
  ...{ repeat_after_days: 30, time_zone: 'Asia/Tokyo' },
};

const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

/** Run a scenario with a folder of versions and what follows it, looking as often as it is asked. */
async function withModels(scenario) {
  const modelsDir = mkdtempSync(path.join(tmpdir(), 'recsys-models-'));
  const warnings = [];
  const clock = { time: 0 };
  const log = { warn: ({ err }) => warnings.push(err.message) };
  const snapshot = createSnapshot({ modelsDir, log, checkMs: 0, now: () => clock.time });
  try {
    await scenario({ modelsDir, snapshot, warnings, clock, publish: (options) => publish(modelsDir, options) });
  } finally {
    rmSync(modelsDir, { recursive: true });
  }
}

/** Publish a version as Python does: its files, the manifest with their hashes, the name with the manifest's, CURRENT by rename. */
function publish(modelsDir, { lists = LISTS, settings = SETTINGS, idType, spoil = (parts) => parts, day = 20 } = {}) {
  const bytes = Buffer.from(JSON.stringify(lists));
  const entry = (file, content) => ({ path: file, size: content.length, sha256: sha256(content) });
  const files = [entry('bmf_config.json', '{}'), entry('snapshot.json', bytes)];
  const manifest = JSON.stringify({ schema: 1, files, settings, id_type: idType });
  const parts = spoil({ bytes, manifest, name: `202611${day}T231800Z-${sha256(manifest).slice(0, 8)}` });
  mkdirSync(path.join(modelsDir, parts.name));
  writeFileSync(path.join(modelsDir, parts.name, 'snapshot.json'), parts.bytes);
  writeFileSync(path.join(modelsDir, parts.name, 'manifest.json'), parts.manifest);
  point(modelsDir, parts.name);
  return parts.name;
}

function point(modelsDir, name) {
  writeFileSync(path.join(modelsDir, 'CURRENT.tmp'), `${name}\n`);
  renameSync(path.join(modelsDir, 'CURRENT.tmp'), path.join(modelsDir, 'CURRENT'));
}

test('a version tells whether its ids are text', () =>
  withModels(async ({ snapshot, publish: publishNext }) => {
    const kinds = [{ users: 'int', items: 'int' }, { users: 'str', items: 'int' }, { users: 'int', items: 'str' }, undefined];
    const told = [];
    for (const [index, idType] of kinds.entries()) {
      publishNext({ idType, day: 20 + index });
      told.push((await snapshot.current()).hasTextIds);
    }

    assert.deepEqual(told, [false, true, true, false]);
  }));

test('there is none before the first version, then CURRENT is followed', () =>
  withModels(async ({ modelsDir, snapshot, publish: publishNext }) => {
    assert.equal(await snapshot.current(), null);
    const first = publishNext();
    const published = await snapshot.current();
    assert.equal(published.name, first);
    assert.deepEqual(published.popular.map(({ id }) => id), [3, 1, 2]);
    assert.deepEqual(published.newest.map(({ id, price }) => [id, price]), [[4, null], [3, 2.5]]);
    assert.deepEqual(published.popular[0], {
      ...{ id: 3, name: 'Product 3', categoryId: 'tea', category: null, brandId: null, brand: null, view: null, originalPrice: 2.5 },
      ...{ discountPrice: null, price: 2.5, image: null, stars: null, reviews: 0, isNew: false },
    });
    assert.deepEqual(published.rules, {
      ...{ purchaseEvents: ['sale'], cancelEvents: ['return'], cartEvents: ['basket'], uncartEvents: ['unbasket'] },
      ...{ repeatAfterDays: 30, timeZone: 'Asia/Tokyo', eventNames: null },
    });

    const second = publishNext({ day: 21, lists: { ...LISTS, popular: [2] }, settings: { repeat_after_days: null } });
    assert.equal((await snapshot.current()).name, second);
    assert.deepEqual((await snapshot.current()).rules, { ...DEFAULT_RULES });
    point(modelsDir, first); // a rollback
    assert.equal((await snapshot.current()).name, first);
    rmSync(path.join(modelsDir, 'CURRENT'));
    assert.equal((await snapshot.current()).name, first);
  }));

test('the names of events are those that Python takes', () =>
  withModels(async ({ snapshot, publish: publishNext }) => {
    publishNext({ settings: { event_weights: { sale: 1, view: 0 }, cancel_events: ['return'] } });
    assert.deepEqual((await snapshot.current()).rules.eventNames, ['sale', 'view', 'return', 'uncart']);
    publishNext({ day: 21, settings: { event_weights: { sale: 1 }, cancel_events: [], uncart_events: ['out'] } });
    assert.deepEqual((await snapshot.current()).rules.eventNames, ['sale', 'out']);
  }));

test('an event without a weight is no purchase, as in training', () =>
  withModels(async ({ snapshot, publish: publishNext }) => {
    publishNext({ settings: { purchase_events: ['sale', 'gift', 'order'], event_weights: { sale: 1, gift: 0, view: 0.3 } } });
    assert.deepEqual((await snapshot.current()).rules.purchaseEvents, ['sale']);
  }));

test('a call during the first check waits for it', () =>
  withModels(async ({ modelsDir, publish: publishNext }) => {
    const name = publishNext();
    const snapshot = createSnapshot({ modelsDir, checkMs: 1e9 });
    const early = [snapshot.current()];
    while (early.length < 50) {
      await new Promise((resolve) => setImmediate(resolve)); // further into the look
      early.push(snapshot.current());
    }

    assert.deepEqual(new Set((await Promise.all(early)).map((published) => published?.name)), new Set([name]));
  }));

test('a version is read once', () =>
  withModels(async ({ snapshot, publish: publishNext }) => {
    publishNext();
    const published = await Promise.all(Array.from({ length: 100 }, () => snapshot.current()));
    assert.equal(new Set(published).size, 1);
    assert.equal(await snapshot.current(), published[0]);
  }));

test('CURRENT is checked once in each interval', async () => {
  const modelsDir = mkdtempSync(path.join(tmpdir(), 'recsys-models-'));
  try {
    let time = 0;
    const snapshot = createSnapshot({ modelsDir, checkMs: 200, now: () => time });
    assert.equal(await snapshot.current(), null);
    publish(modelsDir);
    time = 199;
    assert.equal(await snapshot.current(), null);
    time = 200;
    assert.notEqual(await snapshot.current(), null);
  } finally {
    rmSync(modelsDir, { recursive: true });
  }
});

const flipped = (bytes, at = 5) => Buffer.from(bytes.map((byte, index) => (index === at ? byte ^ 1 : byte)));
const DAMAGED = {
  'a flipped bit': [({ bytes, ...rest }) => ({ ...rest, bytes: flipped(bytes) }), /should have the SHA-256/],
  'a cut file': [({ bytes, ...rest }) => ({ ...rest, bytes: bytes.subarray(1) }), /should have \d+ bytes/],
  'a changed manifest': [
    ({ manifest, ...rest }) => ({ ...rest, manifest: manifest.replace('"schema":1', '"schema":2') }),
    /version's name carries/,
  ],
  'a manifest that is no JSON': [({ bytes }) => ({ bytes, manifest: 'x', name: `20261121T000000Z-${sha256('x').slice(0, 8)}` }), /JSON/],
  'a manifest that does not list it': [
    ({ bytes }) => ({ bytes, manifest: '{"files":[]}', name: `20261121T000000Z-${sha256('{"files":[]}').slice(0, 8)}` }),
    /should hold snapshot.json/,
  ],
};

for (const [damage, [spoil, message]] of Object.entries(DAMAGED)) {
  test(`${damage} keeps the earlier version, and is logged once`, () =>
    withModels(async ({ snapshot, warnings, publish: publishNext }) => {
      const whole = publishNext();
      assert.equal((await snapshot.current()).name, whole);
      publishNext({ day: 21, spoil });
      for (let look = 0; look < 3; look += 1) assert.equal((await snapshot.current()).name, whole);
      assert.equal(warnings.length, 1);
      assert.match(warnings[0], message);
    }));
}

test('a CURRENT that names another path is refused', () =>
  withModels(async ({ modelsDir, snapshot, warnings, publish: publishNext }) => {
    const whole = publishNext();
    await snapshot.current();
    for (const wrong of ['../secret', '', 'x'.repeat(200), '20261120T231800Z-00000000']) {
      point(modelsDir, wrong);
      assert.equal((await snapshot.current()).name, whole);
    }
    assert.equal(warnings.length, 4);
    const linked = whole.replace('20T', '22T');
    symlinkSync(path.join(modelsDir, whole), path.join(modelsDir, linked));
    point(modelsDir, linked);
    assert.equal((await snapshot.current()).name, whole);
    assert.match(warnings[4], /should be a folder/);
  }));

test('a read that failed temporarily is repeated', () =>
  withModels(async ({ modelsDir, snapshot, clock, publish: publishNext }) => {
    const name = publishNext();
    const folder = path.join(modelsDir, name);
    renameSync(folder, `${folder}.away`);
    assert.equal(await snapshot.current(), null);
    renameSync(`${folder}.away`, folder);
    assert.equal(await snapshot.current(), null);
    clock.time += 5000;
    assert.equal((await snapshot.current()).name, name);
  }));

test('an old version without products has rules, but no items', () =>
  withModels(async ({ snapshot, publish: publishNext }) => {
    publishNext({ lists: { popular: [1], newest: [1], by_category: {} } });
    const published = await snapshot.current();
    assert.deepEqual([published.popular, published.newest, published.rules.repeatAfterDays], [[], [], 30]);
  }));
