/** Every program prints help, or refuses unknown arguments, and does nothing else. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { VARIABLES } from '../src/config/settings.js';

const BACKEND = fileURLToPath(new URL('../', import.meta.url));
const SERVER = 'src/server.js';
const IN_FOLDERS = ['bench', 'scripts'].flatMap((folder) => readdirSync(path.join(BACKEND, folder)).map((name) => `${folder}/${name}`));
const PROGRAMS = [SERVER, ...IN_FOLDERS.filter((name) => name.endsWith('.js'))];
const FOLDER = mkdtempSync(path.join(tmpdir(), 'help-'));
const SPOOL_DIR = path.join(FOLDER, 'spool');
const WRITTEN = ['../docs/PERFORMANCE.md', 'src/services/contract.d.ts'].map((name) => path.join(BACKEND, name));
after(() => rmSync(FOLDER, { recursive: true, force: true }));

/** Run a program with all its settings, but without a Python. */
function run(program, ...args) {
  const { HOME, PATH } = process.env;
  const settings = { DATABASE_URL: `sqlite:///${FOLDER}/none.sqlite`, JWT_SECRET: 's'.repeat(32), PORT: '0', SPOOL_DIR, PYTHON_BIN: path.join(FOLDER, 'none') };
  return spawnSync(process.execPath, [path.join(BACKEND, program), ...args], { env: { HOME, PATH, ...settings }, encoding: 'utf8', timeout: 30_000 });
}

for (const program of PROGRAMS) {
  for (const flag of ['--help', '-h']) {
    test(`${program} ${flag} prints help, exits with 0 and does nothing`, () => {
      const before = WRITTEN.map((file) => statSync(file).mtimeMs);
      const { status, stdout, stderr } = run(program, flag);

      assert.deepEqual([status, stderr], [0, '']);
      assert.match(stdout, new RegExp(`node ${program}`));
      assert.ok(!existsSync(SPOOL_DIR));
      assert.deepEqual(WRITTEN.map((file) => statSync(file).mtimeMs), before);
    });
  }
}

for (const [program, args] of [
  [SERVER, ['--port', '80']],
  [SERVER, ['start']],
  [SERVER, ['--help=yes']],
  ['bench/page.js', ['--chekc']],
  ['bench/page.js', ['--check=1']],
  ['scripts/writeTypes.js', ['--check']],
]) {
  test(`${program} ${args.join(' ')} exits with 64 and one line`, () => {
    const { status, stdout, stderr } = run(program, ...args);

    assert.deepEqual([status, stdout], [64, '']);
    assert.match(stderr, /^.+ --help says more\.\n$/);
    assert.ok(!existsSync(SPOOL_DIR));
  });
}

test('the server’s help has every variable, its default and the exit statuses', () => {
  const { stdout } = run(SERVER, '--help');
  for (const [name, { default: value, meaning }] of Object.entries(VARIABLES)) {
    const line = stdout.split('\n').find((one) => one.startsWith(`  ${name} `));
    assert.ok(line?.includes(meaning) && line.endsWith(value ? `(${value})` : meaning), name);
  }
  for (const status of [0, 1, 64, 78]) assert.match(stdout, new RegExp(`\\b${status}\\b`));
});
