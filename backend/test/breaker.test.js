/** The breaker, the backoff and the quarantine: three small memories of deaths. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Backoff, Breaker, Quarantine } from '../src/services/python/health.js';

const MINUTE = 60_000;

/** Return something with a clock that stands still until `clock.now` is changed. */
function at(make) {
  const clock = { now: 1_000_000 };
  return { clock, made: make(() => clock.now) };
}

function opened() {
  const { clock, made: breaker } = at((now) => new Breaker(now));
  for (let death = 0; death < 5; death += 1) breaker.die();
  return { clock, breaker };
}

test('four deaths are borne, the fifth opens the breaker', () => {
  const { made: breaker } = at((now) => new Breaker(now));

  assert.deepEqual(
    [1, 2, 3, 4, 5].map(() => breaker.die()),
    [false, false, false, false, true],
  );
  assert.deepEqual([breaker.state, breaker.admit()], ['open', 'refuse']);
});

test('deaths older than three minutes do not count', () => {
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

test('a probe that is answered closes the breaker and forgets the deaths', () => {
  const { clock, breaker } = opened();
  clock.now += 30_000;
  breaker.admit();
  breaker.succeed();

  assert.deepEqual([breaker.state, breaker.recentDeaths, breaker.admit()], ['closed', 0, 'pass']);
});

test('a death while probing opens it for another cool-down', () => {
  const { clock, breaker } = opened();
  clock.now += 30_000;
  breaker.admit();

  assert.equal(breaker.die(), true);
  assert.equal(breaker.admit(), 'refuse');
  clock.now += 30_000;
  assert.equal(breaker.admit(), 'probe');
});

test('a probe without a result lets another one through', () => {
  const { clock, breaker } = opened();
  clock.now += 30_000;
  breaker.admit();
  breaker.release();

  assert.deepEqual([breaker.admit(), breaker.admit()], ['probe', 'refuse']);
});

test('a death of a leftover while it is open changes nothing', () => {
  const { clock, breaker } = opened();
  clock.now += 29_000;

  assert.equal(breaker.die(), false);
  clock.now += 1000;
  assert.equal(breaker.admit(), 'probe');
});

test('the wait doubles from 0.1 s to 30 s, with full jitter', () => {
  const { made: longest } = at((now) => new Backoff(now, () => 1));
  const { made: shortest } = at((now) => new Backoff(now, () => 0));
  const waits = Array.from({ length: 11 }, () => longest.next());

  assert.deepEqual(waits, [100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000]);
  assert.equal(shortest.next(), 0);
});

test('after a healthy minute the next death is a first one again', () => {
  const { clock, made: backoff } = at((now) => new Backoff(now, () => 1));
  backoff.next();
  clock.now += MINUTE - 1;
  assert.equal(backoff.next(), 200);
  clock.now += MINUTE;
  assert.equal(backoff.next(), 100);
});

test('a request is kept away from its second death on, for ten minutes', () => {
  const { clock, made: quarantine } = at((now) => new Quarantine(now));

  assert.deepEqual([quarantine.charge('poison'), quarantine.holds('poison')], [false, false]);
  clock.now += 9 * MINUTE;
  assert.deepEqual([quarantine.charge('poison'), quarantine.holds('poison')], [true, true]);
  assert.equal(quarantine.holds('another'), false);
  clock.now += 10 * MINUTE;
  assert.equal(quarantine.holds('poison'), false);
});

test('a first death is forgotten after ten minutes', () => {
  const { clock, made: quarantine } = at((now) => new Quarantine(now));
  quarantine.charge('unlucky');
  clock.now += 10 * MINUTE;

  assert.equal(quarantine.charge('unlucky'), false);
});

test('the memory of suspects is bounded; the oldest go first', () => {
  const { made: quarantine } = at((now) => new Quarantine(now));
  for (let request = 0; request < 2000; request += 1) quarantine.charge(`request ${request}`);

  assert.equal(quarantine.size, 1000);
  assert.equal(quarantine.charge('request 1999'), true);
  assert.equal(quarantine.charge('request 0'), false);
});
