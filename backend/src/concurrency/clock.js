/** A monotonic clock with timers. Everything that waits takes a clock as an argument, so that tests can pass a fake. */
export const systemClock = Object.freeze({
  now: () => performance.now(), // milliseconds; it never goes back, unlike Date.now()
  setTimeout: (callback, ms) => setTimeout(callback, ms),
  clearTimeout: (timer) => clearTimeout(timer),
});
