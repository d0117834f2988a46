/** Requests out, answers in: what is sent, and what is taken for an answer. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import {
  budgetFor,
  EncodedRequest,
  MAX_REQUEST_BYTES,
  nextId,
  readObject,
  validateResponse,
} from '../src/services/python/protocol.js';
import { FAILURE_REASONS, PythonBridgeError } from '../src/services/pythonInvoker.js';

const refusal = (reason) => (error) => error instanceof PythonBridgeError && error.reason === reason;
const sent = (request) => JSON.parse(new EncodedRequest(request).line('n1', 800));

test('a request gets a mark and a budget of its own', () => {
  assert.deepEqual(sent({ user_id: 7, id: 'mine', budget_ms: 5 }), { id: 'n1', budget_ms: 800, user_id: 7 });
  assert.deepEqual(sent({}), { id: 'n1', budget_ms: 800 });
});

test('it is one line of text, whatever it holds', () => {
  const line = new EncodedRequest({ user_id: 'a\nb\u2028c' }).line('n1', 1).toString();

  assert.equal(line.indexOf('\n'), line.length - 1);
});

test('a number that JavaScript cannot hold is sent as text', () => {
  assert.equal(sent({ user_id: 9007199254740993n }).user_id, '9007199254740993');
});

for (const [what, request] of [
  ['nothing', undefined],
  ['null', null],
  ['a text', '{"user_id":7}'],
  ['a list', [7]],
  ['NaN, which JSON would make a guest of', { user_id: NaN }],
  ['an infinite limit', { user_id: 7, limit: Infinity }],
  ['NaN inside', { user_id: 7, candidates: [1, NaN] }],
  [
    'a circle',
    (() => {
      const circle = {};
      circle.self = circle;
      return circle;
    })(),
  ],
  ['an object that makes a text of itself', { toJSON: () => 'x' }],
]) {
  test(`${what} is no request`, () => {
    assert.throws(() => new EncodedRequest(request), refusal('invalid_request'));
  });
}

test('a request beyond the limit of bytes is not sent', () => {
  const padding = MAX_REQUEST_BYTES - new EncodedRequest({ note: '' }).bytes;

  assert.equal(new EncodedRequest({ note: 'x'.repeat(padding) }).bytes, MAX_REQUEST_BYTES);
  assert.throws(() => new EncodedRequest({ note: 'x'.repeat(padding + 1) }), refusal('too_large'));
  assert.throws(() => new EncodedRequest({ note: 'é'.repeat(MAX_REQUEST_BYTES / 2) }), refusal('too_large'));
});

test('its line is never longer than it says', () => {
  const encoded = new EncodedRequest({ user_id: 7 });

  assert.ok(encoded.line(`n${Number.MAX_SAFE_INTEGER}`, 600_000).length <= encoded.bytes);
});

test('the digest is that of the question: neither mark nor budget change it', () => {
  const digest = (request) => new EncodedRequest(request).digest;

  assert.equal(digest({ user_id: 7, id: 1, budget_ms: 1 }), digest({ user_id: 7, id: 2 }));
  assert.notEqual(digest({ user_id: 7 }), digest({ user_id: 8 }));
});

test('no two requests have the same mark', () => {
  assert.notEqual(nextId(), nextId());
});

test('the budget is what is left less a margin of 5 to 50 ms, in whole milliseconds', () => {
  assert.deepEqual([800, 10_000, 60.5, 3, -5].map(budgetFor), [760, 9950, 55, 1, 1]);
  assert.equal(budgetFor(10_000_000), 600_000);
});

const LISTING = { ok: true, model: 'BMF', model_version: 'v1', source: 'model', items: [], runs: [], warnings: [] };

function proven(request, document, id = 'n1') {
  return validateResponse(document, { id, encoded: new EncodedRequest(request) });
}

for (const [asked, answered, isOurs] of [
  [7, 7, true],
  ['7', 7, true],
  [7, '7', true],
  ['a', 'a', true],
  [9007199254740993n, '9007199254740993', true],
  [7, 8, false],
  ['7', '07', false],
  ['é', 'e\u0301', false],
  [7, null, false],
  [undefined, 7, false],
  [undefined, null, true],
  [0, null, false],
  ['', null, false],
]) {
  test(`an answer for ${JSON.stringify(answered)} ${isOurs ? 'is' : 'is not'} one for ${String(asked)}`, () => {
    const prove = () => proven({ user_id: asked }, { ...LISTING, id: 'n1', user_id: answered });
    if (isOurs) assert.equal(prove().user_id, answered);
    else assert.throws(prove, refusal('crossed_answer'));
  });
}

test('items like one item are for whoever asked, or for nobody in particular', () => {
  const similar = { op: 'similar', item_id: 1, user_id: '07' };

  assert.ok(proven(similar, { ...LISTING, id: 'n1', user_id: null }));
  assert.throws(() => proven(similar, { ...LISTING, id: 'n1', user_id: 8 }), refusal('crossed_answer'));
});

for (const [what, changes] of [
  ['items are no list', { items: {} }],
  ['an item is null', { items: [null] }],
  ['an item has no product', { items: [{ score: 1 }] }],
  ['a product is beyond what JavaScript holds', { items: [{ productId: 2 ** 53, score: 1 }] }],
  ['a score is text', { items: [{ productId: 1, score: '1' }] }],
  ['runs are missing', { runs: undefined }],
  ['warnings are text', { warnings: 'none' }],
  ['the model is missing', { model: undefined }],
  ['the version is missing', { model_version: undefined }],
  ['the source is unknown', { source: 'guess' }],
  ['ok is 1', { ok: 1 }],
]) {
  test(`an answer is none of the contract where ${what}`, () => {
    assert.throws(() => proven({ user_id: 7 }, { ...LISTING, id: 'n1', user_id: 7, ...changes }), refusal('bad_answer'));
  });
}

test('fields that this version does not know are let through', () => {
  const answer = proven({ user_id: 7 }, { ...LISTING, id: 'n1', user_id: 7, ms: 1, novelty: true });

  assert.deepEqual([answer.novelty, answer.ms], [true, 1]);
});

test('a name that JavaScript treats in its own way does no harm', () => {
  const answer = proven({ user_id: '__proto__' }, readObject(Buffer.from(JSON.stringify({ ...LISTING, id: 'n1', user_id: '__proto__' }))));

  assert.equal(answer.user_id, '__proto__');
  assert.equal({}.ok, undefined);
});

test('a failure without a mark is told to the request that is being answered, one with another mark to nobody', () => {
  const failure = { ok: false, error: { code: 'too_large', message: 'The request should be smaller.', retryable: false } };

  assert.throws(() => proven({ user_id: 7 }, failure), refusal('too_large'));
  assert.throws(() => proven({ user_id: 7 }, { ...failure, id: 'n2' }), refusal('crossed_answer'));
});

for (const text of ['', ' ', '7', 'null', '[]', '"x"', '{', '{}{}', "{'a': 1}", 'NaN', '\ufeff\ufeff{}']) {
  test(`${JSON.stringify(text)} is no JSON object`, () => {
    assert.throws(() => readObject(Buffer.from(text)), refusal('bad_answer'));
  });
}

test('the reasons are a closed set', () => {
  assert.ok(Object.isFrozen(FAILURE_REASONS));
  assert.equal(new Set(FAILURE_REASONS).size, FAILURE_REASONS.length);
});
