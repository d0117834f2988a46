/** Places, which a limited number of holders have, in order and for a time; and results that callers share. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Semaphore, SingleFlight } from '../../src/concurrency/sharing.js';
import { TooLate } from '../../src/concurrency/time.js';

const LONG_MS = 60_000;

/** Note who has come in, and let one of them go. */
function door(places) {
  const inside = [];
  const releases = [];
  const come = (name, ms = LONG_MS) =>
    places.acquire(ms).then((release) => {
      inside.push(name);
      releases.push(release);
    });
  return { inside, come, leave: () => releases.shift()() };
}

test('a released place goes to the longest waiting caller', async () => {
  const places = new Semaphore(2);
  const { inside, come, leave } = door(places);
  await Promise.all([come('a'), come('b')]);
  const waiting = [come('c'), come('d')];
  assert.deepEqual(inside, ['a', 'b']);
  leave();
  await waiting[0];
  assert.deepEqual(inside, ['a', 'b', 'c']);
  leave();
  await waiting[1];
  assert.deepEqual(inside, ['a', 'b', 'c', 'd']);
});

test('a caller that timed out gets no place, and none is lost', async () => {
  const places = new Semaphore(1);
  const { inside, come, leave } = door(places);
  await come('a');
  await assert.rejects(come('b', 1), TooLate);
  const waiting = come('c');
  leave();
  await waiting;
  leave();
  await come('d');
  assert.deepEqual(inside, ['a', 'c', 'd']);
});

test('a place released twice is free once', async () => {
  const places = new Semaphore(1);
  const { inside, come } = door(places);
  const release = await places.acquire(LONG_MS);
  release();
  release();
  await come('a');
  await assert.rejects(come('b', 1), TooLate);
  assert.deepEqual(inside, ['a']);
});

test('callers share a result while it is computed and young', async () => {
  const shared = new SingleFlight();
  let begun = 0;
  const compute = () => Promise.resolve((begun += 1));
  const results = [shared.run('a', compute), shared.run('a', compute, 0), shared.run('b', compute, 0), shared.run('b', compute, 0)];
  assert.deepEqual(await Promise.all(results), [1, 1, 2, 3]);
  assert.equal(shared.size, 0);
});
