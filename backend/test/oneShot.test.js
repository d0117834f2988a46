/** One process for one request: how it can fail, and what must hold after each failure. */
import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

import { runPythonInference } from '../src/services/pythonInvoker.js';
import { failingSpawn, throwingSpawn } from './fakes.js';
import { assertFor, CUE, double, failureOf, faultTest } from './harness.js';

const PLENTY_MS = 20_000; // where the time does not matter
const SHORT_MS = 400; // for requests that never end by themselves

// [what, fault of fault_worker.py, reason, exit status, signal]
const FAILURES = [
  ['F14 half a line and status 0', 'truncated', 'bad_answer', 0, null],
  ['F15 a valid line and status 1', 'answer-then:1', 'crashed', 1, null],
  ['F16 a valid line and SIGKILL', 'answer-then:SIGKILL', 'crashed', null, 'SIGKILL'],
  ['F17 no output and status 0', 'leave:0', 'bad_answer', 0, null],
  ['F18 two documents', 'two-documents', 'bad_answer', undefined, undefined],
  ['F11 the same answer twice', 'answer-twice', 'bad_answer', undefined, undefined],
  ['F09 a stray line before the answer', 'print', 'bad_answer', undefined, undefined],
  ['F12 an answer to an unknown id', 'only-unknown-id', 'crossed_answer', 0, null],
  ['F13 an answer for another user', 'crossed-user', 'crossed_answer', 0, null],
  ['text that is no JSON', 'not-json', 'bad_answer', 0, null],
  ['bytes that are no UTF-8', 'not-utf8', 'bad_answer', 0, null],
  ['an array', 'array', 'bad_answer', 0, null],
  ['NaN', 'nan', 'bad_answer', 0, null],
  ['an answer without items', 'no-items', 'bad_answer', 0, null],
  ['an item without a product', 'bad-item', 'bad_answer', 0, null],
  ['an answer from nowhere', 'bad-source', 'bad_answer', 0, null],
  ['an answer whose ok is no boolean', 'maybe', 'bad_answer', 0, null],
  ['a failure with status 0', 'fail-and-leave-with-0:no_model', 'bad_answer', 0, null],
  ['a failure with another id', 'fail-other-id:unknown_user', 'crashed', 65, null],
  ['F33 text that is no JSON and a known status', 'not-json-then:70', 'internal', 70, null],
  ['F33 an exit in the middle', 'leave:1', 'crashed', 1, null],
  ['F33 an unknown status', 'leave:44', 'crashed', 44, null],
  ['F33 an answer that could not be written', 'leave:74', 'crashed', 74, null],
  ['F33 a wrong command line', 'leave:2', 'usage', 2, null],
  ['F33 an internal error without a line', 'leave:70', 'internal', 70, null],
  ['F33 a temporary lack without a line', 'leave:75', 'overloaded', 75, null],
  ['F33 a refused version without a line', 'leave:77', 'model_refused', 77, null],
  ['F33 SIGSEGV', 'segfault', 'crashed', null, 'SIGSEGV'],
  ['F33 SIGABRT', 'signal:SIGABRT', 'crashed', null, 'SIGABRT'],
  ['F33 SIGILL', 'signal:SIGILL', 'crashed', null, 'SIGILL'],
  ['F33 SIGTERM', 'signal:SIGTERM', 'crashed', null, 'SIGTERM'],
  ['F34 no more memory', 'memory', 'crashed', 1, null],
  ['F05 settings that are missing', 'boot-leave:78', 'settings', 78, null],
  ['F04 a module that cannot be imported', 'boot-leave:1', 'crashed', 1, null],
  ['F22 a line of 9 MiB', 'huge:9', 'bad_answer', null, 'SIGKILL'],
  ['F23 a line without an end', 'endless', 'bad_answer', null, 'SIGKILL'],
  ['F38 a closed stdout', 'close-stdout', 'crashed', null, 'SIGKILL'],
];

for (const [what, fault, reason, exitCode, signal] of FAILURES) {
  faultTest(`${what}: ${reason}`, async ({ env, lag }) => {
    const failure = await failureOf(runPythonInference({ user_id: CUE }, { ...double(fault, { env }), timeoutMs: PLENTY_MS }), { lag });

    assert.equal(failure.reason, reason, failure.stderrTail);
    if (exitCode !== undefined) assert.deepEqual([failure.exitCode, failure.signal], [exitCode, signal]);
    assertFor(
      7,
      await runPythonInference({ user_id: 7 }, { ...double(fault.startsWith('boot') ? '' : fault, { env }), timeoutMs: PLENTY_MS }),
    );
  });
}

const NEVER_ENDING = [
  ['F06 silence', 'boot-silent'],
  ['F26 a hang before reading', 'boot-unread'],
  ['F27 a loop', 'hang'],
  ['F28 a hang inside C', 'hang-in-c'],
  ['F29 a process that ignores SIGTERM', 'ignore-sigterm'],
  ['F30 a stopped process', 'signal:SIGSTOP'],
  ['F31 a drip of bytes', 'drip:0.1'],
  ['F32 an answer that comes too late', 'late:60'],
  ['F37 a closed stdin', 'boot-close-stdin'],
];

for (const [what, fault] of NEVER_ENDING) {
  faultTest(`${what}: the deadline`, async ({ env, lag }) => {
    const pending = runPythonInference({ user_id: CUE }, { ...double(fault, { env }), timeoutMs: SHORT_MS });
    const failure = await failureOf(pending, { by: SHORT_MS, lag });

    assert.deepEqual([failure.reason, failure.retryable], ['deadline', true]);
    // null: the process has ended, but the system has not reported it yet
    assert.ok(['SIGKILL', null].includes(failure.signal), failure.signal);
  });
}

const ANSWERED = [
  ['F19 a last line without its end', 'no-newline'],
  ['F20 an answer byte by byte', 'drip:0'],
  ['F24 a flood of 100 MB on stderr', 'flood-stderr:100'],
  ['F39 a grandchild that holds stdout', 'grandchild'],
];

for (const [what, fault] of ANSWERED) {
  faultTest(`${what}: an answer`, async ({ env }) => {
    const answer = await runPythonInference({ user_id: CUE }, { ...double(fault, { env }), timeoutMs: PLENTY_MS });

    assert.deepEqual([answer.user_id, answer.model], [CUE, 'BMF']);
    if (fault === 'drip:0') assert.deepEqual(answer.warnings, ['café \u2028 🍯']);
  });
}

test('F39 a daemon that holds stdout does not hold the answer', async () => {
  const start = performance.now();
  await runPythonInference({ user_id: CUE }, { ...double('daemon'), timeoutMs: PLENTY_MS });

  assert.ok(performance.now() - start < 2500, 'the daemon sleeps for 3 s');
});

faultTest('F25 stderr shows as one line without colours and control characters', async ({ env }) => {
  const failure = await failureOf(runPythonInference({ user_id: CUE }, { ...double('forge-log', { env }), timeoutMs: PLENTY_MS }));

  assert.equal(failure.stderrTail, 'red\\n2026-01-01 INFO all is well');
});

faultTest('F37 a request of 1 MB to a process that exits without reading it', async ({ env }) => {
  const request = { user_id: CUE, context: { note: 'x'.repeat(1_000_000) } };
  const failure = await failureOf(runPythonInference(request, { ...double('boot-leave:70', { env }), timeoutMs: PLENTY_MS }));

  assert.deepEqual([failure.reason, failure.exitCode], ['internal', 70]);
});

faultTest('a reported failure has its code, field and exit status', async ({ env }) => {
  for (const fault of ['fail:unknown_user', 'fail-unread:unknown_user']) {
    const failure = await failureOf(runPythonInference({ user_id: CUE }, { ...double(fault, { env }), timeoutMs: PLENTY_MS }));

    assert.deepEqual([failure.reason, failure.exitCode, failure.retryable], ['unknown_user', 65, false]);
    assert.deepEqual(failure.error, { code: 'unknown_user', message: 'The fault unknown_user.', retryable: false });
  }
});

faultTest('an unknown code counts as internal', async ({ env }) => {
  const failure = await failureOf(runPythonInference({ user_id: CUE }, { ...double('fail:quota', { env }), timeoutMs: PLENTY_MS }));

  assert.deepEqual([failure.reason, failure.error.code], ['internal', 'quota']);
});

const folder = mkdtempSync(path.join(tmpdir(), 'invoker-'));
const notExecutable = path.join(folder, 'not-executable');
const garbage = path.join(folder, 'garbage');
writeFileSync(notExecutable, '#!/bin/sh\n');
writeFileSync(garbage, 'no program');
chmodSync(garbage, 0o755);

for (const [what, python, within] of [
  ['F01 an interpreter that does not exist', path.join(folder, 'absent'), 50],
  ['F01 a name that is not on PATH', 'no-such-python', 50],
  ['F02 a file that is not executable', notExecutable, 50],
  ['F02 a file that is no program', garbage, 500],
]) {
  faultTest(`${what}: no Python`, async ({ env, lag }) => {
    const durations = [];
    for (let attempt = 0; attempt < 5; attempt += 1) {
      const start = performance.now();
      const failure = await failureOf(runPythonInference({ user_id: 7 }, { ...double('', { env }), python }));
      durations.push(performance.now() - start);

      assert.equal(failure.reason, 'no_python');
    }
    assert.ok(Math.min(...durations) < within + lag(), `the quickest of five took ${Math.min(...durations)} ms`);
  });
}

for (const code of ['EAGAIN', 'EMFILE', 'ENOMEM']) {
  faultTest(`F03 a spawn that fails with ${code} is retryable`, async ({ env }) => {
    for (const spawn of [failingSpawn(code), throwingSpawn(code)]) {
      const failure = await failureOf(runPythonInference({ user_id: 7 }, { ...double('', { env }), spawn }));

      assert.deepEqual([failure.reason, failure.retryable, failure.cause.code], ['spawn_failed', true, code]);
    }
  });
}

faultTest('F45 a clock that is set back does not move the deadline', async ({ env, lag }) => {
  const { now } = Date;
  Date.now = () => now() - 3_600_000;
  try {
    const pending = runPythonInference({ user_id: CUE }, { ...double('hang', { env }), timeoutMs: SHORT_MS });
    assert.equal((await failureOf(pending, { by: SHORT_MS, lag })).reason, 'deadline');
  } finally {
    Date.now = now;
  }
});

test('an answer has the caller’s own id, or none', async () => {
  assert.equal((await runPythonInference({ user_id: 7, id: 'mine' }, double(''))).id, 'mine');
  assert.equal('id' in (await runPythonInference({ user_id: 7 }, double(''))), false);
});

test('requests at the same time get their own answers', async () => {
  const users = [1, 2, 3, 4, 5, 6, 7, 8];
  const answers = await Promise.all(users.map((user) => runPythonInference({ user_id: user }, { ...double(''), timeoutMs: PLENTY_MS })));

  users.forEach((user, position) => assertFor(user, answers[position]));
});

for (const timeoutMs of [0, -1]) {
  test(`a timeout of ${timeoutMs} ms is a deadline that has passed`, async () => {
    assert.equal((await failureOf(runPythonInference({ user_id: 7 }, { ...double(''), timeoutMs }))).reason, 'deadline');
  });
}

test('a timeout that is no number is a TypeError', async () => {
  await assert.rejects(runPythonInference({ user_id: 7 }, { ...double(''), timeoutMs: '800' }), TypeError);
});
