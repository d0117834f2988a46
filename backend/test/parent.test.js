/** Workers after the end of the backend. */
import assert from 'node:assert/strict';
import { once } from 'node:events';

import { assertGone, faultTest, isAlive, startParent as start, untilBusy } from './harness.js';

faultTest('F40 after a SIGKILL of the backend idle workers are gone within a second', async ({ env }) => {
  const { parent, first: pids } = await start(['idle'], env);
  assert.equal(pids.filter(isAlive).length, 2);
  parent.kill('SIGKILL');

  await assertGone(pids);
});

faultTest('a busy worker ends with a backend that exits', async ({ env }) => {
  const { parent, first: pids } = await start(['busy'], env);
  await untilBusy(pids[0]);
  parent.kill('SIGUSR2');

  assert.deepEqual(await once(parent, 'exit'), [0, null]);
  await assertGone(pids);
});

faultTest('F41 after SIGTERM under load requests in flight are answered; exit 0 in 5 s', async ({ env }) => {
  const { parent, next, first: pids } = await start(['load'], env);
  await next(); // many were answered
  const startedAt = performance.now();
  parent.kill('SIGTERM');
  const outcomes = await next();

  assert.deepEqual(await once(parent, 'exit'), [0, null]);
  assert.ok(performance.now() - startedAt < 5000);
  assert.ok(outcomes[7] > 0, JSON.stringify(outcomes));
  assert.deepEqual(Object.keys(outcomes).sort(), ['7', 'closed']);
  await assertGone(pids);
});

faultTest('F43 without free descriptors requests fail; later they are answered', async ({ env }) => {
  const limited = ['/bin/sh', '-c', 'ulimit -n 64; exec "$@"', 'sh', process.execPath];
  const { parent, first } = await start(['descriptors'], env, limited);

  assert.deepEqual(first, { oneShot: 'spawn_failed', meanwhile: 'crashed', after: 3, again: 4 });
  if (parent.exitCode === null) await once(parent, 'exit');
});
