/** The real recommend_api.py with a version of a tiny shop, in one process per request and in a pool. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { inspect } from 'node:util';

import { createPool, runPythonInference } from '../src/services/pythonInvoker.js';
import { assertGone, eventually, failureOf, faultTest, startParent, untilBusy } from './harness.js';
import { TinyShop } from './tinyShop.js';

const PLENTY_MS = 30_000; // where the time does not matter
const TRAINING_MS = 300_000; // takes ten seconds on an idle machine
const REPORTED_MS = 6000; // Python keeps a tenth of it for reporting a slow database, which has to suffice on a busy machine

let shop;
const launch = (env) => shop.launch(env);

before(
  async () => {
    shop = await TinyShop.make();
  },
  { timeout: TRAINING_MS },
);
after(() => shop?.remove());

async function withPool(options, scenario) {
  const pool = createPool({ size: 1, random: () => 0.5, ...options });
  try {
    await pool.ready();
    await scenario(pool);
  } finally {
    await pool.close();
  }
}

const ask = (request, options = {}) => runPythonInference(request, { ...launch(), timeoutMs: PLENTY_MS, ...options });

test('an answer has ids of the shop’s own type', async () => {
  const answer = await ask({ user_id: '7', limit: 3, id: 'mine' });

  assert.deepEqual([answer.user_id, answer.id, answer.items.length], [7, 'mine', 3]);
  assert.ok(answer.items.every(({ productId }) => Number.isInteger(productId)));
});

for (const [what, request, reason, exitCode, field] of [
  ['a limit of 0', { user_id: 7, limit: 0 }, 'invalid_request', 65, 'limit'],
  ['an unknown field', { user_id: 7, colour: 'red' }, 'invalid_request', 65, 'colour'],
  ['a list that is too long', { user_id: 7, exclude: new Array(10_001).fill(1) }, 'too_large', 65, 'exclude'],
  ['an unknown user', { user_id: 999, strict: true }, 'unknown_user', 67, undefined],
  ['an id that is not one of this shop', { user_id: '7abc', strict: true }, 'unknown_user', 67, undefined],
]) {
  test(`${what} fails with the same reason in one process and in a pool`, async () => {
    const alone = await failureOf(ask(request));
    assert.deepEqual([alone.reason, alone.exitCode, alone.error.field], [reason, exitCode, field]);
    await withPool(launch(), async (pool) => {
      const pooled = await failureOf(pool.runPythonInference(request, { timeoutMs: PLENTY_MS }));
      assert.deepEqual([pooled.reason, pooled.error], [reason, alone.error]);
      assert.equal(pool.stats().deaths, 0);
    });
  });
}

test('without any settings the reason is settings', async () => {
  const { PATH } = process.env;

  assert.equal((await failureOf(ask({ user_id: 7 }, { env: { PATH } }))).reason, 'settings');
});

test('the pool gives each user the same answer as a process for one request', async () => {
  const users = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
  await withPool({ ...launch(), size: 2 }, async (pool) => {
    const requested = Array.from({ length: 6 }, () => users).flat();
    const answers = await Promise.all(requested.map((user) => pool.runPythonInference({ user_id: user }, { timeoutMs: PLENTY_MS })));
    answers.forEach((answer, position) => assert.equal(answer.user_id, requested[position]));
    for (const user of [1, 7]) assert.deepEqual((await ask({ user_id: user })).items, answers[users.indexOf(user)].items);
  });
});

test('a worker with one scoring thread gives the same answers', async () => {
  await withPool({ ...launch(), scoringThreads: 1 }, async (pool) => {
    const environment = readFileSync(`/proc/${pool.stats().workers[0].pid}/environ`, 'utf8');
    assert.ok(environment.includes('SCORING_THREADS=1\0'));
    for (const user of [1, 7]) {
      const answer = await pool.runPythonInference({ user_id: user }, { timeoutMs: PLENTY_MS });
      assert.deepEqual(answer.items, (await ask({ user_id: user })).items);
    }
  });
  assert.equal((await failureOf(ask({ user_id: 7 }, { scoringThreads: 0 }))).reason, 'settings');
});

test('guests, unknown users and similar items are answered', async () => {
  const [productId] = (await ask({ user_id: 7 })).items.map((item) => item.productId);
  await withPool(launch(), async (pool) => {
    const guest = await pool.runPythonInference({ interactions: [{ item_id: productId, event: 'view' }] }, { timeoutMs: PLENTY_MS });
    const similar = await pool.runPythonInference({ op: 'similar', item_id: productId, limit: 2 }, { timeoutMs: PLENTY_MS });

    assert.deepEqual([guest.user_id, similar.user_id, similar.items.length], [null, null, 2]);
    assert.deepEqual(similar.items[0].reason, { code: 'similar', item_id: productId });
    for (const request of [{}, { interactions: [] }, { user_id: 999 }]) {
      const { source, items } = await pool.runPythonInference(request, { timeoutMs: PLENTY_MS });
      assert.deepEqual([source, items[0].reason], ['popularity', { code: 'popular' }]);
    }
  });
});

test('a worker gets the shop’s variables and no secret', async () => {
  await withPool(launch({ ...process.env, JWT_SECRET: 'a secret', NODE_OPTIONS: '' }), async (pool) => {
    const seen = readFileSync(`/proc/${pool.stats().workers[0].pid}/environ`, 'utf8');

    assert.ok(seen.includes('DATABASE_URL=sqlite:///'));
    assert.ok(!seen.includes('a secret') && !seen.includes('NODE_OPTIONS'));
  });
});

test('empty variables count as unset: .env provides the values', async () => {
  const dotenv = path.join(shop.scriptFolder, '.env');
  writeFileSync(dotenv, Object.entries(shop.variables).map(([name, value]) => `${name}=${value}\n`).join(''));
  const empty = { DATABASE_URL: '', MODELS_DIR: '', RECSYS_TOML: '', SCORING_THREADS: '' };
  try {
    const options = { ...launch(), env: { ...process.env, ...empty } };
    assert.equal((await ask({ user_id: 7 }, options)).user_id, 7);
    await withPool(options, async (pool) => assert.equal((await pool.runPythonInference({ user_id: 7 }, { timeoutMs: PLENTY_MS })).user_id, 7));
  } finally {
    rmSync(dotenv);
  }
});

// The first bytes of a message whose rest arrives slowly: MySQL's greeting, PostgreSQL's refusal.
for (const [scheme, beginning, options] of [
  ['mysql+pymysql', '\xff\xff\xff\0\x0a', ''],
  ['postgresql+psycopg', 'E\0\0\x75\0', '?sslmode=disable&gssencmode=disable'],
]) {
  faultTest(`a database that answers byte by byte ends no worker: ${scheme}`, async ({ env }) => {
    const secret = 'Sesame-5d0a';
    const server = createServer((socket) => {
      socket.on('error', () => {});
      socket.write(beginning, 'latin1');
      const drip = setInterval(() => socket.write('xxx'), 20);
      socket.on('close', () => clearInterval(drip));
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const DATABASE_URL = `${scheme}://root:${secret}@127.0.0.1:${server.address().port}/shop${options}`;
    const reported = [];
    try {
      await withPool({ ...launch(env), env: { ...launch(env).env, DATABASE_URL }, onEvent: (event) => reported.push(event) }, async (pool) => {
        for (const user of [1, 2, 3]) {
          const failure = await failureOf(pool.runPythonInference({ user_id: user }, { timeoutMs: REPORTED_MS }));
          assert.equal(failure.reason, 'database_unavailable');
          reported.push(failure);
        }
        assert.deepEqual([pool.stats().deaths, pool.stats().spawned, pool.stats().breaker], [0, 1, 'closed']);
      });
    } finally {
      await new Promise((resolve) => server.close(resolve));
    }
    assert.ok(!inspect(reported, { depth: Infinity, showHidden: true }).includes(secret));
  });
}

test('a pool without a version recovers when one is published', async () => {
  const models = path.join(shop.folder, 'models-later');
  mkdirSync(models);
  const env = { ...process.env, ...shop.variables, MODELS_DIR: models };
  const pool = createPool({ size: 1, random: () => 0.5, ...launch(), env });
  try {
    await assert.rejects(pool.ready(), { reason: 'no_model' });
    for (const name of readdirSync(shop.models)) cpSync(path.join(shop.models, name), path.join(models, name), { recursive: true });
    await eventually(() => pool.runPythonInference({ user_id: 7 }, { timeoutMs: PLENTY_MS }));
    assert.equal(pool.stats().spawned, 2);
  } finally {
    await pool.close();
  }
});

faultTest('F09 F10 prints during a request leave the answer intact', async ({ env }) => {
  const ends = [];
  const onEvent = (event) => event.type === 'gone' && ends.push(event);
  assert.equal((await ask({ user_id: 'print' }, launch(env))).user_id, 'print');
  await withPool({ ...launch(env), onEvent }, async (pool) => {
    for (const user of ['print', 7])
      assert.equal((await pool.runPythonInference({ user_id: user }, { timeoutMs: PLENTY_MS })).user_id, user);
  });
  for (const stray of ['a stray line', 'from a library', 'from a child']) assert.ok(ends[0].stderrTail.includes(stray), stray);
});

for (const [what, user] of [
  ['F27 a loop', 'loop'],
  ['F28 C code that holds the interpreter', 'regex'],
]) {
  faultTest(`${what} ends at the deadline with its stack; the next request is answered`, async ({ env, lag }) => {
    const ends = [];
    const onEvent = (event) => event.type === 'gone' && ends.push(event);
    await withPool({ ...launch(env), onEvent }, async (pool) => {
      const failure = await failureOf(pool.runPythonInference({ user_id: user }, { timeoutMs: 800 }), { by: 800, lag });
      assert.equal(failure.reason, 'deadline');
      assert.equal((await eventually(() => pool.runPythonInference({ user_id: 7 }, { timeoutMs: PLENTY_MS }))).user_id, 7);
      await eventually(() => assert.equal(ends.length, 1));
      assert.match(ends[0].stderrTail, /Timeout \(.*recommending/);
    });
  });
}

for (const [user, reason] of [
  ['defect', 'internal'],
  ['memory', 'overloaded'],
]) {
  test(`F34 ${user} during a request fails only that request`, async () => {
    await withPool(launch(), async (pool) => {
      const failure = await failureOf(pool.runPythonInference({ user_id: user }, { timeoutMs: PLENTY_MS }));
      assert.equal(failure.reason, reason);
      if (user === 'defect') assert.ok(failure.stderrTail.includes("KeyError: 'a defect'"), 'the traceback is for the log');
      assert.equal((await pool.runPythonInference({ user_id: 7 }, { timeoutMs: PLENTY_MS })).user_id, 7);
      assert.equal(pool.stats().spawned, 1);
    });
  });
}

for (const life of ['idle', 'busy']) {
  faultTest(`F40 after a SIGKILL of the backend ${life} workers are gone within a second`, async ({ env }) => {
    const { parent, first: pids } = await startParent([life, JSON.stringify({ launch: launch(env), user: 'regex' })], env);
    if (life === 'busy') await untilBusy(pids[0]);
    parent.kill('SIGKILL');

    await assertGone(pids);
  });
}

test('a ping through the pool takes little CPU time', async (context) => {
  await withPool(launch(), async (pool) => {
    const durations = [];
    const before = process.cpuUsage();
    for (let ping = 0; ping < 2000; ping += 1) {
      const start = performance.now();
      await pool.runPythonInference({ op: 'ping' }, { timeoutMs: PLENTY_MS });
      durations.push(performance.now() - start);
    }
    const { user, system } = process.cpuUsage(before);
    durations.sort((one, other) => one - other);
    context.diagnostic(`p50 ${durations[1000].toFixed(3)} ms, p95 ${durations[1900].toFixed(3)} ms`);

    const cost = (user + system) / 1000 / 2000; // milliseconds of CPU time of this process
    assert.ok(cost < 2, `${cost} ms`);
  });
});
