/** Node and Python read the same values from a `.env` file. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

import { parseDotenv, readDotenv } from '../../src/config/dotenv.js';
import { PYTHON } from '../harness.js';

const TEXTS = [
  '',
  'A=1',
  'A=1\nB=2\r\nC=3\rD=4',
  '  export A = 1  \n\n# a comment\nB=2 # another',
  'PASSWORD=a#b\nOTHER=a #b\nTHIRD="a #b"#c\nFOURTH=\'a #b\' # c',
  'A="line\\nbreak \\"quoted\\" \\\\ \\t \\q"\nB=\'raw\\n it\\\'s \\\\\'',
  'A="two\nlines"\nB=after',
  'A\nB=\nC= \nD=x',
  '=x\nB=1',
  'A="unclosed\nB=1',
  "A='unclosed\nB=1",
  'A="closed" rest\nB=1',
  "'quoted key'=1\nB-1=2\nA.B=3",
  'A=1\nB=${A}2\nC=${OUTSIDE}\nD=${NOWHERE:-a default}\nE=${NOWHERE}\nF=$A\nG=\'${A}\'',
  'OUTSIDE=inside\nB=${OUTSIDE}',
  'A=1\nA=2',
  'DATABASE_URL=mysql+pymysql://u:p%40ss@h:3306/n?x=y\nMODELS_DIR=data/models',
  'A=`x y`\nB=ключ\nC=🍯',
  'A=1\nB=2\nA',
  'A= # none\nB=\t#none\nC=#x\nD=  \nE= "#x"',
  'A="x\\\\"\nB="y"',
  "A='x\\\\'\nB='y'",
  'A="x\\\nB="y"',
  "'A=1\nB=2",
  "'A'=1\nexport 'B=2\nexport =3\nexport=4",
  "A=x #y\u2028z\nB=2",
];

test('values are those of python-dotenv', () => {
  const environ = { OUTSIDE: 'outside' };
  const program = [
    'import io, json, sys',
    'from dotenv import dotenv_values',
    'said = [dotenv_values(stream=io.StringIO(text, newline="")) for text in json.load(sys.stdin)]',
    'print(json.dumps([{k: v for k, v in values.items() if v is not None} for values in said]))',
  ].join('\n');
  const options = { input: JSON.stringify(TEXTS), encoding: 'utf8', env: { ...process.env, ...environ }, stdio: ['pipe', 'pipe', 'ignore'] };
  const expected = JSON.parse(execFileSync(PYTHON, ['-X', 'utf8', '-c', program], options));

  TEXTS.forEach((text, index) => assert.deepEqual(parseDotenv(text, environ), expected[index], JSON.stringify(text)));
  assert.deepEqual(expected[4], { PASSWORD: 'a#b', OTHER: 'a', THIRD: 'a #b', FOURTH: 'a #b' });
});

test('a missing file is allowed, an unreadable one is an error', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'dotenv-'));
  assert.deepEqual(readDotenv(path.join(folder, '.env'), {}), {});
  writeFileSync(path.join(folder, '.env'), 'A=1');
  assert.deepEqual(readDotenv(path.join(folder, '.env'), {}), { A: '1' });
  assert.throws(() => readDotenv(folder, {}), { code: 'EISDIR' });
});
