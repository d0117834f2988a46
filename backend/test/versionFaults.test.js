/** Version changes and broken versions under requests to recommend_api.py: no request fails, no answer mixes two. */
import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { createPool, runPythonInference } from '../src/services/pythonInvoker.js';
import { eventually, failureOf, faultTest } from './harness.js';
import { TinyShop } from './tinyShop.js';

const PLENTY_MS = 30_000; // where the time does not matter
const TRAINING_MS = 300_000; // takes ten seconds on an idle machine
const ROLLBACK_MS = 2000; // on a machine where a worker boots in BOOT_MS
const BOOT_MS = 600;
const DEFAULT_TIMEOUT_MS = 800; // the pool's own
const MEASURE_MS = 1500;
const CLIENTS = 16;
const OVERLOADED = 75; // exit status of a publisher without room
const SHOWS_VERSION = { user_id: 7, model: 'popularity', limit: 20 }; // each version has a ranking of its own
const FIXED = { time_of_day: 'morning', season: null }; // otherwise the clock would change the answer

let shop;
let other; // a second version of it, which is not active

before(
  async () => {
    shop = await TinyShop.make();
    other = (await shop.publisher('publish')).version;
  },
  { timeout: TRAINING_MS },
);
after(() => shop?.remove());

/**
 * Test a scenario with a copy of the shop and a pool. No worker may die, and only `reload` may fail.
 *
 * @param {string} sentence
 * @param {number} size Workers.
 * @param {(world: object) => Promise<void>} scenario
 */
function versionTest(sentence, size, scenario) {
  faultTest(sentence, async ({ env }) => {
    const here = shop.copy();
    const start = performance.now();
    const pool = createPool({ size, random: () => 0.5, ...here.launch(env) });
    const ask = (request = SHOWS_VERSION) => pool.runPythonInference(request, { timeoutMs: PLENTY_MS });
    try {
      await eventually(() => assert.equal(pool.stats().workers.filter(({ state }) => state === 'ready').length, size), PLENTY_MS);
      await scenario({ here, pool, ask, old: here.current, bootMs: performance.now() - start, env });
      const { deaths, failed } = pool.stats();
      assert.equal(deaths, 0);
      assert.deepEqual(
        Object.keys(failed).filter((reason) => reason !== 'model_refused' && reason !== 'no_model'),
        [],
      );
    } finally {
      await pool.close();
      here.remove();
    }
  });
}

/** Send requests until a promise resolves, and return its value and all answers. */
async function underLoad(ask, event) {
  const answers = [];
  let isOver = false;
  const client = async () => {
    while (!isOver) answers.push(await ask());
  };
  const clients = Array.from({ length: CLIENTS }, client);
  const outcome = await event.finally(() => {
    isOver = true;
  });
  await Promise.all(clients);
  return { outcome, answers };
}

/** Check that each version has exactly one list, and return the versions that answered. */
function versionsOf(answers) {
  const lists = new Map();
  for (const { model_version: version, items } of answers) {
    const list = JSON.stringify(items);
    assert.equal(lists.get(version) ?? list, list, `two lists of ${version}`);
    lists.set(version, list);
  }
  assert.equal(new Set(lists.values()).size, lists.size, 'each version has a list of its own');
  return [...lists.keys()].sort();
}

/** Wait until every worker serves a version. */
async function servedByAll(pool, version) {
  await eventually(async () => {
    const pending = pool.stats().workers.map(() => pool.runPythonInference({ op: 'ping' }, { timeoutMs: PLENTY_MS }));
    await Promise.all(pending);
    assert.ok(pool.stats().workers.every((worker) => worker.version === version));
  }, PLENTY_MS);
}

/** Write to CURRENT, even what `activate` would refuse. */
function pointAt(here, text) {
  writeFileSync(path.join(here.models, 'CURRENT'), text);
}

/** Check that a worker refuses another version and goes on serving; return the reason as a sentence. */
async function refusalOf({ pool, ask, old }) {
  const { reason, detail } = await failureOf(pool.runPythonInference({ op: 'reload' }, { timeoutMs: PLENTY_MS }));
  assert.ok(['no_model', 'model_refused'].includes(reason), `${reason}: ${detail}`);
  assert.equal((await ask()).model_version, old);
  return detail;
}

/** Return the files of a version, the manifest first. */
function filesOf(folder) {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const files = entries.map((entry) => path.relative(folder, path.join(entry.parentPath, entry.name)));
  return ['manifest.json', ...files.filter((file) => file !== 'manifest.json')];
}

versionTest('F49 versions change under load: no request fails, no answer mixes two', 2, async (world) => {
  const { here, pool, ask, old } = world;
  const swaps = async () => {
    for (const version of [other, old, other, old]) {
      await here.publisher('activate', version);
      await servedByAll(pool, version);
    }
  };
  const { answers } = await underLoad(ask, swaps());

  assert.deepEqual(versionsOf(answers), [old, other].sort());
});

versionTest('F50 a version copied file by file is served once complete, not before', 1, async (world) => {
  const { here, ask } = world;
  const [source, target] = [path.join(shop.models, other), path.join(here.models, other)];
  rmSync(target, { recursive: true });
  pointAt(here, other);
  for (const file of filesOf(source)) {
    await refusalOf(world);
    mkdirSync(path.dirname(path.join(target, file)), { recursive: true });
    copyFileSync(path.join(source, file), path.join(target, file));
  }

  assert.equal((await ask({ op: 'reload' })).version, other);
  assert.equal((await ask()).model_version, other);
});

versionTest('F50 F51 any file that is cut or has a flipped bit is refused by name', 1, async (world) => {
  const { here, ask, env } = world;
  const folder = path.join(here.models, other);
  pointAt(here, other);
  for (const [number, file] of filesOf(folder).entries()) {
    const whole = readFileSync(path.join(folder, file));
    const flipped = Buffer.from(whole);
    flipped[Math.floor(whole.length / 2)] ^= 1;
    for (const damaged of [flipped, whole.subarray(0, -1)]) {
      writeFileSync(path.join(folder, file), damaged);
      assert.ok((await refusalOf(world)).includes(file), file);
    }
    if (number < 2) {
      const alone = await failureOf(runPythonInference(SHOWS_VERSION, { ...here.launch(env), timeoutMs: PLENTY_MS }));
      assert.deepEqual([alone.reason, alone.exitCode], ['model_refused', 77]);
    }
    writeFileSync(path.join(folder, file), whole);
  }

  assert.equal((await ask({ op: 'reload' })).version, other);
});

versionTest('F52 every worker serves a rollback within two seconds', 2, async (world) => {
  const { here, pool, ask, old, bootMs } = world;
  const requests = [1, 2, 3, 4, 5].flatMap((user) => ['BMF', 'popularity'].map((model) => ({ user_id: user, model, context: FIXED })));
  const answers = async () => (await Promise.all(requests.map(ask))).map(({ items, model_version: version }) => ({ version, items }));
  const recorded = await answers();
  await here.publisher('activate', other);
  await servedByAll(pool, other);
  assert.notDeepEqual(await answers(), recorded);
  await here.publisher('activate', old);
  const start = performance.now();
  await servedByAll(pool, old);
  const took = performance.now() - start;

  assert.deepEqual(await answers(), recorded);
  const allowed = ROLLBACK_MS + 3 * Math.max(0, bootMs - BOOT_MS);
  assert.ok(took < allowed, `served after ${took} ms of ${allowed}`);
});

versionTest('F49 at half the load that the pool sustains, changes of version fail no request and mix no answer', 2, async (world) => {
  const { here, pool, ask, old, bootMs } = world;
  const measured = performance.now();
  const { answers: most } = await underLoad(ask, sleep(MEASURE_MS));
  const sustained = most.length / (performance.now() - measured); // requests a millisecond
  const timeoutMs = DEFAULT_TIMEOUT_MS * Math.max(1, bootMs / BOOT_MS);
  const pending = [];
  let isOver = false;
  const load = async () => {
    const start = performance.now();
    while (!isOver) {
      const due = Math.floor(((performance.now() - start) * sustained) / 2); // whether or not earlier ones are answered
      while (pending.length < due) pending.push(pool.runPythonInference(SHOWS_VERSION, { timeoutMs }));
      await sleep(5);
    }
  };
  const loading = load();
  const took = [];
  for (const version of [other, old]) {
    await here.publisher('activate', version);
    const start = performance.now();
    await servedByAll(pool, version);
    took.push(performance.now() - start);
    await sleep(MEASURE_MS);
  }
  isOver = true;
  await loading;
  const answers = await Promise.all(pending);

  assert.deepEqual(versionsOf(answers), [old, other].sort());
  const allowed = ROLLBACK_MS + 3 * Math.max(0, bootMs - BOOT_MS);
  assert.ok(took.every((ms) => ms < allowed), `served after ${took} ms of ${allowed}`);
});

versionTest('F50 a damaged version is told by the pool, and the workers that go on with the old one say why', 2, async (world) => {
  const { here, pool, ask, old } = world;
  writeFileSync(path.join(here.models, other, 'popularity.h5'), '');
  pointAt(here, other);
  await eventually(async () => {
    await Promise.all(pool.stats().workers.map(() => pool.runPythonInference({ op: 'ping' }, { timeoutMs: PLENTY_MS })));
    assert.deepEqual(pool.stats().workers.map(({ refused }) => [refused?.version, refused?.code]), Array(2).fill([other, 'model_refused']));
  }, PLENTY_MS);
  assert.equal((await ask()).model_version, old);

  pointAt(here, old);
  await eventually(async () => {
    await Promise.all(pool.stats().workers.map(() => pool.runPythonInference({ op: 'ping' }, { timeoutMs: PLENTY_MS })));
    assert.deepEqual(pool.stats().workers.map(({ refused }) => refused), [null, null]);
  }, PLENTY_MS);
});

const POINTERS = {
  'at a version that is not there': (here) => pointAt(here, '20260101T000000Z-0123abcd'),
  'at a path': (here, old) => pointAt(here, `../models/${old}`),
  'nowhere': (here) => pointAt(here, ''),
  'through a link': (here) => {
    renameSync(path.join(here.models, 'CURRENT'), path.join(here.folder, 'elsewhere'));
    symlinkSync(path.join(here.folder, 'elsewhere'), path.join(here.models, 'CURRENT'));
  },
  'at a link out of the folder': (here) => {
    renameSync(path.join(here.models, other), path.join(here.folder, 'outside'));
    symlinkSync(path.join(here.folder, 'outside'), path.join(here.models, other));
    pointAt(here, other);
  },
};

for (const [where, tamper] of Object.entries(POINTERS)) {
  versionTest(`F53 a pointer ${where} is refused, and the old version serves`, 1, async (world) => {
    const { here, old, env } = world;
    tamper(here, old);
    await refusalOf(world);
    const alone = await failureOf(runPythonInference(SHOWS_VERSION, { ...here.launch(env), timeoutMs: PLENTY_MS }));
    assert.ok([77, 78].includes(alone.exitCode), alone.message);
    const started = createPool({ size: 1, ...here.launch(env) });
    try {
      await assert.rejects(started.ready(), { reason: alone.reason });
      rmSync(path.join(here.models, 'CURRENT'));
      pointAt(here, old);
      await eventually(() => started.runPythonInference(SHOWS_VERSION, { timeoutMs: PLENTY_MS }), PLENTY_MS);
      assert.equal(started.stats().spawned, 2);
    } finally {
      await started.close();
    }
  });
}

versionTest('F54 a publisher killed at each step leaves the old version or the new one', 2, async (world) => {
  const { here, pool, ask, old } = world;
  const { outcome, answers } = await underLoad(ask, here.publisher('die'));
  assert.ok(outcome.deaths > 50, `${outcome.deaths} deaths`);
  assert.equal(here.current, outcome.version);
  await servedByAll(pool, outcome.version);

  const versions = versionsOf([...answers, await ask()]);
  assert.ok(versions.includes(old) && versions.includes(outcome.version), versions.join(' '));
});

versionTest('F44 a publisher on a full disk fails, and the old version serves', 1, async (world) => {
  const { here, ask, old } = world;
  const { outcome, answers } = await underLoad(ask, here.publisher('run-out-of-room'));

  assert.deepEqual([outcome.status, here.current, versionsOf(answers)], [OVERLOADED, old, [old]]);
  assert.equal((await ask({ op: 'reload' })).version, old);
});
