import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ApiError } from '../../src/lib/api.js';
import { createQueue, outcomeOf, pauseOf } from '../../src/lib/queue.js';
import { openStorage } from '../../src/lib/storage.js';
import { FakeStorage, fakeClock, settled } from './fakes.js';

/** A queue whose server answers as `answer` says: a status, or `[status, retryAfterMs]`. */
function setUp({ answer = () => 201, session = null, browser = new FakeStorage(), hasStorage = true } = {}) {
  const clock = fakeClock();
  const state = { session, answer, sent: [], beacons: [], held: [], takesBeacons: true, visit: null, clock, browser };
  state.storage = openStorage(() => (hasStorage ? browser : null));
  state.queue = createQueue({
    storage: state.storage,
    async post(body) {
      state.sent.push(body);
      const [status, retryAfterMs = null] = [state.answer(body)].flat();
      if (status === 'offline') throw new ApiError('offline');
      return { status, retryAfterMs };
    },
    beacon(body) {
      if (state.takesBeacons) state.beacons.push(body);
      return state.takesBeacons;
    },
    getSession: () => state.session,
    getVisit: () => state.visit,
    onHold: (token) => {
      state.held.push(token);
      state.session = null;
    },
    now: clock.now,
    random: () => 0,
    setTimer: clock.setTimer,
    clearTimer: clock.clearTimer,
  });
  return state;
}

test('an act is stored at once, sent soon, and forgotten when it is acknowledged', async () => {
  const { queue, sent, clock } = setUp();
  const { eventId } = queue.add('view', '7');
  assert.deepEqual([sent.length, queue.waiting().length], [0, 1]);
  await clock.pass(0);
  assert.deepEqual(sent, [{ productId: 7, actionCode: 'view', eventId, timestamp: new Date(clock.now()).toISOString() }]);
  assert.deepEqual(queue.waiting(), []);
});

test('events of lists name the answer, the place and the visit, also after a reload of the page', async () => {
  const { queue, sent, clock, storage, browser } = setUp({ answer: () => 'offline' });
  queue.add('click', '7', { recommendation_id: 'rec_1', position: 2 });
  queue.add('impression', null, { recommendation_id: 'rec_1', shown: [{ productId: '7', position: 2 }, { productId: 'a-8', position: 3 }] });
  await clock.pass(0);
  assert.equal(storage.isKept, true);
  const later = setUp({ browser });
  later.visit = 'visit-1';
  later.queue.add('cart', '7', { recommendation_id: 'rec_1', position: 2 });
  await later.clock.pass(0);
  const bodies = later.sent.map(({ eventId: _id, timestamp: _at, ...body }) => body);
  const by = (action) => bodies.find(({ actionCode }) => actionCode === action);
  assert.equal(sent.length, 1);
  assert.deepEqual(by('click'), { productId: 7, actionCode: 'click', recommendation_id: 'rec_1', position: 2 });
  assert.deepEqual(by('impression'), { actionCode: 'impression', recommendation_id: 'rec_1', shown: [{ productId: 7, position: 2 }, { productId: 'a-8', position: 3 }] });
  assert.deepEqual(by('cart'), { productId: 7, actionCode: 'cart', session_id: 'visit-1', recommendation_id: 'rec_1', position: 2 });
});

test('while the server is away, impressions are dropped beyond a hundred events, and acts are kept', async () => {
  const { queue } = setUp({ answer: () => 'offline' });
  for (let n = 0; n < 105; n += 1) queue.add('impression', null, { recommendation_id: 'rec_1', shown: [{ productId: String(n), position: 1 }] });
  queue.add('purchase', '7');
  assert.deepEqual(queue.waiting().length, 101);
});

test('an id that is no number is sent as it is', async () => {
  const { queue, sent, clock } = setUp();
  for (const id of ['a-7', '007', '9007199254740993']) queue.add('view', id);
  await clock.pass(0);
  assert.deepEqual(sent.map(({ productId }) => productId).sort(), ['007', '9007199254740993', 'a-7']);
});

test('statuses are acknowledgements, refusals for good, waiting for the user, or reasons to repeat', () => {
  const cases = { done: [200, 201, 202, 400, 404, 409, 413, 422], hold: [401, 403], retry: [0, 408, 429, 500, 502, 503, 504] };
  for (const [outcome, statuses] of Object.entries(cases)) for (const status of statuses) assert.equal(outcomeOf(status), outcome, status);
});

test('pauses double up to five minutes, and are at least what the server asks for', () => {
  assert.deepEqual([1, 2, 3, 20].map((failures) => pauseOf(failures, null, () => 0)), [2000, 4000, 8000, 300_000]);
  assert.equal(pauseOf(1, 60_000, () => 0), 60_000);
  assert.equal(pauseOf(1, null, () => 1), 2500);
});

test('an event is repeated with the same id until the server is back', async () => {
  const state = setUp({ answer: () => 503 });
  const { eventId } = state.queue.add('cart', '7');
  await state.clock.pass(0);
  await state.clock.pass(1999);
  assert.equal(state.sent.length, 1);
  await state.clock.pass(1);
  assert.equal(state.sent.length, 2);
  state.answer = () => 'offline';
  await state.clock.pass(4000);
  state.answer = () => 200;
  await state.clock.pass(8000);
  assert.deepEqual(state.sent.map((body) => body.eventId), Array(4).fill(eventId));
  assert.deepEqual(state.queue.waiting(), []);
});

test('nothing is sent before the time that the server asked for, not even a new event', async () => {
  const state = setUp({ answer: () => [429, 30_000] });
  state.queue.add('view', '1');
  await state.clock.pass(0);
  state.queue.add('view', '2');
  await state.queue.flush();
  await state.clock.pass(29_999);
  assert.equal(state.sent.length, 1);
  state.answer = () => 201;
  await state.clock.pass(1);
  assert.deepEqual([state.sent.length, state.queue.waiting().length], [3, 0]);
});

test('events go in the order of the acts, one after another', async () => {
  const state = setUp();
  for (const [action, wait] of [['view', 5], ['cart', 5], ['purchase', 5]]) {
    state.answer = () => 503;
    state.queue.add(action, '7');
    await state.clock.pass(wait);
  }
  state.sent.length = 0;
  state.answer = () => 201;
  await state.clock.pass(10_000);
  assert.deepEqual(state.sent.map(({ actionCode }) => actionCode), ['view', 'cart', 'purchase']);
});

test('an event at which the server fails does not hold up the others', async () => {
  const state = setUp({ answer: ({ productId }) => (productId === 1 ? 500 : 201) });
  state.queue.add('view', '1');
  await state.clock.pass(1);
  state.queue.add('view', '2');
  await state.clock.pass(1);
  assert.deepEqual(state.queue.waiting().map(({ productId }) => productId), ['1']);
  state.answer = () => 201;
  await state.clock.pass(300_000);
  assert.deepEqual(state.queue.waiting(), []);
});

test('when the token ends, the user’s events wait for that user, and a guest’s go on', async () => {
  const state = setUp({ session: { userId: '5', token: 'old' }, answer: () => 403 });
  state.queue.add('cart', '7');
  await state.clock.pass(0);
  assert.deepEqual([state.held, state.queue.waiting().length], [['old'], 1]);
  state.answer = () => 201;
  state.queue.add('view', '8');
  await state.clock.pass(0);
  assert.deepEqual(state.queue.waiting().map(({ productId }) => productId), ['7']);
  state.session = { userId: '6', token: 'other' };
  await state.queue.flush();
  assert.equal(state.queue.waiting().length, 1);
  state.session = { userId: '5', token: 'new' };
  await state.queue.flush();
  assert.deepEqual(state.queue.waiting(), []);
});

test('events of an earlier visit are sent, and what is no event is removed', async () => {
  const first = setUp({ answer: () => 'offline' });
  first.queue.add('view', '7');
  await first.clock.pass(0);
  first.browser.setItem('shop.event.x', '{"eventId":"x"}');
  first.browser.setItem('shop.event.y', 'oops');
  const second = setUp({ browser: first.browser });
  await second.queue.flush();
  assert.deepEqual(second.sent.map(({ productId }) => productId), [7]);
  assert.deepEqual(Object.keys(first.browser), []);
});

test('two tabs do not overwrite each other’s events', () => {
  const one = setUp();
  const two = setUp({ browser: one.browser });
  one.queue.add('view', '1');
  two.queue.add('view', '2');
  assert.equal(one.queue.waiting().length, 2);
});

test('on leaving, what waits goes by beacons, with the token, and stays until it is acknowledged', async () => {
  const state = setUp({ session: { userId: '5', token: 'good' } });
  const { eventId } = state.queue.add('view', '7');
  state.queue.leave();
  state.queue.leave();
  assert.deepEqual(state.beacons.map((body) => [body.eventId, body.token]), [[eventId, 'good']]);
  assert.equal(state.queue.waiting().length, 1);
  await state.clock.pass(0);
  assert.deepEqual(state.sent.map((body) => body.eventId), [eventId]);
});

test('a guest’s beacon has no token', () => {
  const state = setUp();
  state.queue.add('view', '7');
  state.queue.leave();
  assert.equal(Object.hasOwn(state.beacons[0], 'token'), false);
});

test('a beacon that the browser refuses is tried again', () => {
  const state = setUp();
  state.takesBeacons = false;
  state.queue.add('view', '7');
  state.queue.leave();
  state.takesBeacons = true;
  state.queue.leave();
  assert.equal(state.beacons.length, 1);
});

test('a server that asked for time gets no beacons, unless they are the events’ last chance', async () => {
  for (const [hasStorage, expected] of [[true, 0], [false, 1]]) {
    const state = setUp({ answer: () => [429, 60_000], hasStorage });
    state.queue.add('view', '7');
    await state.clock.pass(0);
    state.queue.leave();
    assert.equal(state.beacons.length, expected);
  }
});

test('an act during a sending is sent by it', async () => {
  const state = setUp();
  let release;
  state.answer = () => 201;
  const slow = new Promise((resolve) => (release = resolve));
  const queue = createQueue({
    storage: state.storage,
    post: async (body) => {
      state.sent.push(body);
      await slow;
      return { status: 201, retryAfterMs: null };
    },
    beacon: () => true,
    getSession: () => null,
    onHold: () => {},
    now: state.clock.now,
    setTimer: state.clock.setTimer,
    clearTimer: state.clock.clearTimer,
  });
  queue.add('view', '1');
  await state.clock.pass(0);
  queue.add('view', '2');
  await state.clock.pass(0);
  assert.equal(state.sent.length, 1);
  release();
  await settled();
  await settled();
  assert.deepEqual([state.sent.length, queue.waiting().length], [2, 0]);
});
