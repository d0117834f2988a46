import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createSeen } from '../../src/lib/seen.js';
import { fakeClock } from './fakes.js';

function setUp() {
  const clock = fakeClock();
  const told = [];
  const seen = createSeen({ tell: (list) => told.push(list), setTimer: clock.setTimer, clearTimer: clock.clearTimer });
  return { seen, told, clock, see: (answer, id, position) => seen.see(id, { recommendationId: answer, position }) };
}

test('what was seen in a moment is told together, by answer, and each product once', async () => {
  const { see, told, clock } = setUp();
  for (const [answer, id, position] of [['a', '7', 1], ['a', '8', 2], ['b', '7', 1], ['a', '7', 1]]) see(answer, id, position);
  assert.deepEqual(told, []);
  await clock.pass(1000);
  const expected = [
    { recommendation_id: 'a', shown: [{ productId: '7', position: 1 }, { productId: '8', position: 2 }] },
    { recommendation_id: 'b', shown: [{ productId: '7', position: 1 }] },
  ];
  assert.deepEqual(told, expected);
  see('a', '7', 1);
  await clock.pass(5000);
  assert.deepEqual(told, expected);
});

test('a page that is left tells at once, and nothing twice', async () => {
  const { seen, see, told, clock } = setUp();
  see('a', '7', 1);
  seen.flush();
  seen.flush();
  await clock.pass(5000);
  assert.deepEqual(told, [{ recommendation_id: 'a', shown: [{ productId: '7', position: 1 }] }]);
});
