import { PythonBridgeError } from './failures.js';

const LONGEST_MS = 600_000; // what `budget_ms` can say; timers would wrap around at 25 days

/**
 * Return the moment on the clock at which a request's time is up.
 *
 * @param {number} timeoutMs Milliseconds from now; nothing left is a deadline, not a mistake.
 * @param {{now: () => number}} clock
 * @throws {TypeError} It is no number.
 * @throws {PythonBridgeError} `deadline`
 */
export function deadlineIn(timeoutMs, clock) {
  if (typeof timeoutMs !== 'number' || Number.isNaN(timeoutMs)) {
    throw new TypeError(`\`timeoutMs\` should be a number of milliseconds. Received: ${typeof timeoutMs}.`);
  }
  if (timeoutMs <= 0) throw outOfTime();
  return clock.now() + Math.min(timeoutMs, LONGEST_MS);
}

/** Return what a promise resolves to, if it does so before the deadline. */
export async function inTime(promise, deadline, clock) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = clock.setTimeout(() => reject(outOfTime()), deadline - clock.now());
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clock.clearTimeout(timer);
  }
}

/** Return the failure of a request whose time is up. */
export function outOfTime() {
  return new PythonBridgeError('deadline', 'Python should answer in time. Received: no answer.');
}
