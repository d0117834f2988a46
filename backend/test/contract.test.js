/** The declarations agree with the contract: generated from its JSON Schema, and compiled with a shop's code. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { contract, CONTRACT } from '../scripts/writeTypes.js';
import { FAILURE_REASONS } from '../src/services/pythonInvoker.js';
import { REPOSITORY } from './harness.js';

const DECLARATIONS = readFileSync(new URL('../src/services/pythonInvoker.d.ts', import.meta.url), 'utf8');
const USE = fileURLToPath(new URL('declarations.ts', import.meta.url));
const TSC = fileURLToPath(new URL('../node_modules/.bin/tsc', import.meta.url));
const STRICTLY = ['--ignoreConfig', '--noEmit', '--strict', '--exactOptionalPropertyTypes', '--module', 'nodenext', '--target', 'es2023'];

test('contract.d.ts is what `npm run types` writes', async () => {
  assert.equal(readFileSync(CONTRACT, 'utf8'), await contract(), 'run `npm run types`');
});

test('the declarations accept valid code and nothing else', () => {
  const { stdout, status, error } = spawnSync(TSC, [...STRICTLY, USE], { encoding: 'utf8' });

  assert.deepEqual([stdout, status, error], ['', 0, undefined]);
});

test('the declared reasons are the contract’s codes and Node’s own', () => {
  const { $defs: definitions } = JSON.parse(readFileSync(path.join(REPOSITORY, 'docs', 'schema', 'response.json'), 'utf8'));
  const [, nodeReasons] = /type FailureReason =\n {2}\| Failure\['error'\]\['code'\]([^;]+);/.exec(DECLARATIONS);
  const declared = [...definitions.Failure.properties.error.properties.code.enum, ...[...nodeReasons.matchAll(/'(\w+)'/g)].map(([, name]) => name)];

  assert.deepEqual(declared.sort(), [...FAILURE_REASONS].sort());
});
