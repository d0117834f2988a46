/** The breaker, the backoff and the quarantine, on a clock that stands still. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Backoff, Breaker, Quarantine } from '../src/services/python/health.js';

const MINUTE = 60_000;

/** Make an object with a clock that stands still until `clock.now` is changed, and return both. */
function at(make) {
  const clock = { now: 1_000_000 };
  return { clock, made: make(() => clock.now) };
}

function opened() {
  const { clock, made: breaker } = at((now) => new Breaker(now));
  for (let death = 0; death < 5; death += 1) breaker.die();
  return { clock, breaker };
}

test('the fifth death opens the breaker', () => {
  const { made: breaker } = at((now) => new Breaker(now));

  assert.deepEqual(
    [1, 2, 3, 4, 5].map(() => breaker.die()),
    [false, false, false, false, true],
  );
  assert.deepEqual([breaker.state, breaker.admit()], ['open', 'refuse']);
});

test('deaths more than three minutes ago do not count', () => {
  const { clock, made: breaker } = at((now) => new Breaker(now));
  for (let death = 0; death < 4; death += 1) breaker.die();
  clock.now += 3 * MINUTE;

  assert.equal(breaker.recentDeaths, 0);
  assert.equal(breaker.die(), false);
  assert.deepEqual([breaker.state, breaker.admit()], ['closed', 'pass']);
});

test('F48 after the cool-down exactly one of a hundred requests passes', () => {
  const { clock, breaker } = opened();
  clock.now += 29_999;
  assert.equal(breaker.admit(), 'refuse');
  clock.now += 1;
  assert.equal(breaker.state, 'half-open');

  const passages = Array.from({ length: 100 }, () => breaker.admit());

  assert.equal(passages.filter((passage) => passage === 'probe').length, 1);
  assert.equal(passages.filter((passage) => passage === 'refuse').length, 99);
});

test('an answered probe closes the breaker and clears the deaths', () => {
  const { clock, breaker } = opened();
  clock.now += 30_000;
  breaker.admit();
  breaker.succeed();

  assert.deepEqual([breaker.state, breaker.recentDeaths, breaker.admit()], ['closed', 0, 'pass']);
});

test('a death during a probe starts another cool-down', () => {
  const { clock, breaker } = opened();
  clock.now += 30_000;
  breaker.admit();

  assert.equal(breaker.die(), true);
  assert.equal(breaker.admit(), 'refuse');
  clock.now += 30_000;
  assert.equal(breaker.admit(), 'probe');
});

test('after a probe without a result another one passes', () => {
  const { clock, breaker } = opened();
  clock.now += 30_000;
  breaker.admit();
  breaker.release();

  assert.deepEqual([breaker.admit(), breaker.admit()], ['probe', 'refuse']);
});

test('a death while the breaker is open changes nothing', () => {
  const { clock, breaker } = opened();
  clock.now += 29_000;

  assert.equal(breaker.die(), false);
  clock.now += 1000;
  assert.equal(breaker.admit(), 'probe');
});

test('backoff doubles from 0.1 s to 30 s, with full jitter', () => {
  const { made: longest } = at((now) => new Backoff(now, () => 1));
  const { made: shortest } = at((now) => new Backoff(now, () => 0));
  const waits = Array.from({ length: 11 }, () => longest.next());

  assert.deepEqual(waits, [100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000]);
  assert.equal(shortest.next(), 0);
});

test('backoff starts again after a minute without a death', () => {
  const { clock, made: backoff } = at((now) => new Backoff(now, () => 1));
  backoff.next();
  clock.now += MINUTE - 1;
  assert.equal(backoff.next(), 200);
  clock.now += MINUTE;
  assert.equal(backoff.next(), 100);
});

test('a request is in quarantine for ten minutes after its second death', () => {
  const { clock, made: quarantine } = at((now) => new Quarantine(now));

  assert.deepEqual([quarantine.charge('poison'), quarantine.holds('poison')], [false, false]);
  clock.now += 9 * MINUTE;
  assert.deepEqual([quarantine.charge('poison'), quarantine.holds('poison')], [true, true]);
  assert.equal(quarantine.holds('another'), false);
  clock.now += 10 * MINUTE;
  assert.equal(quarantine.holds('poison'), false);
});

test('a first death does not count after ten minutes', () => {
  const { clock, made: quarantine } = at((now) => new Quarantine(now));
  quarantine.charge('unlucky');
  clock.now += 10 * MINUTE;

  assert.equal(quarantine.charge('unlucky'), false);
});

test('the number of suspects is bounded; the oldest are dropped', () => {
  const { made: quarantine } = at((now) => new Quarantine(now));
  for (let request = 0; request < 2000; request += 1) quarantine.charge(`request ${request}`);

  assert.equal(quarantine.size, 1000);
  assert.equal(quarantine.charge('request 1999'), true);
  assert.equal(quarantine.charge('request 0'), false);
});
