/** A `localStorage` in memory. */
export class FakeStorage {
  setItem(name, value) {
    this[name] = String(value);
  }

  getItem(name) {
    return Object.hasOwn(this, name) ? this[name] : null;
  }

  removeItem(name) {
    delete this[name];
  }
}

/** Timers and a clock that move when they are told to. */
export function fakeClock(start = 1_760_000_000_000) {
  let now = start;
  let timers = [];
  return {
    now: () => now,
    setTimer(action, ms) {
      const timer = { action, at: now + ms };
      timers.push(timer);
      return timer;
    },
    clearTimer(timer) {
      timers = timers.filter((other) => other !== timer);
    },
    /** Let time pass, and all that becomes due in it. */
    async pass(ms) {
      const end = now + ms;
      for (;;) {
        const [next] = timers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at);
        if (!next) break;
        now = Math.max(now, next.at);
        timers = timers.filter((other) => other !== next);
        next.action();
        await settled();
      }
      now = end;
    },
    get nextIn() {
      return Math.min(...timers.map(({ at }) => at)) - now;
    },
  };
}

/** Let promises that wait for nothing else be resolved. */
export async function settled() {
  await new Promise((resolve) => setImmediate(resolve));
}
