/** Bytes to lines: the same lines however the bytes arrive. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { LineSplitter } from '../src/services/python/protocol.js';
import { seeded } from './fakes.js';

const PLENTY = 2 ** 20;

/** Return the lines that chunks give, as text, and what is left over. */
function split(chunks, maxBytes = PLENTY) {
  const lines = [];
  const splitter = new LineSplitter(maxBytes, (line) => lines.push(line.toString('latin1')));
  const taken = chunks.map((chunk) => splitter.push(Buffer.from(chunk, 'latin1')));
  return { lines, taken, pending: splitter.pendingBytes, rest: splitter.rest().toString('latin1') };
}

test('lines end at 0x0A, and what follows waits', () => {
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
  assert.deepEqual(split(['x'.repeat(9), '\n'], 8).taken, [false, false]);
  assert.deepEqual(split([`${'x'.repeat(9)}\n`], 8), { lines: [], taken: [false], pending: 0, rest: '' });
});

test('lines before one that is too long count, those after it do not', () => {
  const { lines, taken } = split(['a\nb\n', `${'x'.repeat(9)}\nc\n`, 'd\n'], 8);

  assert.deepEqual(lines, ['a', 'b']);
  assert.deepEqual(taken, [true, false, false]);
});

test('of a line that is too long nothing is kept', () => {
  const splitter = new LineSplitter(100, () => assert.fail('no line ends'));
  for (let chunk = 0; chunk < 1000; chunk += 1) {
    splitter.push(Buffer.alloc(60, 'x'));
    assert.ok(splitter.pendingBytes <= 100);
  }
});

test('a line of 8 MiB that arrives in small pieces costs no more than a copy or two', () => {
  const lines = [];
  const splitter = new LineSplitter(8 * 2 ** 20, (line) => lines.push(line.length));
  const piece = Buffer.alloc(64, 'x');
  for (let sent = 0; sent < 8 * 2 ** 20; sent += piece.length) splitter.push(piece);
  splitter.push(Buffer.from('\n'));

  assert.deepEqual(lines, [8 * 2 ** 20]);
});

test('lines are their own: a later chunk does not change an earlier line', () => {
  const lines = [];
  const splitter = new LineSplitter(PLENTY, (line) => lines.push(line));
  for (const chunk of ['on', 'e\ntw', 'o\nthree\n']) splitter.push(Buffer.from(chunk));

  assert.deepEqual(lines.map(String), ['one', 'two', 'three']);
});

test('any stream split at any points gives the same lines', () => {
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
