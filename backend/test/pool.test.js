/** The pool on a clock that stands still, with processes that do what the test says. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { createPool } from '../src/services/pythonInvoker.js';
import { FakeClock, fakeProcesses, failingSpawn, settled } from './fakes.js';
import { failureOf } from './harness.js';

/** Return a pool of fake processes that starts without delay, and everything that moves it. */
function stage(options = {}) {
  const clock = new FakeClock();
  const processes = fakeProcesses();
  const events = [];
  const files = { state: 'as it was' };
  const pool = createPool({
    size: 1,
    clock,
    random: () => 0.5,
    memoryOf: () => 0,
    plan: async () => ({ command: 'python', args: [], cwd: '/', env: {} }),
    fingerprint: () => files.state,
    onEvent: (event) => events.push(event),
    ...processes,
    ...options,
  });
  return {
    pool,
    clock,
    files,
    events,
    made: processes.made,
    ask: (user, timeoutMs = 800) => pool.runPythonInference({ user_id: user }, { timeoutMs }),
    types: (type) => events.filter((event) => event.type === type),
  };
}

/** The same, once its workers are ready. */
async function ready(options) {
  const staged = stage(options);
  await settled();
  for (const worker of staged.made) worker.ready();
  await staged.pool.ready();
  return staged;
}

/** End a pool whose processes leave when their input ends. */
async function end({ pool, made, clock }) {
  for (const worker of made) worker.on('input-ended', () => worker.exit(0));
  const closed = pool.close();
  await settled();
  await clock.advance(5000);
  await closed;
  assert.equal(clock.timers, 0, 'no timer is left');
}

test('a request goes to a worker with its own mark and what is left of its time', async () => {
  const staged = await ready();
  const asked = staged.ask(7, 800);
  await settled();
  const [request] = staged.made[0].requests;
  assert.deepEqual([request.user_id, request.budget_ms], [7, 760]);
  staged.made[0].answer();

  assert.equal((await asked).user_id, 7);
  await end(staged);
});

test('a request that waited gets a smaller budget', async () => {
  const staged = stage();
  await settled();
  const asked = staged.ask(7, 800);
  await staged.clock.advance(300);
  staged.made[0].ready();
  await settled();

  assert.equal(staged.made[0].requests[0].budget_ms, 475); // 500 left, less 5 %
  staged.made[0].answer();
  await asked;
  await end(staged);
});

test('no more than `depth` requests are on the wire of a worker, the others wait in their order', async () => {
  const staged = await ready({ depth: 2 });
  const asked = [1, 2, 3, 4].map((user) => staged.ask(user));
  await settled();
  assert.deepEqual(
    staged.made[0].requests.map(({ user_id: user }) => user),
    [1, 2],
  );
  assert.deepEqual([staged.pool.stats().queued, staged.pool.stats().workers[0].inFlight], [2, 2]);
  for (let answered = 0; answered < 4; answered += 1) {
    staged.made[0].answer();
    await settled();
  }

  assert.deepEqual(
    (await Promise.all(asked)).map(({ user_id: user }) => user),
    [1, 2, 3, 4],
  );
  await end(staged);
});

test('requests go to the least busy worker', async () => {
  const staged = await ready({ size: 2, depth: 2 });
  const asked = [1, 2, 3].map((user) => staged.ask(user));
  await settled();

  assert.deepEqual(
    staged.made.map(({ requests }) => requests.length),
    [2, 1],
  );
  for (const worker of staged.made) while (worker.requests.length > 0) worker.answer();
  await Promise.all(asked);
  await end(staged);
});

test('F42 a queue that is full refuses at once, by number and by bytes', async () => {
  const staged = await ready({ depth: 1, queue: { jobs: 3, bytes: 2000 } });
  const asked = [1, 2, 3].map((user) => staged.ask(user).catch(() => null)); // one is computed, two wait
  const large = staged.pool.runPythonInference({ user_id: 4, context: { note: 'x'.repeat(2000) } });
  assert.equal((await failureOf(large)).reason, 'overloaded');
  asked.push(staged.ask(5).catch(() => null));
  assert.equal((await failureOf(staged.ask(6))).reason, 'overloaded');
  assert.equal(staged.pool.stats().queued, 3);
  await staged.clock.advance(800);
  await Promise.all(asked);

  assert.deepEqual([staged.pool.stats().queued, staged.pool.stats().queuedBytes], [0, 0]);
  await end(staged);
});

test('F06 a worker that never says ready is ended after 20 s; requests wait for it a moment only', async () => {
  const staged = stage();
  await settled();
  const first = failureOf(staged.ask(7, 800));
  await staged.clock.advance(800);
  assert.equal((await first).reason, 'deadline');
  await staged.clock.advance(701);
  assert.equal((await failureOf(staged.ask(7))).reason, 'not_ready');
  await staged.clock.advance(20_000);

  assert.deepEqual(staged.made[0].signals, ['SIGKILL']);
  assert.equal(staged.made.length, 2);
  await end(staged);
});

test('F07 another protocol is not tried again', async () => {
  const staged = stage();
  await settled();
  staged.made[0].say({ ready: true, protocol: [99] });
  await staged.clock.advance(600_000);
  const failure = await failureOf(staged.ask(7));

  assert.deepEqual([failure.reason, staged.made.length, staged.types('refused').length], ['handshake', 1, 1]);
  assert.match(failure.detail, /Received: protocol \[99\]/);
  await end(staged);
});

test('F05 a refusal to start is not tried again until a file changes', async () => {
  const staged = stage();
  const waiting = failureOf(staged.ask(7));
  await settled();
  staged.made[0].say({ ok: false, error: { code: 'no_model', message: 'No version is published.', retryable: false } });
  staged.made[0].exit(78);
  await settled();
  assert.equal((await waiting).reason, 'no_model');
  await assert.rejects(staged.pool.ready(), { reason: 'no_model' });
  await staged.clock.advance(3_600_000);
  assert.equal((await failureOf(staged.ask(7))).reason, 'no_model');
  assert.deepEqual([staged.made.length, staged.pool.stats().refused], [1, 'no_model']);

  staged.files.state = 'somebody has published';
  await staged.clock.advance(1000);
  const asked = staged.ask(7);
  await settled();
  staged.made[1].ready();
  await settled();
  staged.made[1].answer();
  assert.equal((await asked).ok, true);
  assert.equal(staged.pool.stats().refused, null);
  await end(staged);
});

test('an operator can have it tried again', async () => {
  const staged = stage();
  await settled();
  staged.made[0].exit(78);
  await settled();
  staged.pool.reset();
  await settled();
  staged.made[1].ready();

  await staged.pool.ready();
  await end(staged);
});

test('a refused replacement leaves the workers that are ready at work', async () => {
  const staged = await ready({ size: 2 });
  staged.made[0].exit(1);
  await staged.clock.advance(100);
  staged.made[2].exit(78);
  await settled();
  const asked = staged.ask(7);
  await settled();
  staged.made[1].answer();

  assert.equal((await asked).user_id, 7);
  assert.equal(staged.pool.stats().refused, 'settings');
  await end(staged);
});

test('F08 one line before ready is ignored and counted, a second one is another protocol', async () => {
  const staged = stage();
  await settled();
  staged.made[0].say('Welcome!\n');
  staged.made[0].ready();
  await staged.pool.ready();
  assert.equal(staged.pool.stats().banner, 1);
  await end(staged);

  const chatty = stage();
  await settled();
  chatty.made[0].say('Welcome!\nTo the show!\n');
  await settled();
  assert.equal(chatty.pool.stats().refused, 'handshake');
  await end(chatty);
});

test('F35 a crash loop ends with the fifth death, and costs no process until the cool-down is over', async () => {
  const staged = stage();
  for (let death = 1; death <= 5; death += 1) {
    await settled();
    staged.made.at(-1).ready();
    await settled();
    staged.made.at(-1).exit(1);
    await staged.clock.advance(2000);
  }
  assert.equal(staged.made.length, 5);
  assert.deepEqual([staged.types('breaker_open').length, staged.pool.stats().workers.length], [1, 0]);
  assert.equal((await failureOf(staged.ask(7))).reason, 'breaker_open');
  await staged.clock.advance(600_000);

  assert.equal(staged.made.length, 5, 'nobody asked, so nothing was started');
  await end(staged);
});

/** Open the breaker of a stage, and let its cool-down pass. */
async function cooledDown(options) {
  const staged = stage(options);
  for (let death = 1; death <= 5; death += 1) {
    await settled();
    for (const worker of staged.made) worker.exit(1);
    await staged.clock.advance(2000);
  }
  await staged.clock.advance(30_000);
  staged.madeBefore = staged.made.length;
  return staged;
}

test('F48 of a hundred requests at the end of the cool-down exactly one is let through, to exactly one new worker', async () => {
  const staged = await cooledDown({ size: 4 });
  const asked = Array.from({ length: 100 }, (_, user) =>
    staged.ask(user).then(
      () => 'answered',
      ({ reason }) => reason,
    ),
  );
  await settled();
  assert.equal(staged.made.length, staged.madeBefore + 1);
  staged.made.at(-1).ready();
  await settled();
  assert.equal(staged.made.at(-1).requests.length, 1);
  staged.made.at(-1).answer();
  const outcomes = await Promise.all(asked);

  assert.deepEqual(
    [outcomes.filter((outcome) => outcome === 'answered').length, outcomes.filter((outcome) => outcome === 'breaker_open').length],
    [1, 99],
  );
  await settled();
  assert.deepEqual([staged.pool.stats().breaker, staged.made.length], ['closed', staged.madeBefore + 4]);
  await end(staged);
});

test('a probe whose worker dies keeps the breaker open for another cool-down', async () => {
  const staged = await cooledDown();
  const probe = staged.ask(7);
  await settled();
  staged.made.at(-1).exit(1);

  assert.equal((await failureOf(probe)).reason, 'breaker_open');
  await staged.clock.advance(29_000);
  assert.equal((await failureOf(staged.ask(7))).reason, 'breaker_open');
  assert.equal(staged.made.length, staged.madeBefore + 1);
  await end(staged);
});

test('a probe that runs out of time before the worker is ready hands over to the next request', async () => {
  const staged = await cooledDown();
  const probe = failureOf(staged.ask(7, 500));
  await staged.clock.advance(500);
  assert.equal((await probe).reason, 'deadline');
  staged.made.at(-1).ready();
  await settled();
  const next = staged.ask(8);
  await settled();
  staged.made.at(-1).answer();

  assert.equal((await next).user_id, 8);
  assert.deepEqual([staged.pool.stats().breaker, staged.made.length], ['closed', staged.madeBefore + 1]);
  await end(staged);
});

test('a probe that Python refuses in its place shows that Python is well', async () => {
  const staged = await cooledDown();
  const probe = staged.ask(7);
  await settled();
  staged.made.at(-1).ready();
  await settled();
  const [{ id }] = staged.made.at(-1).requests;
  staged.made.at(-1).say({ ok: false, id, error: { code: 'unknown_user', message: 'Nobody.', retryable: false } });

  assert.equal((await failureOf(probe)).reason, 'unknown_user');
  assert.equal(staged.pool.stats().breaker, 'closed');
  await end(staged);
});

test('when the breaker opens, what waits falls back at once and what is computed elsewhere is still answered', async () => {
  const staged = await ready({ size: 2, depth: 1 });
  for (let death = 1; death <= 4; death += 1) {
    staged.made.findLast(({ hasEnded }) => !hasEnded).exit(1);
    await staged.clock.advance(2000);
    staged.made.at(-1).ready();
    await settled();
  }
  const [computed, , waiting] = [staged.ask(1), staged.ask(2).catch(() => null), failureOf(staged.ask(3))];
  await settled();
  const survivor = staged.made.find(({ requests }) => requests[0]?.user_id === 1);
  staged.made.find(({ requests }) => requests[0]?.user_id === 2).exit(1);

  assert.equal((await waiting).reason, 'breaker_open');
  survivor.answer();
  assert.equal((await computed).user_id, 1);
  await end(staged);
});

test('a worker that somebody stopped with SIGTERM is replaced, and is no death', async () => {
  const staged = await ready();
  staged.made[0].exit(null, 'SIGTERM');
  await staged.clock.advance(100);

  assert.deepEqual([staged.made.length, staged.pool.stats().deaths, staged.pool.stats().recentDeaths], [2, 0, 0]);
  await end(staged);
});

test('the first request of a dead worker fails, the ones behind it move to another, once', async () => {
  const staged = await ready({ size: 2, depth: 2 });
  const [computed, elsewhere, moved] = [failureOf(staged.ask(1)), staged.ask(2), staged.ask(3)];
  await settled();
  staged.made[0].exit(null, 'SIGSEGV');

  const failure = await computed;
  assert.deepEqual([failure.reason, failure.signal, failure.retryable], ['crashed', 'SIGSEGV', true]);
  await settled();
  staged.made[1].answer();
  staged.made[1].answer();
  assert.deepEqual([(await elsewhere).user_id, (await moved).user_id], [2, 3]);
  await end(staged);
});

test('a request that lost two workers fails', async () => {
  const staged = await ready({ depth: 2 });
  const asked = [1, 2, 3].map((user) => failureOf(staged.ask(user)));
  await settled();
  staged.made[0].exit(1); // 1 was computed; 2 moves
  await staged.clock.advance(100);
  staged.made[1].ready();
  await settled();
  staged.made[1].exit(1); // 2 is computed; 3, which had not been sent before, moves
  await staged.clock.advance(100);
  staged.made[2].ready();
  await settled();
  staged.made[2].exit(1);

  assert.deepEqual(
    (await Promise.all(asked)).map(({ reason }) => reason),
    ['crashed', 'crashed', 'crashed'],
  );
  await end(staged);
});

test('F36 a request that was being computed at two deaths is kept away; another user’s is not', async () => {
  const staged = await ready();
  for (let death = 1; death <= 2; death += 1) {
    const poison = failureOf(staged.ask(666));
    await settled();
    staged.made.at(-1).exit(139);
    await poison;
    await staged.clock.advance(200);
    staged.made.at(-1).ready();
    await settled();
  }
  assert.equal((await failureOf(staged.ask(666))).reason, 'quarantined');
  assert.equal(staged.types('quarantined').length, 1);
  const other = staged.ask(7);
  await settled();
  staged.made.at(-1).answer();

  assert.equal((await other).user_id, 7);
  await end(staged);
});

test('F32 an answer after the deadline reaches nobody; the worker is replaced at once and ended after its grace', async () => {
  const staged = await ready();
  const late = failureOf(staged.ask(1, 800));
  await staged.clock.advance(800);
  assert.equal((await late).reason, 'deadline');
  assert.deepEqual(staged.made[0].signals, []);
  await staged.clock.advance(100); // the restart
  staged.made[1].ready();
  const next = staged.ask(2);
  await settled();
  staged.made[0].answer();
  staged.made[1].answer();
  assert.equal((await next).user_id, 2);
  await staged.clock.advance(399);
  assert.deepEqual(staged.made[0].signals, []);
  await staged.clock.advance(1);

  assert.deepEqual(staged.made[0].signals, ['SIGKILL']);
  await end(staged);
});

test('a request whose time runs out in the pipe does not cost the worker its life', async () => {
  const staged = await ready({ depth: 2 });
  const [computed, behind] = [staged.ask(1, 800), failureOf(staged.ask(2, 300))];
  await settled();
  await staged.clock.advance(700);
  assert.equal((await behind).reason, 'deadline');
  staged.made[0].answer();
  await computed;
  await staged.clock.advance(200); // the second has begun only now: it has the 285 ms it was told
  staged.made[0].answer();
  await settled();

  assert.deepEqual([staged.pool.stats().late, staged.made.length, staged.made[0].hasEnded], [1, 1, false]);
  await end(staged);
});

test('a request that begins with little time left is late, and its worker is no worse for it', async () => {
  const staged = await ready();
  const late = failureOf(staged.ask(1, 20));
  await staged.clock.advance(20);
  assert.equal((await late).reason, 'deadline');
  await staged.clock.advance(279);
  staged.made[0].answer();
  await settled();
  assert.deepEqual([staged.pool.stats().late, staged.made.length, staged.made[0].hasEnded], [1, 1, false]);

  const hanging = failureOf(staged.ask(2, 20));
  await staged.clock.advance(300);
  assert.equal((await hanging).reason, 'deadline');
  await staged.clock.advance(500);
  assert.deepEqual([staged.made[0].signals, staged.made.length], [['SIGKILL'], 2]);
  await end(staged);
});

test('F11 F12 a second answer, or one to an unknown mark, is dropped and counted', async () => {
  const staged = await ready();
  const first = staged.ask(1);
  await settled();
  const [{ id }] = staged.made[0].requests;
  const second = staged.ask(2);
  await settled();
  staged.made[0].answer();
  staged.made[0].say({ ok: true, user_id: 1, id });
  staged.made[0].say({ ok: true, user_id: 2, id: 'unheard of' });
  staged.made[0].answer();

  assert.deepEqual([(await first).user_id, (await second).user_id, staged.pool.stats().stray], [1, 2, 2]);
  assert.equal(staged.made[0].hasEnded, false);
  await end(staged);
});

test('answers out of turn end the worker', async () => {
  const staged = await ready({ depth: 2 });
  const asked = [failureOf(staged.ask(1, 50)), staged.ask(2)];
  await settled();
  staged.made[0].requests.reverse();
  staged.made[0].answer();

  assert.equal((await asked[0]).reason, 'bad_answer');
  await staged.clock.advance(100);
  staged.made[1].ready();
  await settled();
  staged.made[1].answer();
  assert.equal((await asked[1]).user_id, 2);
  await end(staged);
});

test('an answer for another user ends the worker, and reaches nobody', async () => {
  const staged = await ready({ depth: 2 });
  const [crossed, other] = [failureOf(staged.ask(1)), staged.ask(2)];
  await settled();
  staged.made[0].answer({ user_id: 2 });
  assert.equal((await crossed).reason, 'crossed_answer');
  assert.deepEqual(staged.made[0].signals, ['SIGKILL']);
  await staged.clock.advance(100);
  staged.made[1].ready();
  await settled();
  staged.made[1].answer();

  assert.equal((await other).user_id, 2);
  await end(staged);
});

test('a failure that Python tells costs nothing but its own request', async () => {
  const staged = await ready();
  for (let request = 1; request <= 10; request += 1) {
    const asked = failureOf(staged.ask(1));
    await settled();
    const { id } = staged.made[0].requests.shift();
    staged.made[0].say({ ok: false, id, error: { code: 'internal', message: 'A defect.', retryable: false } });
    assert.equal((await asked).reason, 'internal');
  }

  assert.deepEqual([staged.pool.stats().breaker, staged.made.length, staged.pool.stats().failed], ['closed', 1, { internal: 10 }]);
  await end(staged);
});

test('an idle worker is pinged after 10 s, and again; one that does not answer in 2 s is replaced', async () => {
  const staged = await ready();
  for (let ping = 1; ping <= 2; ping += 1) {
    await staged.clock.advance(10_000);
    const { id, op } = staged.made[0].requests.shift();
    assert.equal(op, 'ping');
    staged.made[0].say({ ok: true, protocol: 1, version: `v${ping}`, pid: 1, id });
    await settled();
  }
  assert.equal(staged.pool.stats().workers[0].version, 'v2');
  await staged.clock.advance(12_500);

  assert.deepEqual(staged.made[0].signals, ['SIGKILL']);
  assert.equal(staged.made.length, 2);
  assert.equal(staged.pool.stats().suspects, 0, 'a ping is nobody’s poison');
  await end(staged);
});

test('a worker is replaced after so many requests; none fails meanwhile', async () => {
  const staged = await ready({ depth: 2, recycle: { requests: 3 } });
  const answers = [];
  const serve = async (worker, user) => {
    const asked = staged.ask(user);
    await settled();
    worker.answer();
    answers.push((await asked).user_id);
  };
  for (const user of [1, 2, 3]) await serve(staged.made[0], user);
  assert.deepEqual([staged.made.length, staged.pool.stats().recycled], [2, 1]);
  await serve(staged.made[0], 4); // the old one goes on
  const last = staged.ask(5);
  await settled();
  staged.made[1].ready();
  await settled();
  await serve(staged.made[1], 6);
  assert.equal(staged.made[0].stdin.writableEnded, false, 'it still computes');
  staged.made[0].answer();
  await last;
  await settled();

  assert.deepEqual([answers, staged.made[0].stdin.writableEnded], [[1, 2, 3, 4, 6], true]);
  await end(staged);
  assert.deepEqual(staged.pool.stats().failed, {});
});

test('a worker that has grown too large is replaced', async () => {
  const staged = await ready({ memoryOf: () => 2 ** 31 });
  for (let user = 1; user <= 64; user += 1) {
    const asked = staged.ask(user);
    await settled();
    staged.made[0].answer();
    await asked;
  }
  await settled();

  assert.equal(staged.made.length, 2);
  await end(staged);
});

test('where the replacement cannot start, the old worker stays', async () => {
  const staged = await ready({ recycle: { requests: 1 } });
  const asked = staged.ask(1);
  await settled();
  staged.made[0].answer();
  await asked;
  await settled();
  staged.made[1].exit(1);
  await staged.clock.advance(1000);
  const next = staged.ask(2);
  await settled();
  staged.made[0].answer();

  assert.equal((await next).user_id, 2);
  assert.equal(staged.made.length, 2);
  await end(staged);
});

test('the way out: end of input, after 2 s SIGTERM, after 2 s more SIGKILL', async () => {
  const staged = await ready();
  staged.made[0].isDeaf = true;
  const closed = staged.pool.close();
  await settled();
  assert.equal(staged.made[0].stdin.writableEnded, true);
  await staged.clock.advance(1999);
  assert.deepEqual(staged.made[0].signals, []);
  await staged.clock.advance(1);
  assert.deepEqual(staged.made[0].signals, ['SIGTERM']);
  await staged.clock.advance(2000);
  assert.deepEqual(staged.made[0].signals, ['SIGTERM', 'SIGKILL']);

  await closed;
  assert.equal(staged.clock.timers, 0);
});

test('closing lets what is computed finish, and turns away what waits and what comes', async () => {
  const staged = await ready({ depth: 1 });
  const [computed, waiting] = [staged.ask(1), failureOf(staged.ask(2))];
  await settled();
  const closed = staged.pool.close();
  assert.equal((await waiting).reason, 'closed');
  assert.equal((await failureOf(staged.ask(3))).reason, 'closed');
  await assert.rejects(staged.pool.ready(), { reason: 'closed' });
  staged.made[0].answer();
  assert.equal((await computed).user_id, 1);
  staged.made[0].exit(0);

  await Promise.all([closed, staged.pool.close()]);
  assert.deepEqual([staged.made.length, staged.clock.timers], [1, 0]);
});

test('a worker that leaves without answering while closing fails its request', async () => {
  const staged = await ready();
  const asked = failureOf(staged.ask(1));
  await settled();
  const closed = staged.pool.close();
  staged.made[0].exit(0);

  assert.equal((await asked).reason, 'crashed');
  await closed;
  assert.equal(staged.pool.stats().deaths, 0);
});

test('closing while workers start leaves nothing behind', async () => {
  const staged = stage({ size: 3 });
  const closed = staged.pool.close();
  await settled();
  await closed;
  assert.equal(staged.made.length, 0);

  const booting = stage({ size: 3 });
  await settled();
  await end(booting);
  assert.deepEqual(
    booting.made.map(({ hasEnded }) => hasEnded),
    [true, true, true],
  );
});

test('F03 where the system has no process to give, it is tried again', async () => {
  const fakes = fakeProcesses();
  const spawns = [failingSpawn('EAGAIN'), failingSpawn('EAGAIN'), fakes.spawn];
  const staged = stage({ spawn: () => spawns.shift()(), kill: fakes.kill });
  await staged.clock.advance(1000);
  fakes.made[0].ready();

  await staged.pool.ready();
  await end({ ...staged, made: fakes.made });
});

test('F01 without a Python there is one alarm, and no loop', async () => {
  const staged = stage({ spawn: failingSpawn('ENOENT') });
  await staged.clock.advance(600_000);

  assert.deepEqual([staged.types('refused').length, staged.types('spawned').length], [1, 1]);
  assert.equal((await failureOf(staged.ask(7))).reason, 'no_python');
  await end(staged);
});

test('a listener that throws does no harm', async () => {
  const staged = await ready({
    onEvent: () => {
      throw new Error('a defect of the listener');
    },
  });
  const asked = staged.ask(7);
  await settled();
  staged.made[0].answer();

  assert.equal((await asked).user_id, 7);
  await end(staged);
});

test('a worker whose stdout or stdin has ended is replaced', async () => {
  const staged = await ready();
  staged.made[0].stdout.end();
  await settled();
  await staged.clock.advance(250);
  assert.deepEqual(staged.made[0].signals, ['SIGKILL']);
  await staged.clock.advance(100);
  staged.made[1].ready();
  await settled();
  staged.made[1].stdin.emit('error', Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }));
  await staged.clock.advance(250);

  assert.deepEqual([staged.made[1].signals, staged.pool.stats().deaths], [['SIGKILL'], 2]);
  await end(staged);
});

test('line after line that nobody asked for ends the worker', async () => {
  const staged = await ready();
  for (let stray = 0; stray < 101; stray += 1) staged.made[0].say({ id: 'nobody' });
  await settled();

  assert.deepEqual(staged.made[0].signals, ['SIGKILL']);
  await end(staged);
});
