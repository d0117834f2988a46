/** The protocol: requests as bytes, bytes as lines, and which documents are valid answers. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import {
  budgetFor,
  EncodedRequest,
  LineSplitter,
  MAX_REQUEST_BYTES,
  nextId,
  readObject,
  validateResponse,
} from '../src/services/python/protocol.js';
import { FAILURE_REASONS, PythonBridgeError } from '../src/services/pythonInvoker.js';
import { seeded } from './fakes.js';

const failing = (reason) => (error) => error instanceof PythonBridgeError && error.reason === reason;
const sent = (request) => JSON.parse(new EncodedRequest(request).line('n1', 800));

test('a request gets an id and a budget', () => {
  assert.deepEqual(sent({ user_id: 7, id: 'mine', budget_ms: 5 }), { id: 'n1', budget_ms: 800, user_id: 7 });
  assert.deepEqual(sent({}), { id: 'n1', budget_ms: 800 });
});

test('a request is one line, whatever it contains', () => {
  const line = new EncodedRequest({ user_id: 'a\nb\u2028c' }).line('n1', 1).toString();

  assert.equal(line.indexOf('\n'), line.length - 1);
});

test('a BigInt is sent as text', () => {
  assert.equal(sent({ user_id: 9007199254740993n }).user_id, '9007199254740993');
});

for (const [what, request] of [
  ['nothing', undefined],
  ['null', null],
  ['a text', '{"user_id":7}'],
  ['a list', [7]],
  ['NaN, which JSON would write as null', { user_id: NaN }],
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
  ['an object whose toJSON returns a text', { toJSON: () => 'x' }],
]) {
  test(`${what} is no request`, () => {
    assert.throws(() => new EncodedRequest(request), failing('invalid_request'));
  });
}

test('a request with too many bytes is not sent', () => {
  const padding = MAX_REQUEST_BYTES - new EncodedRequest({ note: '' }).bytes;

  assert.equal(new EncodedRequest({ note: 'x'.repeat(padding) }).bytes, MAX_REQUEST_BYTES);
  assert.throws(() => new EncodedRequest({ note: 'x'.repeat(padding + 1) }), failing('too_large'));
  assert.throws(() => new EncodedRequest({ note: 'é'.repeat(MAX_REQUEST_BYTES / 2) }), failing('too_large'));
});

test('a line is never longer than `bytes`', () => {
  const encoded = new EncodedRequest({ user_id: 7 });

  assert.ok(encoded.line(`n${Number.MAX_SAFE_INTEGER}`, 600_000).length <= encoded.bytes);
});

test('the digest depends on neither id nor budget', () => {
  const digest = (request) => new EncodedRequest(request).digest;

  assert.equal(digest({ user_id: 7, id: 1, budget_ms: 1 }), digest({ user_id: 7, id: 2 }));
  assert.notEqual(digest({ user_id: 7 }), digest({ user_id: 8 }));
});

test('no two requests have the same id', () => {
  assert.notEqual(nextId(), nextId());
});

test('the budget is the time left less 5 to 50 ms, in whole milliseconds', () => {
  assert.deepEqual([800, 10_000, 60.5, 3, -5].map(budgetFor), [760, 9950, 55, 1, 1]);
  assert.equal(budgetFor(10_000_000), 600_000);
});

const LISTING = { ok: true, model: 'BMF', model_version: 'v1', source: 'model', items: [], runs: [], warnings: [] };

function validated(request, document, id = 'n1') {
  return validateResponse(document, { id, encoded: new EncodedRequest(request) });
}

for (const [requestedUser, answeredUser, isValid] of [
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
  test(`an answer for ${JSON.stringify(answeredUser)} ${isValid ? 'is' : 'is not'} one for ${String(requestedUser)}`, () => {
    const validate = () => validated({ user_id: requestedUser }, { ...LISTING, id: 'n1', user_id: answeredUser });
    if (isValid) assert.equal(validate().user_id, answeredUser);
    else assert.throws(validate, failing('crossed_answer'));
  });
}

test('similar items are for the request’s user, or for no user', () => {
  const similar = { op: 'similar', item_id: 1, user_id: '07' };

  assert.ok(validated(similar, { ...LISTING, id: 'n1', user_id: null }));
  assert.throws(() => validated(similar, { ...LISTING, id: 'n1', user_id: 8 }), failing('crossed_answer'));
});

for (const [what, changes] of [
  ['items are no list', { items: {} }],
  ['an item is null', { items: [null] }],
  ['an item has no product', { items: [{ score: 1 }] }],
  ['a product id is too large for a number', { items: [{ productId: 2 ** 53, score: 1 }] }],
  ['a score is text', { items: [{ productId: 1, score: '1' }] }],
  ['runs are missing', { runs: undefined }],
  ['warnings are text', { warnings: 'none' }],
  ['the model is missing', { model: undefined }],
  ['the version is missing', { model_version: undefined }],
  ['the source is unknown', { source: 'guess' }],
  ['ok is 1', { ok: 1 }],
]) {
  test(`an answer breaks the contract if ${what}`, () => {
    assert.throws(() => validated({ user_id: 7 }, { ...LISTING, id: 'n1', user_id: 7, ...changes }), failing('bad_answer'));
  });
}

test('unknown fields pass', () => {
  const answer = validated({ user_id: 7 }, { ...LISTING, id: 'n1', user_id: 7, ms: 1, novelty: true });

  assert.deepEqual([answer.novelty, answer.ms], [true, 1]);
});

test('the user id __proto__ does no harm', () => {
  const answer = validated({ user_id: '__proto__' }, readObject(Buffer.from(JSON.stringify({ ...LISTING, id: 'n1', user_id: '__proto__' }))));

  assert.equal(answer.user_id, '__proto__');
  assert.equal({}.ok, undefined);
});

test('a failure without an id is the request’s, one with another id is not', () => {
  const failure = { ok: false, error: { code: 'too_large', message: 'The request should be smaller.', retryable: false } };

  assert.throws(() => validated({ user_id: 7 }, failure), failing('too_large'));
  assert.throws(() => validated({ user_id: 7 }, { ...failure, id: 'n2' }), failing('crossed_answer'));
});

for (const text of ['', ' ', '7', 'null', '[]', '"x"', '{', '{}{}', "{'a': 1}", 'NaN', '\ufeff\ufeff{}']) {
  test(`${JSON.stringify(text)} is no JSON object`, () => {
    assert.throws(() => readObject(Buffer.from(text)), failing('bad_answer'));
  });
}

test('the failure reasons are a closed set', () => {
  assert.ok(Object.isFrozen(FAILURE_REASONS));
  assert.equal(new Set(FAILURE_REASONS).size, FAILURE_REASONS.length);
});

// Lines

const PLENTY = 2 ** 20;

/** Split chunks, and return the lines as text and the rest. */
function split(chunks, maxBytes = PLENTY) {
  const lines = [];
  const splitter = new LineSplitter(maxBytes, (line) => lines.push(line.toString('latin1')));
  const accepted = chunks.map((chunk) => splitter.push(Buffer.from(chunk, 'latin1')));
  return { lines, accepted, pending: splitter.pendingBytes, rest: splitter.rest().toString('latin1') };
}

test('lines end at 0x0A, and later bytes wait', () => {
  const { lines, pending, rest } = split(['one\ntw', 'o\n\nthr', 'ee']);

  assert.deepEqual(lines, ['one', 'two', '']);
  assert.deepEqual([pending, rest], [5, 'three']);
});

test('no other byte ends a line', () => {
  const separators = Buffer.from('a\u2028b\u2029c\u0085d\re\fg\v', 'utf8').toString('latin1');

  assert.deepEqual(split([`${separators}\n`]).lines, [separators]);
});

test('a character may arrive in pieces', () => {
  const bytes = Buffer.from('"café 🍯"\n');
  const lines = [];
  const splitter = new LineSplitter(PLENTY, (line) => lines.push(line.toString('utf8')));
  for (const byte of bytes) splitter.push(Buffer.from([byte]));

  assert.deepEqual(lines, ['"café 🍯"']);
});

test('a line of exactly the limit passes, one byte more does not', () => {
  assert.deepEqual(split(['x'.repeat(8), '\n'], 8).lines, ['x'.repeat(8)]);
  assert.deepEqual(split(['x'.repeat(9), '\n'], 8).accepted, [false, false]);
  assert.deepEqual(split([`${'x'.repeat(9)}\n`], 8), { lines: [], accepted: [false], pending: 0, rest: '' });
});

test('lines before one that is too long pass, later ones do not', () => {
  const { lines, accepted } = split(['a\nb\n', `${'x'.repeat(9)}\nc\n`, 'd\n'], 8);

  assert.deepEqual(lines, ['a', 'b']);
  assert.deepEqual(accepted, [true, false, false]);
});

test('a line that is too long stays not in memory', () => {
  const splitter = new LineSplitter(100, () => assert.fail('no line ends'));
  for (let chunk = 0; chunk < 1000; chunk += 1) {
    splitter.push(Buffer.alloc(60, 'x'));
    assert.ok(splitter.pendingBytes <= 100);
  }
});

test('a line of 8 MiB in small pieces is copied a few times only', () => {
  const lines = [];
  const splitter = new LineSplitter(8 * 2 ** 20, (line) => lines.push(line.length));
  const piece = Buffer.alloc(64, 'x');
  for (let sent = 0; sent < 8 * 2 ** 20; sent += piece.length) splitter.push(piece);
  splitter.push(Buffer.from('\n'));

  assert.deepEqual(lines, [8 * 2 ** 20]);
});

test('a later chunk does not change an earlier line', () => {
  const lines = [];
  const splitter = new LineSplitter(PLENTY, (line) => lines.push(line));
  for (const chunk of ['on', 'e\ntw', 'o\nthree\n']) splitter.push(Buffer.from(chunk));

  assert.deepEqual(lines.map(String), ['one', 'two', 'three']);
});

test('any chunks of a stream give the same lines', () => {
  for (let seed = 1; seed <= 500; seed += 1) {
    const random = seeded(seed);
    const bytes = Buffer.from(
      Array.from({ length: 1 + Math.floor(300 * random()) }, () => (random() < 0.1 ? 0x0a : Math.floor(256 * random()))),
    );
    const expected = bytes.toString('latin1').split('\n');
    const chunks = [];
    for (let start = 0; start < bytes.length;) {
      const end = start + Math.floor(random() * 40); // empty chunks, too
      chunks.push(bytes.subarray(start, end).toString('latin1'));
      start = end;
    }
    const { lines, rest } = split(chunks);

    assert.deepEqual([...lines, rest], expected, `seed ${seed}`);
  }
});
