/** The circuit breaker, on a clock that stands still. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Breaker } from '../../src/concurrency/breaker.js';

const MINUTE = 60_000;
const LIMITS = { failures: 5, windowMs: 3 * MINUTE, waitMs: 30_000 };

/** Return a breaker and its clock, which stands still until `clock.at` is changed. */
function at(limits = LIMITS) {
  const clock = { at: 1_000_000, now: () => clock.at };
  return { clock, breaker: new Breaker({ clock, ...limits }) };
}

function opened() {
  const { clock, breaker } = at();
  for (let failure = 0; failure < 5; failure += 1) breaker.fail();
  return { clock, breaker };
}

test('the fifth failure opens the breaker', () => {
  const { breaker } = at();

  assert.deepEqual(
    [1, 2, 3, 4, 5].map(() => breaker.fail()),
    [false, false, false, false, true],
  );
  assert.deepEqual([breaker.state, breaker.isOpen, breaker.admit()], ['open', true, 'refuse']);
});

test('failures outside of the window do not count', () => {
  const { clock, breaker } = at();
  for (let failure = 0; failure < 4; failure += 1) breaker.fail();
  clock.at += 3 * MINUTE;

  assert.equal(breaker.recentFailures, 0);
  assert.equal(breaker.fail(), false);
  assert.deepEqual([breaker.state, breaker.admit()], ['closed', 'pass']);
});

test('F48 after the wait exactly one of a hundred attempts passes', () => {
  const { clock, breaker } = opened();
  clock.at += 29_999;
  assert.equal(breaker.admit(), 'refuse');
  clock.at += 1;
  assert.equal(breaker.state, 'half-open');

  const passages = Array.from({ length: 100 }, () => breaker.admit());

  assert.equal(passages.filter((passage) => passage === 'probe').length, 1);
  assert.equal(passages.filter((passage) => passage === 'refuse').length, 99);
});

test('a successful probe closes the breaker and clears the failures', () => {
  const { clock, breaker } = opened();
  clock.at += 30_000;
  breaker.admit();
  breaker.succeed();

  assert.deepEqual([breaker.state, breaker.recentFailures, breaker.admit()], ['closed', 0, 'pass']);
});

test('a failed probe begins another wait', () => {
  const { clock, breaker } = opened();
  clock.at += 30_000;
  breaker.admit();

  assert.equal(breaker.fail(), true);
  assert.equal(breaker.admit(), 'refuse');
  clock.at += 30_000;
  assert.equal(breaker.admit(), 'probe');
});

test('after a probe without a result another one passes', () => {
  const { clock, breaker } = opened();
  clock.at += 30_000;
  breaker.admit();
  breaker.release();

  assert.deepEqual([breaker.admit(), breaker.admit()], ['probe', 'refuse']);
});

test('a failure while the breaker is open changes nothing', () => {
  const { clock, breaker } = opened();
  clock.at += 29_000;

  assert.equal(breaker.fail(), false);
  clock.at += 1000;
  assert.equal(breaker.admit(), 'probe');
});

test('without probes everything passes after the wait, until the next failure', () => {
  const { clock, breaker } = at({ waitMs: 250 });
  assert.equal(breaker.isOpen, false);
  breaker.fail();
  assert.equal(breaker.isOpen, true);
  clock.at += 250;

  assert.deepEqual([breaker.isOpen, breaker.isOpen], [false, false]);
  assert.deepEqual([breaker.fail(), breaker.isOpen], [true, true]);
  breaker.succeed();
  assert.equal(breaker.isOpen, false);
});

/** Return the waits of failures that each come when the last wait is over. */
function waitsOf({ clock, breaker }, nFailures) {
  return Array.from({ length: nFailures }, () => {
    breaker.fail();
    clock.at += breaker.waitMs;
    return breaker.waitMs;
  });
}

test('the wait doubles up to the longest one', () => {
  const waits = waitsOf(at({ waitMs: 100, longestMs: 30_000 }), 11);

  assert.deepEqual(waits, [100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000]);
});

test('jitter is a factor of each wait', () => {
  const factors = [0, 0.5, 1];
  const staged = at({ waitMs: 100, longestMs: 30_000, jitter: () => factors.shift() });

  assert.deepEqual(waitsOf(staged, 3), [0, 100, 400]);
});

test('the wait is the first one again after a window without a failure, or a success', () => {
  const { clock, breaker } = at({ waitMs: 100, longestMs: 30_000 });
  breaker.fail();
  clock.at += MINUTE - 1;
  breaker.fail();
  assert.equal(breaker.waitMs, 200);
  clock.at += MINUTE;
  breaker.fail();
  assert.equal(breaker.waitMs, 100);
  clock.at += MINUTE - 1;
  breaker.fail();
  assert.equal(breaker.waitMs, 200);
  breaker.succeed();
  assert.equal(breaker.waitMs, 100);
});
