/** Python processes: launch, environment, interpreter, stderr, memory, and what their end means. */
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

import { exitFailure } from '../src/services/python/failures.js';
import {
  ALLOWED_VARIABLES,
  childEnvironment,
  findPython,
  launchFingerprint,
  launchPlan,
} from '../src/services/python/launch.js';
import { residentBytes, StderrRing } from '../src/services/python/process.js';
import { runPythonInference } from '../src/services/pythonInvoker.js';
import { REPOSITORY } from './harness.js';

const folder = mkdtempSync(path.join(tmpdir(), 'process-'));

/** Write an executable that prints a path as its own, and return where it is. */
function program(name, prints = name) {
  const file = path.join(folder, name);
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, `#!/bin/sh\necho ${prints}\n`);
  chmodSync(file, 0o755);
  return file;
}

test('a child gets the shop’s variables and basic ones, and no secret', () => {
  const environ = {
    PATH: '/bin',
    DATABASE_URL: 'sqlite:///shop',
    DB_PASS: 'x',
    MODELS_DIR: 'm',
    JWT_SECRET: 's',
    AWS_SECRET_ACCESS_KEY: 's',
  };

  assert.deepEqual(childEnvironment(environ), { DATABASE_URL: 'sqlite:///shop', DB_PASS: 'x', MODELS_DIR: 'm', PATH: '/bin' });
});

test('the allowed variables are these', { skip: process.platform === 'win32' && 'Windows has a list of its own' }, () => {
  assert.deepEqual(
    [...ALLOWED_VARIABLES].sort().join(' '),
    'DATABASE_URL DB_DATABASE_NAME DB_HOST DB_NAME DB_PASS DB_PASSWORD DB_PORT DB_USER DB_USERNAME HOME LANG LC_ALL LC_CTYPE ' +
      'LD_LIBRARY_PATH LOGNAME MODELS_DIR PATH RECSYS_TOML SCORING_THREADS SHELL TERM TMPDIR TZ USER',
  );
});

test('a value that old shells would run is dropped', () => {
  assert.deepEqual(childEnvironment({ HOME: '() { :; }; echo', USER: 'me' }), { USER: 'me' });
});

for (const name of ALLOWED_VARIABLES) {
  test(`an empty ${name} counts as unset, as in Python`, () => {
    assert.deepEqual(childEnvironment({ [name]: '' }), {});
    assert.deepEqual(childEnvironment({ [name]: 'x' }), { [name]: 'x' });
  });
}

test('PYTHON_BIN comes first, as a path or a name', async () => {
  const python = program('named/python3.13');
  const PATH = path.dirname(python);

  assert.equal(await findPython({ root: folder, environ: { PYTHON_BIN: python, PATH } }), python);
  assert.equal(await findPython({ root: folder, environ: { PYTHON_BIN: 'named/python3.13', PATH: '' } }), python);
  assert.equal(await findPython({ root: '/', environ: { PYTHON_BIN: 'python3.13', PATH } }), python);
});

test('next are the repository’s .venv, python3, python and py', async () => {
  const py = program('p/py');
  const find = () =>
    findPython({ root: folder, environ: { PATH: [path.join(folder, 'absent'), path.join(folder, 'p')].join(path.delimiter) } });

  assert.equal(await find(), py);
  const python = program('p/python');
  assert.equal(await find(), python);
  const python3 = program('p/python3');
  assert.equal(await find(), python3);
  const venv = program('.venv/bin/python');
  assert.equal(await find(), venv);
});

test('a shim is run once to find the real interpreter', async () => {
  const real = program('versions/3.13/bin/python3');
  program('shims/python3', real);
  const find = () => findPython({ root: '/', environ: { PATH: path.join(folder, 'shims') } });

  assert.equal(await find(), real);
  program('shims/python3', '/changed');
  assert.equal(await find(), real);
});

test('a shim without an interpreter is ignored', async () => {
  program('other/shims/python3', '/no/such/python');
  const python = program('beside/python3');
  const PATH = [path.join(folder, 'other', 'shims'), path.dirname(python)].join(path.delimiter);

  assert.equal(await findPython({ root: '/', environ: { PATH } }), python);
});

test('a shim that hangs ends at the deadline', async () => {
  const shim = program('slow/shims/python3');
  writeFileSync(shim, '#!/bin/sh\nexec /bin/sleep 1\n');
  const start = performance.now();

  await assert.rejects(runPythonInference({}, { script: '/script.py', env: { PATH: path.dirname(shim) }, timeoutMs: 100 }), {
    reason: 'deadline',
  });
  assert.ok(performance.now() - start < 900);
});

test('the current folder is not searched', async () => {
  program('cwd/python3');
  await assert.rejects(findPython({ root: '/', environ: { PATH: `cwd${path.delimiter}.${path.delimiter}` } }), { reason: 'no_python' });
});

test('the command line is fixed: isolated, UTF-8, the script by its absolute path', async () => {
  const python = program('plan/python3');
  const plan = await launchPlan({ python, script: 'somewhere/script.py', env: { JWT_SECRET: 's', USER: 'me' } }, ['--worker']);

  assert.deepEqual(plan, {
    command: python,
    args: ['-I', '-X', 'utf8', path.resolve('somewhere/script.py'), '--worker'],
    cwd: path.resolve('somewhere'),
    env: { USER: 'me' },
  });
});

test('scoringThreads is passed as a variable, and precedes it', async () => {
  const threads = async (options) => (await launchPlan({ python: process.execPath, ...options }, [])).env.SCORING_THREADS;

  assert.equal(await threads({ env: {} }), undefined);
  assert.equal(await threads({ env: { SCORING_THREADS: '3' } }), '3');
  assert.equal(await threads({ env: { SCORING_THREADS: '3' }, scoringThreads: 1 }), '1');
});

test('by default the repository’s recommend_api.py is launched', async () => {
  const { args, cwd, env } = await launchPlan({}, []);

  assert.deepEqual([args.at(-1), cwd], [path.join(REPOSITORY, 'recommend_api.py'), path.resolve(REPOSITORY)]);
  assert.equal(env.PATH, process.env.PATH);
  assert.equal(launchFingerprint({}), launchFingerprint({ script: args.at(-1) }));
});

test('the memory of a running process is known', { skip: process.platform !== 'linux' && 'only Linux has /proc' }, () => {
  assert.ok(residentBytes(process.pid) > 2 ** 20);
  assert.equal(residentBytes(2 ** 30), 0);
});

const fingerprint = (root, env) => launchFingerprint({ script: path.join(root, 'recommend_api.py'), env });

test('the fingerprint depends on every file that a start reads', () => {
  const root = mkdtempSync(path.join(folder, 'root-'));
  const fingerprints = new Set([fingerprint(root, {})]);
  const change = (file, text) => {
    mkdirSync(path.dirname(path.join(root, file)), { recursive: true });
    writeFileSync(path.join(root, file), text);
    fingerprints.add(fingerprint(root, {}));
  };
  change('models/CURRENT', 'one');
  change('models/CURRENT', 'another');
  change('recsys.toml', '');
  change('.env', "export MODELS_DIR='elsewhere'\n");
  change('elsewhere/CURRENT', 'one');
  change('models/CURRENT', 'no longer watched');

  assert.equal(fingerprints.size, 6);
  assert.notEqual(fingerprint(root, { MODELS_DIR: 'models' }), fingerprint(root, {}));
});

for (const [name, file] of [
  ['MODELS_DIR', 'models/CURRENT'],
  ['RECSYS_TOML', 'recsys.toml'],
]) {
  test(`an empty ${name} gives the same fingerprint as none`, () => {
    const root = mkdtempSync(path.join(folder, 'root-'));
    const before = fingerprint(root, { [name]: '' });
    mkdirSync(path.dirname(path.join(root, file)), { recursive: true });
    writeFileSync(path.join(root, file), 'x');

    assert.notEqual(fingerprint(root, { [name]: '' }), before);
    assert.equal(fingerprint(root, { [name]: '' }), fingerprint(root, {}));
  });
}

test('an empty PYTHON_BIN gives the same fingerprint as none', () => {
  assert.equal(launchFingerprint({ env: { PYTHON_BIN: '' } }), launchFingerprint({ env: {} }));
});

test('an empty MODELS_DIR in .env does not read the next line', () => {
  const root = mkdtempSync(path.join(folder, 'root-'));
  writeFileSync(path.join(root, '.env'), 'MODELS_DIR=\nSECRET=elsewhere\n');
  const before = fingerprint(root, {});
  mkdirSync(path.join(root, 'models'));
  writeFileSync(path.join(root, 'models', 'CURRENT'), 'one');

  assert.notEqual(fingerprint(root, {}), before);
});

test('stderr keeps its newest 64 KiB', () => {
  const ring = new StderrRing();
  for (let line = 0; line < 100_000; line += 1) ring.push(Buffer.from(`line ${line}\n`));

  assert.equal(ring.bytes, 65_536);
  assert.ok(ring.tail().endsWith('line 99998\\nline 99999'));
  assert.equal(ring.tail().length, 4000);
});

test('of a piece larger than the ring the end stays', () => {
  const ring = new StderrRing();
  ring.push(Buffer.from('before'));
  ring.push(Buffer.concat([Buffer.alloc(100_000, 'x'), Buffer.from('the end')]));

  assert.equal(ring.bytes, 65_536);
  assert.ok(ring.tail().endsWith('xthe end'));
});

test('the ring returns the newest bytes of any pieces', () => {
  const ring = new StderrRing();
  let all = '';
  for (let piece = 1; piece < 700; piece += 1) {
    all += String.fromCharCode(97 + (piece % 26)).repeat(piece);
    ring.push(Buffer.from(all.slice(-piece)));
  }

  assert.equal(ring.tail(), all.slice(-4000));
});

for (const [written, shown] of [
  ['plain', 'plain'],
  ['one\r\ntwo\rthree\n', 'one\\ntwo\\nthree'],
  ['\u001b[1;31mred\u001b[0m \u001b]8;;http://x\u0007link\u001b]8;;\u001b\\', 'red link'],
  ['a\u0000b\u0007c\u007fd\u0085e\u009bf', 'abcdef'],
  ['\u202eright to left\u2066 \u2028next', 'right to left next'],
  ['café 🍯', 'café 🍯'],
  ['\u001b', ''],
]) {
  test(`on stderr ${JSON.stringify(written)} shows as ${JSON.stringify(shown)}`, () => {
    const ring = new StderrRing();
    ring.push(Buffer.from(written));

    assert.equal(ring.tail(), shown);
  });
}

test('only the watchdog’s words at the start of a line count', () => {
  const watchdog = new StderrRing();
  watchdog.push(Buffer.from('a banner\nTimeout (0:00:01)!\nThread 0x1 (most recent call first):\n'));
  const other = new StderrRing();
  other.push(Buffer.from('ConnectTimeout (0:00:01)\n'));

  assert.deepEqual([watchdog.hasTimeout, other.hasTimeout], [true, false]);
  const reason = (stderr) => exitFailure({ exitCode: 1, signal: null, error: null, stderr }).reason;
  assert.deepEqual([reason(watchdog), reason(other)], ['deadline', 'crashed']);
});
