/** The pool on a fake clock, with fake processes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { createPool } from '../src/services/pythonInvoker.js';
import { FakeClock, fakeProcesses, failingSpawn, settled } from './fakes.js';
import { failureOf } from './harness.js';

/** Return a pool of fake processes, with its clock, files, events and processes. */
function stage(options = {}) {
  const clock = new FakeClock();
  const processes = fakeProcesses();
  const events = [];
  const files = { state: 'first version' };
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

/** Return the same, once its workers are ready. */
async function ready(options) {
  const staged = stage(options);
  await settled();
  for (const worker of staged.made) worker.ready();
  await staged.pool.ready();
  return staged;
}

/** Close a pool whose processes exit when their input ends. */
async function end({ pool, made, clock }) {
  for (const worker of made) worker.on('input-ended', () => worker.exit(0));
  const closed = pool.close();
  await settled();
  await clock.advance(5000);
  await closed;
  assert.equal(clock.timers, 0, 'no timer is left');
}

test('a worker gets a request with its own id and budget', async () => {
  const staged = await ready();
  const pending = staged.ask(7, 800);
  await settled();
  const [request] = staged.made[0].requests;
  assert.deepEqual([request.user_id, request.budget_ms], [7, 760]);
  staged.made[0].answer();

  assert.equal((await pending).user_id, 7);
  await end(staged);
});

test('a request that has waited gets a smaller budget', async () => {
  const staged = stage();
  await settled();
  const pending = staged.ask(7, 800);
  await staged.clock.advance(300);
  staged.made[0].ready();
  await settled();

  assert.equal(staged.made[0].requests[0].budget_ms, 475); // 500 left, less 5 %
  staged.made[0].answer();
  await pending;
  await end(staged);
});

test('a worker has `depth` requests at most; the others wait in order', async () => {
  const staged = await ready({ depth: 2 });
  const pending = [1, 2, 3, 4].map((user) => staged.ask(user));
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
    (await Promise.all(pending)).map(({ user_id: user }) => user),
    [1, 2, 3, 4],
  );
  await end(staged);
});

test('requests go to the least busy worker', async () => {
  const staged = await ready({ size: 2, depth: 2 });
  const pending = [1, 2, 3].map((user) => staged.ask(user));
  await settled();

  assert.deepEqual(
    staged.made.map(({ requests }) => requests.length),
    [2, 1],
  );
  for (const worker of staged.made) while (worker.requests.length > 0) worker.answer();
  await Promise.all(pending);
  await end(staged);
});

test('F42 a full queue refuses at once, by number and by bytes', async () => {
  const staged = await ready({ depth: 1, queue: { jobs: 3, bytes: 2000 } });
  const pending = [1, 2, 3].map((user) => staged.ask(user).catch(() => null)); // one is computed, two wait
  const large = staged.pool.runPythonInference({ user_id: 4, context: { note: 'x'.repeat(2000) } });
  assert.equal((await failureOf(large)).reason, 'overloaded');
  pending.push(staged.ask(5).catch(() => null));
  assert.equal((await failureOf(staged.ask(6))).reason, 'overloaded');
  assert.equal(staged.pool.stats().queued, 3);
  await staged.clock.advance(800);
  await Promise.all(pending);

  assert.deepEqual([staged.pool.stats().queued, staged.pool.stats().queuedBytes], [0, 0]);
  await end(staged);
});

test('F06 a worker that is not ready after 20 s is killed; requests do not wait', async () => {
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

test('F07 after another protocol nothing is started again', async () => {
  const staged = stage();
  await settled();
  staged.made[0].say({ ready: true, protocol: [99] });
  await staged.clock.advance(600_000);
  const failure = await failureOf(staged.ask(7));

  assert.deepEqual([failure.reason, staged.made.length, staged.types('refused').length], ['handshake', 1, 1]);
  assert.match(failure.detail, /Received: protocol \[99\]/);
  await end(staged);
});

test('F05 after a lasting failure nothing is started until a file changes', async () => {
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

  staged.files.state = 'another version';
  await staged.clock.advance(1000);
  const pending = staged.ask(7);
  await settled();
  staged.made[1].ready();
  await settled();
  staged.made[1].answer();
  assert.equal((await pending).ok, true);
  assert.equal(staged.pool.stats().refused, null);
  await end(staged);
});

test('reset() starts workers again', async () => {
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

test('a replacement that cannot start leaves ready workers serving', async () => {
  const staged = await ready({ size: 2 });
  staged.made[0].exit(1);
  await staged.clock.advance(100);
  staged.made[2].exit(78);
  await settled();
  const pending = staged.ask(7);
  await settled();
  staged.made[1].answer();

  assert.equal((await pending).user_id, 7);
  assert.equal(staged.pool.stats().refused, 'settings');
  await end(staged);
});

test('F08 one line before ready is counted, a second one is a bad handshake', async () => {
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

test('F35 after five deaths no process starts during the cool-down', async () => {
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

  assert.equal(staged.made.length, 5, 'without requests nothing is started');
  await end(staged);
});

/** Return a pool whose breaker has opened and whose cool-down has passed. */
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

test('F48 after the cool-down one of a hundred requests passes, to one new worker', async () => {
  const staged = await cooledDown({ size: 4 });
  const pending = Array.from({ length: 100 }, (_, user) =>
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
  const outcomes = await Promise.all(pending);

  assert.deepEqual(
    [outcomes.filter((outcome) => outcome === 'answered').length, outcomes.filter((outcome) => outcome === 'breaker_open').length],
    [1, 99],
  );
  await settled();
  assert.deepEqual([staged.pool.stats().breaker, staged.made.length], ['closed', staged.madeBefore + 4]);
  await end(staged);
});

test('a probe whose worker dies starts another cool-down', async () => {
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

test('after a probe that times out before ready the next request is one', async () => {
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

test('a probe with a reported failure closes the breaker', async () => {
  const staged = await cooledDown();
  const probe = staged.ask(7);
  await settled();
  staged.made.at(-1).ready();
  await settled();
  const [{ id }] = staged.made.at(-1).requests;
  staged.made.at(-1).say({ ok: false, id, error: { code: 'unknown_user', message: 'Unknown.', retryable: false } });

  assert.equal((await failureOf(probe)).reason, 'unknown_user');
  assert.equal(staged.pool.stats().breaker, 'closed');
  await end(staged);
});

test('an opening breaker fails waiting requests, but not those in flight', async () => {
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

test('a worker that is stopped with SIGTERM is replaced, and is no death', async () => {
  const staged = await ready();
  staged.made[0].exit(null, 'SIGTERM');
  await staged.clock.advance(100);

  assert.deepEqual([staged.made.length, staged.pool.stats().deaths, staged.pool.stats().recentDeaths], [2, 0, 0]);
  await end(staged);
});

test('a dead worker’s first request fails, later ones move to another, once', async () => {
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

test('a request that has lost two workers fails', async () => {
  const staged = await ready({ depth: 2 });
  const pending = [1, 2, 3].map((user) => failureOf(staged.ask(user)));
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
    (await Promise.all(pending)).map(({ reason }) => reason),
    ['crashed', 'crashed', 'crashed'],
  );
  await end(staged);
});

test('F36 a request computed at two deaths is quarantined; another user’s is not', async () => {
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

/** Let a worker die while it computes a user's request, and return the reason of the failure. */
async function dieDuring(staged, user) {
  const lost = failureOf(staged.ask(user));
  await settled();
  if (staged.made.at(-1).requests.length > 0) staged.made.at(-1).exit(139);
  const { reason } = await lost;
  await staged.clock.advance(200);
  if (!staged.made.at(-1).hasEnded) staged.made.at(-1).ready();
  await settled();
  return reason;
}

test('a request stays in quarantine for ten minutes after its last death', async () => {
  const staged = await ready();
  const MINUTE = 60_000;
  const quiet = async (ms) => {
    for (let waited = 0; waited < ms; waited += 5000) {
      await staged.clock.advance(5000);
      for (const worker of staged.made) while (worker.requests.length > 0) worker.answer({ user_id: null });
    }
  };
  assert.equal(await dieDuring(staged, 666), 'crashed');
  await quiet(10 * MINUTE);
  assert.equal(await dieDuring(staged, 666), 'crashed');
  assert.equal(await dieDuring(staged, 666), 'crashed', 'the first death was too long ago to count');
  await quiet(9 * MINUTE);
  assert.equal(await dieDuring(staged, 666), 'quarantined');
  await quiet(MINUTE);
  assert.equal(await dieDuring(staged, 666), 'crashed');
  await end(staged);
});

test('F32 after a missed deadline the worker is replaced, and killed after its grace', async () => {
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

test('a request that times out in the pipe does not end the worker', async () => {
  const staged = await ready({ depth: 2 });
  const [computed, behind] = [staged.ask(1, 800), failureOf(staged.ask(2, 300))];
  await settled();
  await staged.clock.advance(700);
  assert.equal((await behind).reason, 'deadline');
  staged.made[0].answer();
  await computed;
  await staged.clock.advance(200); // the second has begun only now: its budget is 285 ms
  staged.made[0].answer();
  await settled();

  assert.deepEqual([staged.pool.stats().late, staged.made.length, staged.made[0].hasEnded], [1, 1, false]);
  await end(staged);
});

test('a request with little time left is late, and its worker goes on', async () => {
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

test('F11 F12 a second answer, or one to an unknown id, is dropped and counted', async () => {
  const staged = await ready();
  const first = staged.ask(1);
  await settled();
  const [{ id }] = staged.made[0].requests;
  const second = staged.ask(2);
  await settled();
  staged.made[0].answer();
  staged.made[0].say({ ok: true, user_id: 1, id });
  staged.made[0].say({ ok: true, user_id: 2, id: 'unknown' });
  staged.made[0].answer();

  assert.deepEqual([(await first).user_id, (await second).user_id, staged.pool.stats().stray], [1, 2, 2]);
  assert.equal(staged.made[0].hasEnded, false);
  await end(staged);
});

test('answers out of turn end the worker', async () => {
  const staged = await ready({ depth: 2 });
  const pending = [failureOf(staged.ask(1, 50)), staged.ask(2)];
  await settled();
  staged.made[0].requests.reverse();
  staged.made[0].answer();

  assert.equal((await pending[0]).reason, 'bad_answer');
  await staged.clock.advance(100);
  staged.made[1].ready();
  await settled();
  staged.made[1].answer();
  assert.equal((await pending[1]).user_id, 2);
  await end(staged);
});

test('an answer for another user ends the worker and reaches no caller', async () => {
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

test('a failure that Python reports affects only its own request', async () => {
  const staged = await ready();
  for (let request = 1; request <= 10; request += 1) {
    const pending = failureOf(staged.ask(1));
    await settled();
    const { id } = staged.made[0].requests.shift();
    staged.made[0].say({ ok: false, id, error: { code: 'internal', message: 'A defect.', retryable: false } });
    assert.equal((await pending).reason, 'internal');
  }

  assert.deepEqual([staged.pool.stats().breaker, staged.made.length, staged.pool.stats().failed], ['closed', 1, { internal: 10 }]);
  await end(staged);
});

test('an idle worker is pinged every 10 s, and replaced without a pong in 2 s', async () => {
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
  assert.equal(staged.pool.stats().suspects, 0, 'a ping is no suspect');
  await end(staged);
});

test('a worker is replaced after `recycle.requests` answers; no request fails', async () => {
  const staged = await ready({ depth: 2, recycle: { requests: 3 } });
  const answers = [];
  const serve = async (worker, user) => {
    const pending = staged.ask(user);
    await settled();
    worker.answer();
    answers.push((await pending).user_id);
  };
  for (const user of [1, 2, 3]) await serve(staged.made[0], user);
  assert.deepEqual([staged.made.length, staged.pool.stats().recycled], [2, 1]);
  await serve(staged.made[0], 4); // the old one goes on
  const last = staged.ask(5);
  await settled();
  staged.made[1].ready();
  await warmUp(staged.made[1]);
  await serve(staged.made[1], 6);
  assert.equal(staged.made[0].stdin.writableEnded, false, 'it still computes');
  staged.made[0].answer();
  await last;
  await settled();

  assert.deepEqual([answers, staged.made[0].stdin.writableEnded], [[1, 2, 3, 4, 6], true]);
  await end(staged);
  assert.deepEqual(staged.pool.stats().failed, {});
});

/** Answer the recent requests that a new worker gets, and return their users. */
async function warmUp(worker) {
  await settled();
  const users = worker.requests.map(({ user_id: user }) => user);
  while (worker.requests.length > 0) worker.answer();
  await settled();
  return users;
}

test('a new worker is ready once it has answered the four newest requests, whose answers nobody gets', async () => {
  const staged = await ready({ recycle: { requests: 6 } });
  for (const user of [1, 2, 3, 4, 5, 6]) {
    const pending = staged.ask(user);
    await settled();
    staged.made[0].answer();
    await pending;
  }
  await settled();
  staged.made[1].ready();
  await settled();
  const stateOf = (number) => staged.pool.stats().workers[number].state;
  assert.deepEqual([stateOf(0), stateOf(1), staged.types('ready').length], ['ready', 'booting', 1], 'the old worker serves meanwhile');
  assert.deepEqual(await warmUp(staged.made[1]), [3, 4, 5, 6]);

  const { answered, workers, failed } = staged.pool.stats();
  assert.equal(staged.types('ready').length, 2);
  assert.deepEqual([answered, failed, workers.find(({ pid }) => pid === staged.made[1].pid).served], [6, {}, 0]);
  await end(staged);
});

test('a request that a new worker refuses while it warms up keeps nobody waiting', async () => {
  const staged = await ready({ recycle: { requests: 1 } });
  const pending = staged.ask(1);
  await settled();
  staged.made[0].answer();
  await pending;
  await settled();
  staged.made[1].ready();
  await settled();
  const { id } = staged.made[1].requests.shift();
  staged.made[1].say({ ok: false, id, error: { code: 'database_unavailable', message: 'Away.', retryable: true } });
  await settled();

  assert.equal(staged.types('ready').length, 2);
  assert.deepEqual(staged.pool.stats().failed, {});
  await end(staged);
});

test('after a death in the warm-up, the next worker starts without one', async () => {
  const staged = await ready({ recycle: { requests: 1 } });
  const pending = staged.ask(1);
  await settled();
  staged.made[0].answer();
  await pending;
  await settled();
  staged.made[1].ready();
  await settled();
  staged.made[1].exit(null, 'SIGSEGV');
  staged.made[0].exit(null, 'SIGSEGV');
  await staged.clock.advance(1000);
  staged.made[2].ready();
  await settled();

  assert.deepEqual(staged.made[2].requests, []);
  assert.equal(staged.pool.stats().workers[0].state, 'ready');
  assert.deepEqual([staged.pool.stats().suspects, staged.pool.stats().failed], [0, {}], 'no customer waited for it');
  await end(staged);
});

test('a version that a worker refused is told once, and forgotten with the next one that serves', async () => {
  const staged = await ready();
  const refused = { version: 'v2', code: 'model_refused', message: 'It is damaged.' };
  const tell = async (version, news) => {
    await staged.clock.advance(10_000);
    const { id } = staged.made[0].requests.shift();
    staged.made[0].say({ ok: true, protocol: 1, version, pid: 1, refused: news, id });
    await settled();
    return staged.pool.stats().workers[0];
  };
  for (let ping = 1; ping <= 2; ping += 1) assert.deepEqual((await tell('v1', refused)).refused, refused);
  assert.deepEqual(staged.types('version_refused'), [{ type: 'version_refused', version: 'v2', code: 'model_refused', detail: 'It is damaged.', serving: 'v1' }]);

  const { version, refused: latest } = await tell('v3', null);
  assert.deepEqual([version, latest], ['v3', null]);
  await end(staged);
});

test('a busy worker is pinged, too, so that its news arrive', async () => {
  const staged = await ready();
  await staged.clock.advance(9500);
  const pending = [staged.ask(1), staged.ask(2)];
  await staged.clock.advance(500);
  staged.made[0].answer();
  await settled();
  assert.deepEqual(staged.made[0].requests.map(({ op = 'recommend' }) => op), ['recommend', 'ping']);
  staged.made[0].answer();
  await Promise.all(pending);
  await end(staged);
});

test('a worker that has grown too large is replaced', async () => {
  const staged = await ready({ memoryOf: () => 2 ** 31 });
  for (let user = 1; user <= 64; user += 1) {
    const pending = staged.ask(user);
    await settled();
    staged.made[0].answer();
    await pending;
  }
  await settled();

  assert.equal(staged.made.length, 2);
  await end(staged);
});

test('if the replacement cannot start, the old worker stays', async () => {
  const staged = await ready({ recycle: { requests: 1 } });
  const pending = staged.ask(1);
  await settled();
  staged.made[0].answer();
  await pending;
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

test('stopping: end of input, after 2 s SIGTERM, after 2 s more SIGKILL', async () => {
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

test('closing answers requests in flight, and refuses waiting and new ones', async () => {
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

test('a worker that exits without answering while closing fails its request', async () => {
  const staged = await ready();
  const pending = failureOf(staged.ask(1));
  await settled();
  const closed = staged.pool.close();
  staged.made[0].exit(0);

  assert.equal((await pending).reason, 'crashed');
  await closed;
  assert.equal(staged.pool.stats().deaths, 0);
});

test('closing while workers start leaves no process', async () => {
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

test('F03 after a failed spawn it is tried again', async () => {
  const fakes = fakeProcesses();
  const spawns = [failingSpawn('EAGAIN'), failingSpawn('EAGAIN'), fakes.spawn];
  const staged = stage({ spawn: () => spawns.shift()(), kill: fakes.kill });
  await staged.clock.advance(1000);
  fakes.made[0].ready();

  await staged.pool.ready();
  await end({ ...staged, made: fakes.made });
});

test('F01 without a Python there is one event, and no loop', async () => {
  const staged = stage({ spawn: failingSpawn('ENOENT') });
  await staged.clock.advance(600_000);

  assert.deepEqual([staged.types('refused').length, staged.types('spawned').length], [1, 1]);
  assert.equal((await failureOf(staged.ask(7))).reason, 'no_python');
  await end(staged);
});

test('an exception of the listener does not affect requests', async () => {
  const staged = await ready({
    onEvent: () => {
      throw new Error('a defect of the listener');
    },
  });
  const pending = staged.ask(7);
  await settled();
  staged.made[0].answer();

  assert.equal((await pending).user_id, 7);
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

test('too many lines that answer no request end the worker', async () => {
  const staged = await ready();
  for (let stray = 0; stray < 101; stray += 1) staged.made[0].say({ id: 'unknown' });
  await settled();

  assert.deepEqual(staged.made[0].signals, ['SIGKILL']);
  await end(staged);
});
