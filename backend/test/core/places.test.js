/** Places: so many at a time, in their order, and nobody waits longer than he would. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Places } from '../../src/concurrency/places.js';
import { TooLate } from '../../src/concurrency/withinMs.js';

const LONG_MS = 60_000;

/** Note who has come in. */
function door(places) {
  const inside = [];
  const come = (name, ms = LONG_MS) => places.enter(ms).then(() => inside.push(name));
  return { inside, come };
}

test('a place that is given back goes to the one who has waited longest', async () => {
  const places = new Places(2);
  const { inside, come } = door(places);
  await Promise.all([come('a'), come('b')]);
  const waiting = [come('c'), come('d')];
  assert.deepEqual(inside, ['a', 'b']);
  places.leave();
  await waiting[0];
  assert.deepEqual(inside, ['a', 'b', 'c']);
  places.leave();
  await waiting[1];
  assert.deepEqual(inside, ['a', 'b', 'c', 'd']);
});

test('who has gone away is given no place, and none is lost', async () => {
  const places = new Places(1);
  const { inside, come } = door(places);
  await come('a');
  await assert.rejects(come('b', 1), TooLate);
  const waiting = come('c');
  places.leave();
  await waiting;
  places.leave();
  await come('d');
  assert.deepEqual(inside, ['a', 'c', 'd']);
});
