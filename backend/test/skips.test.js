/** Skipped tests are listed with their reasons, and fail on CI. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const REPORTER = fileURLToPath(new URL('skips.js', import.meta.url));
const SKIPPING = "import { test } from 'node:test'; test('one', { skip: 'no moon' }, () => {}); test('two', (t) => t.skip('no sun'));";
const WHOLE = "import { test } from 'node:test'; test('one', () => {});";

function run(source, CI) {
  const folder = mkdtempSync(path.join(tmpdir(), 'skips-'));
  try {
    const file = path.join(folder, 'it.test.mjs');
    writeFileSync(file, source);
    const { NODE_TEST_CONTEXT: _, ...env } = process.env; // or it would report to this run
    const args = ['--test', `--test-reporter=${REPORTER}`, '--test-reporter-destination=stdout', file];
    const { status, stdout } = spawnSync(process.execPath, args, { env: { ...env, CI }, encoding: 'utf8' });
    return { status, stdout };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test('a skipped test is listed with its reason', () => {
  assert.deepEqual(run(SKIPPING, ''), { status: 0, stdout: '\nskipped:\n  one: no moon\n  two: no sun\n' });
});

test('a skipped test fails the run on CI', () => {
  assert.deepEqual(run(SKIPPING, 'true'), { status: 1, stdout: '\nskipped, which CI refuses:\n  one: no moon\n  two: no sun\n' });
});

test('a run without skipped tests lists none', () => {
  assert.deepEqual(run(WHOLE, 'true'), { status: 0, stdout: '' });
});
