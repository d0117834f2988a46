/** What becomes of the workers when the backend ends, in one way or another. */
import assert from 'node:assert/strict';
import { once } from 'node:events';

import { assertGone, faultTest, isAlive, startParent as start, untilBusy } from './harness.js';

faultTest('F40 after a SIGKILL of the backend idle workers are gone within a second', async ({ env }) => {
  const { parent, said: pids } = await start(['idle'], env);
  assert.equal(pids.filter(isAlive).length, 2);
  parent.kill('SIGKILL');

  await assertGone(pids);
});

faultTest('a backend that just exits takes even a busy worker with it', async ({ env }) => {
  const { parent, said: pids } = await start(['busy'], env);
  await untilBusy(pids[0]);
  parent.kill('SIGUSR2');

  assert.deepEqual(await once(parent, 'exit'), [0, null]);
  await assertGone(pids);
});

faultTest('F41 SIGTERM under load: what is computed finishes, the others fall back, and it leaves with 0 within 5 s', async ({ env }) => {
  const { parent, next, said: pids } = await start(['load'], env);
  await next(); // many were answered
  const start_ = performance.now();
  parent.kill('SIGTERM');
  const outcomes = await next();

  assert.deepEqual(await once(parent, 'exit'), [0, null]);
  assert.ok(performance.now() - start_ < 5000);
  assert.ok(outcomes[7] > 0, JSON.stringify(outcomes));
  assert.deepEqual(Object.keys(outcomes).sort(), ['7', 'closed']);
  await assertGone(pids);
});

faultTest('F43 without a free descriptor requests fall back; with some again they are answered', async ({ env }) => {
  const limited = ['/bin/sh', '-c', 'ulimit -n 64; exec "$@"', 'sh', process.execPath];
  const { parent, said } = await start(['descriptors'], env, limited);

  assert.deepEqual(said, { oneShot: 'spawn_failed', meanwhile: 'crashed', after: 3, again: 4 });
  if (parent.exitCode === null) await once(parent, 'exit');
});
