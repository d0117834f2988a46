/** Errors, events and statistics of the bridge contain no secret. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { inspect } from 'node:util';

import { createPool, runPythonInference } from '../src/services/pythonInvoker.js';
import { failingSpawn } from './fakes.js';
import { CUE, double, PYTHON, REPOSITORY } from './harness.js';

const MARKER = 'Sesame-5d0a';
const TIMEOUT_MS = 2000; // for requests that never end by themselves, after a start on a busy machine
const SECRETS = {
  DATABASE_URL: `mysql+pymysql://root:${MARKER}@127.0.0.1:1/shop`,
  ...{ DB_HOST: '127.0.0.1', DB_PORT: '1', DB_NAME: 'shop', DB_USER: 'root', DB_PASSWORD: MARKER, DB_PASS: MARKER },
  ...{ JWT_SECRET: MARKER, JWT_SECRET_FILE: MARKER, AWS_SECRET_ACCESS_KEY: MARKER },
};
const env = { ...process.env, ...SECRETS };
const folder = mkdtempSync(path.join(tmpdir(), 'secrets-'));
process.on('exit', () => rmSync(folder, { recursive: true }));

/** Return a value in every form in which it may be logged: as JSON, by `inspect` with hidden fields, and as text. */
function textOf(value) {
  const seen = new Set();
  const texts = [];
  const look = (thing) => {
    texts.push(String(thing), inspect(thing, { depth: Infinity, showHidden: true, maxStringLength: null }));
    if (typeof thing !== 'object' || thing === null || seen.has(thing)) return;
    seen.add(thing);
    texts.push(JSON.stringify(thing) ?? '');
    for (const name of Object.getOwnPropertyNames(thing)) look(thing[name]);
  };
  look(value);
  return texts.join('\n');
}

/** Cause a failure in a pool and in one process, and return everything that they report as text. */
async function everythingReported({ request = { user_id: CUE }, ...options }) {
  const reported = [];
  const pool = createPool({ size: 1, random: () => 0, ...options, onEvent: (event) => reported.push(event) });
  reported.push(await pool.ready().catch((failure) => failure));
  reported.push(await pool.runPythonInference(request, { timeoutMs: TIMEOUT_MS }).catch((failure) => failure));
  reported.push(pool.stats(), pool);
  await pool.close();
  reported.push(await runPythonInference(request, { ...options, timeoutMs: TIMEOUT_MS }).catch((failure) => failure));
  const failures = reported.filter((thing) => thing instanceof Error);
  assert.ok(failures.length > 0, 'nothing went wrong');
  return reported.map(textOf).join('\n');
}

const FAULTS = [
  ...['leave:1', 'leave:78', 'signal:SIGSEGV', 'print', 'only-unknown-id', 'crossed-user', 'not-json', 'not-utf8', 'array', 'truncated'],
  ...['no-items', 'huge:9', 'forge-log', 'segfault', 'memory', 'close-stdout', 'fail:internal', 'fail:settings', 'fail-unread:too_large'],
  ...['boot-leave:1', 'boot-leave:127', 'boot-refuse:settings', 'boot-protocol:99', 'boot-banner:3', 'die-when-ready'],
];

for (const fault of FAULTS) {
  test(`no report of ${fault} contains a secret`, async () => {
    const reported = await everythingReported(double(fault, { env }));

    assert.ok(!reported.includes(MARKER));
  });
}

const notExecutable = path.join(folder, 'python');
writeFileSync(notExecutable, '');

for (const [what, options] of [
  ['no interpreter', { python: path.join(folder, 'absent') }],
  ['an interpreter that may not be executed', { python: notExecutable }],
  ['no process', { spawn: failingSpawn('EAGAIN') }],
  ['no script', { script: path.join(folder, 'absent.py') }],
  ['a request that is no object', { request: null }],
  ['a request that is no JSON', { request: { user_id: NaN } }],
  ['a request that is too large', { request: { user_id: 1, context: { note: 'x'.repeat(2 ** 20) } } }],
]) {
  test(`no report of ${what} contains a secret`, async () => {
    const reported = await everythingReported({ ...double('', { env }), ...options });

    assert.ok(!reported.includes(MARKER));
  });
}

// The real recommend_api.py without a version: it reports what is wrong with a setting, but not its value.
const { DATABASE_URL: _, ...withoutUrl } = env;
for (const [what, environ] of [
  ['a database that refuses', env],
  ['a database named by its parts', withoutUrl],
  ['a scheme that is none', { ...env, DATABASE_URL: `nonsense://root:${MARKER}@127.0.0.1/shop` }],
  ['an option that is none', { ...env, DATABASE_URL: `mysql+pymysql://root:${MARKER}@127.0.0.1/shop?colour=red` }],
  ['a PostgreSQL that refuses', { ...env, DATABASE_URL: `postgresql+psycopg://root:${MARKER}@127.0.0.1:1/shop` }],
]) {
  test(`recommend_api.py reports no secret: ${what}`, async () => {
    const script = path.join(REPOSITORY, 'recommend_api.py');
    const MODELS_DIR = path.join(folder, 'models');
    const reported = await everythingReported({ python: PYTHON, script, env: { ...environ, MODELS_DIR }, request: { user_id: 1 } });

    assert.ok(!reported.includes(MARKER));
  });
}

test('a secret in a report would be found', async () => {
  for (const hidden of [new Error('x', { cause: new Error(MARKER) }), { a: [{ b: MARKER }] }, Object.defineProperty({}, 'c', { value: MARKER })]) {
    assert.ok(textOf(hidden).includes(MARKER));
  }
});
