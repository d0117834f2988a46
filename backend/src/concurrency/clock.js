/** Time that only moves forward, and timers on it. Tests bring a clock of their own, so everything that waits takes one. */
export const systemClock = Object.freeze({
  now: () => performance.now(), // milliseconds; unlike Date.now() no administrator can turn it back
  setTimeout: (callback, ms) => setTimeout(callback, ms),
  clearTimeout: (timer) => clearTimeout(timer),
});
