/** Whatever goes wrong, nothing that the bridge tells holds a secret: not its errors, not its events, not its figures. */
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
const TIMEOUT_MS = 2000; // for what never ends by itself, after a start on a busy machine
const SECRETS = {
  DATABASE_URL: `mysql+pymysql://root:${MARKER}@127.0.0.1:1/shop`,
  ...{ DB_HOST: '127.0.0.1', DB_PORT: '1', DB_NAME: 'shop', DB_USER: 'root', DB_PASSWORD: MARKER, DB_PASS: MARKER },
  ...{ JWT_SECRET: MARKER, JWT_SECRET_FILE: MARKER, AWS_SECRET_ACCESS_KEY: MARKER },
};
const env = { ...process.env, ...SECRETS };
const folder = mkdtempSync(path.join(tmpdir(), 'secrets-'));
process.on('exit', () => rmSync(folder, { recursive: true }));

/** Everything that can be read of a value, however it is logged: as JSON, by `inspect` with what does not show, and each field as text. */
function toldBy(value) {
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

/** Let something go wrong in a pool and in a process of its own, and return all that is told of it. */
async function everythingToldOf({ request = { user_id: CUE }, ...options }) {
  const told = [];
  const pool = createPool({ size: 1, random: () => 0, ...options, onEvent: (event) => told.push(event) });
  told.push(await pool.ready().catch((failure) => failure));
  told.push(await pool.runPythonInference(request, { timeoutMs: TIMEOUT_MS }).catch((failure) => failure));
  told.push(pool.stats(), pool);
  await pool.close();
  told.push(await runPythonInference(request, { ...options, timeoutMs: TIMEOUT_MS }).catch((failure) => failure));
  const failures = told.filter((thing) => thing instanceof Error);
  assert.ok(failures.length > 0, 'nothing went wrong');
  return told.map(toldBy).join('\n');
}

const FAULTS = [
  ...['leave:1', 'leave:78', 'signal:SIGSEGV', 'print', 'only-unknown-id', 'crossed-user', 'not-json', 'not-utf8', 'array', 'truncated'],
  ...['no-items', 'huge:9', 'forge-log', 'segfault', 'memory', 'close-stdout', 'fail:internal', 'fail:settings', 'fail-unread:too_large'],
  ...['boot-leave:1', 'boot-leave:127', 'boot-refuse:settings', 'boot-protocol:99', 'boot-banner:3', 'die-when-ready'],
];

for (const fault of FAULTS) {
  test(`nothing that is told of ${fault} holds a secret`, async () => {
    const told = await everythingToldOf(double(fault, { env }));

    assert.ok(!told.includes(MARKER));
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
  test(`nothing that is told of ${what} holds a secret`, async () => {
    const told = await everythingToldOf({ ...double('', { env }), ...options });

    assert.ok(!told.includes(MARKER));
  });
}

// The real door, which tells of itself before it has a version: what is wrong with the setting, and not the setting.
const { DATABASE_URL: _, ...withoutUrl } = env;
for (const [what, environ] of [
  ['a database that refuses', env],
  ['a database named by its parts', withoutUrl],
  ['a scheme that is none', { ...env, DATABASE_URL: `nonsense://root:${MARKER}@127.0.0.1/shop` }],
  ['an option that is none', { ...env, DATABASE_URL: `mysql+pymysql://root:${MARKER}@127.0.0.1/shop?colour=red` }],
  ['a PostgreSQL that refuses', { ...env, DATABASE_URL: `postgresql+psycopg://root:${MARKER}@127.0.0.1:1/shop` }],
]) {
  test(`nothing that the door tells of ${what} holds a secret`, async () => {
    const script = path.join(REPOSITORY, 'recommend_api.py');
    const MODELS_DIR = path.join(folder, 'models');
    const told = await everythingToldOf({ python: PYTHON, script, env: { ...environ, MODELS_DIR }, request: { user_id: 1 } });

    assert.ok(!told.includes(MARKER));
  });
}

test('a secret in anything that is told would be found', async () => {
  for (const hidden of [new Error('x', { cause: new Error(MARKER) }), { a: [{ b: MARKER }] }, Object.defineProperty({}, 'c', { value: MARKER })]) {
    assert.ok(toldBy(hidden).includes(MARKER));
  }
});
