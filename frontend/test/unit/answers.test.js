import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createAnswers, keyOf } from '../../src/lib/answers.js';
import { LIST, askEarly } from '../../src/lib/paths.js';
import { routeOf } from '../../src/lib/router.js';

const { signal } = new AbortController();

function setUp(read) {
  const clock = { now: 0 };
  return { clock, answers: createAnswers({ read }, () => clock.now) };
}

test('an early answer is known when it is there, and given to the first who asks, once', async () => {
  let count = 0;
  const { answers } = setUp(async () => (count += 1));
  await answers.askEarly('key', '/path');
  assert.equal(answers.known('key').content, 1);
  assert.equal(await answers.ask('key', '/path', signal), 1);
  assert.equal(await answers.ask('key', '/path', signal), 2);
  assert.equal(answers.known('key').content, 2);
});

test('an early failure is told to the first who asks, and the next one asks anew', async () => {
  const outcomes = [Promise.reject(new Error('offline')), Promise.resolve('an answer')];
  const { answers } = setUp(() => outcomes.shift());
  await answers.askEarly('key', '/path');
  assert.equal(answers.known('key'), undefined);
  await assert.rejects(answers.ask('key', '/path', signal), /offline/);
  assert.equal(await answers.ask('key', '/path', signal), 'an answer');
});

test('an early answer that nobody asked for in time is not used', async () => {
  let count = 0;
  const { answers, clock } = setUp(async () => (count += 1));
  await answers.askEarly('key', '/path');
  clock.now = 10_000;
  assert.equal(await answers.ask('key', '/path', signal), 2);
});

for (const [address, query, visitor, keys] of [
  ['/', '', '', [` ${LIST}`, '/api/products?sort=popular&limit=10']],
  ['/', '?category=a%26b', '7', [`7 ${LIST}`, '/api/products?sort=popular&limit=10&category=a%26b']],
  ['/p/a%2Fb', '', '7', ['/api/products/a%2Fb']],
  ['/cart', '', '7', []],
  ['/admin', '', '7', []],
]) {
  test(`what ${address}${query} asks for early`, async () => {
    const asked = [];
    await askEarly({ askEarly: async (key) => asked.push(key) }, routeOf(address, query), visitor);
    assert.deepEqual(asked, keys);
  });
}

test('a personal answer has another key for each visitor', () => {
  assert.equal(new Set([keyOf('/path', null), keyOf('/path', ''), keyOf('/path', '7'), keyOf('/path', '8')]).size, 4);
});
