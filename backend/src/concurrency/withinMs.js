import { systemClock } from './clock.js';

/** Something took longer than it may. */
export class TooLate extends Error {
  name = 'TooLate';
}

/**
 * Return what a promise resolves to, if it does so in time. What it does after that is nobody's business, a failure included.
 *
 * @template T
 * @param {number} ms
 * @param {Promise<T>} promise
 * @param {object} [clock]
 * @returns {Promise<T>}
 * @throws {TooLate}
 */
export async function withinMs(ms, promise, clock = systemClock) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = clock.setTimeout(() => reject(new TooLate(`There should be an answer within ${ms} ms. Received: none.`)), ms);
  });
  try {
    return await Promise.race([promise, late]); // a loser that rejects later has been listened to, and is not unhandled
  } finally {
    clock.clearTimeout(timer);
  }
}
