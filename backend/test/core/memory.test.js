/** Answers that many requests share: kept, forgotten, and forgotten while they are under way. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { AnswerMemory } from '../../src/services/recommendations/memory.js';
import { settled } from '../fakes.js';

const OPTIONS = { limit: 10, published: null };

/** Return a memory, the function that asks it, and what its client was sent; `arrive` lets the client answer a request by its number. */
function stage() {
  const requests = [];
  const client = { request: (request) => new Promise((resolve) => requests.push({ request, resolve })) };
  const memory = new AnswerMemory(/** @type {any} */ (client));
  const ask = (key = 'user 7', more = {}) => memory.answerTo(key, { op: 'again' }, { ...OPTIONS, ...more });
  const arrive = (number) => requests[number].resolve(`answer ${number}`);
  return { memory, ask, requests, arrive };
}

/** Ask, and let the client have the request. */
async function begun(ask, ...parameters) {
  const answer = ask(...parameters);
  await settled();
  return { answer };
}

test('requests share an answer that is under way, and later ones get it from memory', async () => {
  const { ask, requests, arrive } = stage();
  const [first, second] = [await begun(ask), await begun(ask)];
  arrive(0);
  assert.deepEqual([await first.answer, await second.answer, await ask(), requests.length], ['answer 0', 'answer 0', 'answer 0', 1]);
});

test('an answer that arrives after it was forgotten is given to who asked for it, and not kept', async () => {
  const { memory, ask, requests, arrive } = stage();
  const early = await begun(ask);
  memory.forget('user 7');
  arrive(0);
  assert.equal(await early.answer, 'answer 0');
  const late = await begun(ask);
  arrive(1);
  assert.deepEqual([await late.answer, await ask(), requests.length], ['answer 1', 'answer 1', 2]);
});

for (const order of [[0, 1], [1, 0]]) {
  test(`whoever asks after it was forgotten gets a newer answer, also if they arrive in the order ${order}`, async () => {
    const { memory, ask, requests, arrive } = stage();
    const early = await begun(ask);
    memory.forget('user 7');
    const late = await begun(ask);
    for (const number of order) {
      arrive(number);
      await settled();
    }
    assert.deepEqual([await early.answer, await late.answer, await ask(), requests.length], ['answer 0', 'answer 1', 'answer 1', 2]);
  });
}

test('answers of every length are forgotten, and none of another key', async () => {
  const { memory, ask, requests, arrive } = stage();
  const answers = [await begun(ask), await begun(ask, 'user 7', { limit: 90 }), await begun(ask, 'user 77')];
  memory.forget('user 7');
  for (const number of [0, 1, 2]) arrive(number);
  await Promise.all(answers.map(({ answer }) => answer));
  assert.equal(await ask('user 77'), 'answer 2');
  const late = await begun(ask);
  arrive(3);
  assert.deepEqual([await late.answer, requests.length], ['answer 3', 4]);
});

test('a new answer is not from memory, is shared while it is under way, and is kept', async () => {
  const { ask, requests, arrive } = stage();
  const kept = await begun(ask);
  arrive(0);
  await kept.answer;
  const isNew = { isNew: true };
  const [first, second] = [await begun(ask, 'user 7', isNew), await begun(ask, 'user 7', isNew)];
  assert.equal(await ask(), 'answer 0');
  arrive(1);
  assert.deepEqual([await first.answer, await second.answer, await ask(), requests.length], ['answer 1', 'answer 1', 'answer 1', 2]);
});
