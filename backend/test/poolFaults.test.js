/** A pool of real processes with faults. After each fault the next good request is answered within a second. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { createPool } from '../src/services/pythonInvoker.js';
import { assertFor, CUE, double, eventually, failureOf, faultTest, lagNow } from './harness.js';

const SHORT_MS = 400; // for requests that never end by themselves
const PLENTY_MS = 20_000; // where the time does not matter
const RECOVERY_MS = 1000; // I9, on a machine where a fault_worker.py starts in BOOT_MS
const BOOT_MS = 200;
const promptly = { random: () => 0.5 };

const folder = mkdtempSync(path.join(tmpdir(), 'faults-'));
process.on('exit', () => rmSync(folder, { recursive: true }));

/** Run a scenario with a pool of fault_worker.py and its start times; the pool is closed afterwards. */
async function withPool(options, scenario) {
  const starts = new Starts();
  const pool = createPool({ size: 1, ...promptly, ...options, onEvent: (event) => starts.note(event) });
  try {
    await pool.ready();
    await eventually(() => assert.ok(pool.stats().workers.every(({ state }) => state === 'ready')), PLENTY_MS);
    await scenario(pool, starts);
  } finally {
    await pool.close();
  }
}

/** How long workers took to be ready, which depends on Python and the machine, not on the pool. */
class Starts {
  slowestMs = 0;
  #spawned = new Map();

  note({ type, pid }) {
    if (type === 'spawned') this.#spawned.set(pid, performance.now());
    if (type === 'ready') this.slowestMs = Math.max(this.slowestMs, performance.now() - this.#spawned.get(pid));
  }
}

/** Check that a good request is answered within a second, plus the extra time of a slow start. */
async function assertRecovery(pool, starts) {
  const start = performance.now();
  assertFor(7, await eventually(() => pool.runPythonInference({ user_id: 7 }, { timeoutMs: PLENTY_MS }), PLENTY_MS));
  const took = performance.now() - start;
  const allowed = RECOVERY_MS + Math.max(0, starts.slowestMs - BOOT_MS) + lagNow();
  assert.ok(took < allowed, `recovered after ${took} ms of ${allowed}`);
}

// [what, fault of fault_worker.py, reason, whether the worker is lost]
const FAULTS = [
  ['F09 F10 a stray line on stdout', 'print', 'bad_answer', true],
  ['F12 an answer to an unknown id, and nothing else', 'only-unknown-id', 'deadline', true],
  ['F13 an answer for another user', 'crossed-user', 'crossed_answer', true],
  ['F14 half a line and status 0', 'truncated', 'crashed', true],
  ['F17 it leaves with status 0', 'leave:0', 'crashed', true],
  ['F19 a line without its end', 'no-newline', 'deadline', true],
  ['F22 a line of 9 MiB', 'huge:9', 'bad_answer', true],
  ['F23 a line without an end', 'endless', 'bad_answer', true],
  ['F27 a loop', 'hang', 'deadline', true],
  ['F28 a hang inside C', 'hang-in-c', 'deadline', true],
  ['F29 a process that ignores SIGTERM', 'ignore-sigterm', 'deadline', true],
  ['F30 a stopped process', 'signal:SIGSTOP', 'deadline', true],
  ['F31 a drip of bytes', 'drip:0.1', 'deadline', true],
  ['F33 an exit in the middle', 'leave:1', 'crashed', true],
  ['F33 SIGSEGV', 'segfault', 'crashed', true],
  ['F33 SIGABRT', 'signal:SIGABRT', 'crashed', true],
  ['F33 SIGILL', 'signal:SIGILL', 'crashed', true],
  ['F33 SIGKILL, as by the system', 'signal:SIGKILL', 'crashed', true],
  ['F34 no more memory', 'memory', 'crashed', true],
  ['F38 a closed stdout', 'close-stdout', 'crashed', true],
  ['200 lines that answer no request', 'strays', 'bad_answer', true],
  ['NaN', 'nan', 'bad_answer', true],
  ['an array', 'array', 'bad_answer', true],
  ['bytes that are no UTF-8', 'not-utf8', 'bad_answer', true],
  ['an answer without items', 'no-items', 'bad_answer', true],
  ['a failure with another id', 'fail-other-id:internal', 'deadline', true],
  ['a failure that Python reports', 'fail:unknown_user', 'unknown_user', false],
  ['a failure without an id', 'fail-unread:too_large', 'too_large', false],
];

for (const [what, fault, reason, isLost] of FAULTS) {
  faultTest(`${what}: ${reason}, and the next request is answered`, async ({ env, lag }) => {
    const timeoutMs = reason === 'deadline' ? SHORT_MS : PLENTY_MS;
    await withPool(double(fault, { env }), async (pool, starts) => {
      const failure = await failureOf(pool.runPythonInference({ user_id: CUE }, { timeoutMs }), { by: timeoutMs, lag });

      assert.equal(failure.reason, reason, failure.message);
      await assertRecovery(pool, starts);
      assert.equal(pool.stats().deaths, isLost ? 1 : 0);
    });
  });
}

const TOLERATED = [
  ['F11 the same answer twice', 'answer-twice', { stray: 1 }],
  ['F12 an answer to an unknown id beside the right one', 'unknown-id', { stray: 1 }],
  ['F15 F16 an answer, and then death', 'answer-then:SIGKILL', {}],
  ['F20 an answer byte by byte', 'drip:0', {}],
  ['F24 a flood of 100 MB on stderr', 'flood-stderr:100', {}],
  ['F39 a grandchild that holds stdout after death', 'grandchild', {}],
];

for (const [what, fault, counted] of TOLERATED) {
  faultTest(`${what}: an answer, and the next one`, async ({ env }) => {
    await withPool(double(fault, { env }), async (pool, starts) => {
      assert.equal((await pool.runPythonInference({ user_id: CUE }, { timeoutMs: PLENTY_MS })).user_id, CUE);
      await assertRecovery(pool, starts);
      const stats = pool.stats();
      for (const [name, count] of Object.entries(counted)) assert.equal(stats[name], count);
    });
  });
}

faultTest('F08 a banner before ready is ignored and counted', async ({ env }) => {
  await withPool(double('boot-banner:1', { env }), async (pool) => {
    assertFor(7, await pool.runPythonInference({ user_id: 7 }, { timeoutMs: PLENTY_MS }));
    assert.equal(pool.stats().banner, 1);
  });
});

for (const [what, fault, reason] of [
  ['F05 settings that are missing', 'boot-leave:78', 'settings'],
  ['F05 no version', 'boot-refuse:no_model', 'no_model'],
  ['F07 another protocol', 'boot-protocol:99', 'handshake'],
  ['F08 a banner of two lines', 'boot-banner:2', 'handshake'],
  ['a wrong command line', 'boot-leave:2', 'usage'],
]) {
  faultTest(`${what}: one start, and no other until a file changes`, async ({ env }) => {
    const whileFile = path.join(folder, `while-${fault.replace(':', '-')}`);
    writeFileSync(whileFile, '');
    let version = 'old';
    const pool = createPool({ size: 1, ...promptly, ...double(fault, { env, whileFile }), fingerprint: () => version });
    try {
      await assert.rejects(pool.ready(), { reason });
      assert.equal((await failureOf(pool.runPythonInference({ user_id: 7 }), { by: 0 })).reason, reason);
      assert.equal(pool.stats().spawned, 1);
      rmSync(whileFile);
      version = 'new';
      await eventually(async () => assertFor(7, await pool.runPythonInference({ user_id: 7 })));
      assert.equal(pool.stats().spawned, 2);
    } finally {
      await pool.close();
    }
  });
}

faultTest('F01 without an interpreter nothing is started and requests fail at once', async ({ env }) => {
  const events = [];
  const pool = createPool({ ...double('', { env }), python: path.join(folder, 'absent'), onEvent: ({ type }) => events.push(type) });
  await assert.rejects(pool.ready(), { reason: 'no_python' });
  assert.equal((await failureOf(pool.runPythonInference({ user_id: 7 }), { by: 0 })).reason, 'no_python');
  assert.equal(pool.stats().spawned, 0);
  assert.deepEqual(
    events.filter((type) => type === 'refused' || type === 'spawned'),
    ['refused'],
  ); // one alarm, for two workers
  await pool.close();
});

for (const [what, fault] of [
  ['F04 a module that cannot be imported', 'boot-leave:1'],
  ['F35 death right after ready', 'die-when-ready'],
]) {
  faultTest(`${what}: five starts, a cool-down, then recovery`, async ({ env }) => {
    const whileFile = path.join(folder, `while-${fault.replace(':', '-')}`);
    writeFileSync(whileFile, '');
    const options = { size: 1, random: () => 0, breaker: { coolDownMs: 1000 }, ...double(fault, { env, whileFile }) };
    const pool = createPool(options);
    try {
      await eventually(() => assert.equal(pool.stats().breaker, 'open'), PLENTY_MS);
      assert.equal(pool.stats().spawned, 5);
      assert.equal((await failureOf(pool.runPythonInference({ user_id: 7 }), { by: 0 })).reason, 'breaker_open');
      rmSync(whileFile);
      await eventually(async () => assertFor(7, await pool.runPythonInference({ user_id: 7 })), PLENTY_MS);
      assert.deepEqual([pool.stats().spawned, pool.stats().breaker], [6, 'closed']);
    } finally {
      await pool.close();
    }
  });
}

faultTest('F26 F37 workers that never read, or close stdin, end with the pool', async ({ env, lag }) => {
  const neverReady = async (fault) => {
    const pool = createPool({ size: 1, ...double(fault, { env }) });
    const ask = (timeoutMs) => failureOf(pool.runPythonInference({ user_id: 7 }, { timeoutMs }), { by: timeoutMs });
    assert.equal((await ask(SHORT_MS)).reason, 'deadline');
    await eventually(async () => assert.equal((await ask(1)).reason, 'not_ready'));
    const start = performance.now();
    await pool.close();
    assert.ok(performance.now() - start < 5000 + lag());
  };
  await Promise.all(['boot-unread', 'boot-close-stdin'].map(neverReady));
});

faultTest('F37 a worker that dies while 1 MB is being written to it', async ({ env }) => {
  await withPool(double('leave:1', { env }), async (pool, starts) => {
    const note = 'x'.repeat(1_000_000);
    const pending = [
      pool.runPythonInference({ user_id: CUE }, { timeoutMs: PLENTY_MS }),
      pool.runPythonInference({ user_id: 7, context: { note } }, { timeoutMs: PLENTY_MS }),
    ];

    assert.equal((await failureOf(pending[0])).reason, 'crashed');
    assertFor(7, await pending[1]); // it was behind the one that killed the worker, and moved
    await assertRecovery(pool, starts);
  });
});

faultTest('F21 four answers in one write', async ({ env }) => {
  await withPool({ ...double('burst:4', { env }), depth: 4 }, async (pool) => {
    const users = Array.from({ length: 40 }, (_, user) => user);
    const answers = await Promise.all(users.map((user) => pool.runPythonInference({ user_id: user }, { timeoutMs: PLENTY_MS })));

    users.forEach((user, position) => assertFor(user, answers[position]));
  });
});

faultTest('answers out of turn reach no caller', async ({ env }) => {
  await withPool({ ...double('reverse', { env }), depth: 2 }, async (pool) => {
    const pending = [1, 2].map((user) => failureOf(pool.runPythonInference({ user_id: user }, { timeoutMs: SHORT_MS })));

    assert.deepEqual([...new Set((await Promise.all(pending)).map(({ reason }) => reason))].sort(), ['bad_answer', 'deadline']);
  });
});

faultTest('F32 a late answer is not given to the next request', async ({ env }) => {
  await withPool(double('late:0.3', { env }), async (pool, starts) => {
    const late = failureOf(pool.runPythonInference({ user_id: CUE }, { timeoutMs: 150 }), { by: 150 });
    const others = [1, 2, 3].map((user) => pool.runPythonInference({ user_id: user }, { timeoutMs: PLENTY_MS }));

    assert.equal((await late).reason, 'deadline');
    (await Promise.all(others)).forEach((answer, position) => assertFor(position + 1, answer));
    await assertRecovery(pool, starts);
  });
});

faultTest('F36 a request that ends two workers is quarantined', async ({ env }) => {
  await withPool({ ...double('segfault', { env }), size: 2 }, async (pool, starts) => {
    for (let death = 1; death <= 2; death += 1) {
      assert.equal((await failureOf(pool.runPythonInference({ user_id: CUE }, { timeoutMs: PLENTY_MS }))).reason, 'crashed');
      await assertRecovery(pool, starts);
    }
    assert.equal((await failureOf(pool.runPythonInference({ user_id: CUE }), { by: 0 })).reason, 'quarantined');
    assert.equal(pool.stats().deaths, 2);
    await assertRecovery(pool, starts);
  });
});

faultTest(
  'F42 of 10,000 calls at once 64 wait, and the others are refused at once',
  async ({ env }) => {
    await withPool({ ...double('', { env }), size: 2 }, async (pool) => {
      let refusedBefore = null; // the first answer
      let refused = 0;
      const calls = Array.from({ length: 10_000 }, async (_, user) => {
        try {
          assertFor(user, await pool.runPythonInference({ user_id: user }, { timeoutMs: PLENTY_MS }));
          refusedBefore ??= refused;
          return 'answered';
        } catch (error) {
          refused += 1;
          return error.reason;
        }
      });
      const { queued } = pool.stats();
      const outcomes = await Promise.all(calls);
      const answered = outcomes.filter((outcome) => outcome === 'answered').length;

      assert.ok(queued <= 64);
      assert.deepEqual([answered, outcomes.filter((outcome) => outcome === 'overloaded').length], [68, 9932]); // 64 wait, 4 are on the wire
      assert.equal(refusedBefore, 9932, 'refusals come before the first answer');
    });
  },
);

faultTest('F45 a clock that is set back does not move the deadline', async ({ env, lag }) => {
  await withPool(double('hang', { env }), async (pool) => {
    const { now } = Date;
    Date.now = () => now() - 3_600_000;
    try {
      const pending = pool.runPythonInference({ user_id: CUE }, { timeoutMs: SHORT_MS });
      assert.equal((await failureOf(pending, { by: SHORT_MS, lag })).reason, 'deadline');
    } finally {
      Date.now = now;
    }
  });
});

faultTest('random signals to workers: requests get their answer or a reason', async ({ env }) => {
  await withPool({ ...double('', { env }), size: 3, breaker: { deaths: 1000 } }, async (pool) => {
    const outcomes = new Map();
    const note = (outcome) => outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    const end = performance.now() + 2500;
    const isOver = () => performance.now() > end && (outcomes.get('answered') ?? 0) > 100; // on a busy machine that takes longer
    const client = async (number) => {
      for (let user = number; !isOver(); user += 10) {
        try {
          assertFor(user, await pool.runPythonInference({ user_id: user }));
          note('answered');
        } catch (error) {
          note(error.reason);
        }
      }
    };
    const killer = async () => {
      const signals = ['SIGKILL', 'SIGTERM', 'SIGSEGV', 'SIGSTOP', 'SIGINT'];
      for (let kill = 0; !isOver(); kill += 1) {
        const [victim] = pool.stats().workers.filter(({ state, pid }) => state === 'ready' && pid !== null);
        if (victim) process.kill(victim.pid, signals[kill % signals.length]);
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    };
    await Promise.all([killer(), ...Array.from({ length: 8 }, (_, number) => client(number))]);

    const expected = ['answered', 'crashed', 'deadline', 'not_ready', 'overloaded'];
    assert.deepEqual(
      [...outcomes.keys()].filter((outcome) => !expected.includes(outcome)),
      [],
    );
  });
});
