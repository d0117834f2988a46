/** The declarations agree with the modules. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

import * as invoker from '../src/services/pythonInvoker.js';

const MODULE = new URL('../src/services/pythonInvoker.js', import.meta.url);
const DECLARED = readFileSync(new URL('../src/services/pythonInvoker.d.ts', import.meta.url), 'utf8');

/** Return the names of an interface's members. */
function membersOf(name) {
  return [...new RegExp(`interface ${name} [^{]*{\n(.+?)^}`, 'ms').exec(DECLARED)[1].matchAll(/^ {2}(\w+)\??[:(]/gm)].map(
    ([, member]) => member,
  );
}

/** Return the names that a module imports. */
function importsOf(href) {
  return [...readFileSync(new URL(href), 'utf8').matchAll(/(?:\bfrom|^import|\bimport\()\s*['"]([^'"]+)['"]/gm)].map(([, name]) => name);
}

test('exactly the exports are declared', () => {
  const declared = [...DECLARED.matchAll(/^export (?:function|class|const) (\w+)/gm)].map(([, name]) => name);

  assert.deepEqual(declared.sort(), Object.keys(invoker).sort());
});

test('the declared statistics are those of a pool', async () => {
  const pool = invoker.createPool({ size: 0 });
  const { workers, ...stats } = pool.stats();

  assert.deepEqual(membersOf('PoolStats').sort(), ['workers', ...Object.keys(stats)].sort());
  assert.deepEqual(workers, []);
  await pool.close();
});

test('a pool has the declared methods', async () => {
  const pool = invoker.createPool({ size: 0 });
  for (const method of membersOf('Pool')) assert.equal(typeof pool[method], 'function', method);
  await pool.close();
});

test('a failure has the declared fields', () => {
  const failure = new invoker.PythonBridgeError('crashed', 'ended by SIGKILL');
  for (const [, field] of /class PythonBridgeError[^{]+{(.+?)^}/ms.exec(DECLARED)[1].matchAll(/readonly (\w+)/g)) {
    assert.notEqual(failure[field], undefined, field);
  }
});

test('a CommonJS module can require it', { skip: !process.features.require_module && 'this Node cannot require ES modules' }, () => {
  assert.equal(typeof createRequire(import.meta.url)(fileURLToPath(MODULE)).createPool, 'function');
});

test('it needs only Node', () => {
  const reached = new Set([MODULE.href]);
  for (const file of reached) {
    for (const name of importsOf(file)) {
      if (name.startsWith('.')) reached.add(new URL(name, file).href);
      else assert.match(name, /^node:/, file);
    }
  }
  assert.ok(reached.has(new URL('python/worker.js', MODULE).href));
  const ask = `import(${JSON.stringify(MODULE.href)}).then(() => console.log('loaded'))`;
  assert.equal(execFileSync(process.execPath, ['--no-warnings', '-e', ask], { cwd: '/', encoding: 'utf8' }), 'loaded\n');
});
