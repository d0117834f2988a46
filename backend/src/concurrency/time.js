/** Waiting and time: the clock, deadlines of promises (`withinMs`), and pauses after failures. */

/**
 * A monotonic clock with timers. Everything that waits takes a clock as an argument, so that tests can pass a fake.
 *
 * @typedef {typeof systemClock} Clock
 */
export const systemClock = Object.freeze({
  now: () => performance.now(), // milliseconds; it never goes back, unlike Date.now()
  setTimeout: (callback, ms) => setTimeout(callback, ms),
  clearTimeout: (timer) => clearTimeout(timer),
});

/** Something took longer than allowed. */
export class TooLate extends Error {
  name = 'TooLate';
}

/**
 * Return what a promise resolves to, if it does so in time. A later result or failure is ignored.
 *
 * @template T
 * @param {number} ms
 * @param {Promise<T>} promise
 * @param {Clock} [clock]
 * @returns {Promise<T>}
 * @throws {TooLate}
 */
export async function withinMs(ms, promise, clock = systemClock) {
  let timer;
  const late = new Promise((_, reject) => {
    const failure = () => new TooLate(`There should be an answer within ${ms} ms. Received: none.`);
    timer = clock.setTimeout(() => reject(failure()), ms);
  });
  try {
    return await Promise.race([promise, late]); // a rejection after the race counts as handled
  } finally {
    clock.clearTimeout(timer);
  }
}
