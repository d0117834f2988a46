/** Fake clocks, processes and random generators. */
import { EventEmitter } from 'node:events';
import { PassThrough } from 'node:stream';

/** A clock that stands still until `advance` is called. */
export class FakeClock {
  #now = 1; // 0 would be no moment for lru-cache
  #timers = new Map();
  #last = 0;

  now = () => this.#now;

  setTimeout = (callback, ms) => {
    this.#last += 1;
    this.#timers.set(this.#last, { callback, due: this.#now + Math.max(0, ms) });
    return this.#last;
  };

  clearTimeout = (timer) => {
    this.#timers.delete(timer);
  };

  get timers() {
    return this.#timers.size;
  }

  /** Move the clock, and call every timer that becomes due, in order. */
  async advance(ms) {
    const end = this.#now + ms;
    for (;;) {
      await settled();
      const [next] = [...this.#timers].filter(([, { due }]) => due <= end).sort(([, one], [, other]) => one.due - other.due);
      if (next === undefined) break;
      const [timer, { callback, due }] = next;
      this.#timers.delete(timer);
      this.#now = Math.max(this.#now, due);
      callback();
    }
    this.#now = end;
    await settled();
  }
}

/** Wait until promises and streams have done what is due. */
export async function settled() {
  for (let turn = 0; turn < 3; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

/** A process that a test controls. */
export class FakeProcess extends EventEmitter {
  static nextPid = 100_000_000; // beyond every real process

  pid = FakeProcess.nextPid++;
  stdin = new PassThrough();
  stdout = new PassThrough();
  stderr = new PassThrough();
  requests = [];
  signals = [];
  hasEnded = false;
  isDeaf = false; // to every signal but SIGKILL

  constructor() {
    super();
    let text = '';
    this.stdin.on('data', (data) => {
      const lines = (text + data).split('\n');
      text = lines.pop();
      this.requests.push(...lines.map((line) => JSON.parse(line)));
    });
    this.stdin.on('end', () => this.emit('input-ended'));
  }

  /** Write a document as one line. */
  say(document) {
    this.stdout.write(typeof document === 'string' ? document : `${JSON.stringify(document)}\n`);
  }

  ready() {
    this.say({ ready: true, protocol: 1, version: 'v1', limits: {}, pid: this.pid });
  }

  /** Answer the oldest request without an answer. */
  answer(changes = {}) {
    const request = this.requests.shift();
    const listing = { model: 'BMF', model_version: 'v1', items: [], runs: [], warnings: [], source: 'model' };
    this.say({ ok: true, user_id: request.user_id ?? null, ...listing, id: request.id, ...changes });
  }

  exit(code, signal = null) {
    if (this.hasEnded) return;
    this.hasEnded = true;
    this.stdout.end();
    this.stderr.end();
    this.emit('exit', code, signal);
    setImmediate(() => this.emit('close', code, signal));
  }

  receive(signal) {
    if (this.hasEnded) return; // a group is signalled once more after its end, for processes that it left behind
    this.signals.push(signal);
    if (signal === 'SIGKILL' || !this.isDeaf) this.exit(null, signal);
  }
}

/** Return a `spawn` and a `kill` that make and signal fake processes, and the list of those made. */
export function fakeProcesses() {
  const made = [];
  const spawn = () => {
    made.push(new FakeProcess());
    return made.at(-1);
  };
  const kill = (group, signal) => made.find(({ pid }) => pid === -group)?.receive(signal);
  return { made, spawn, kill };
}

/** Return a `spawn` that fails as Node's does if the system refuses. */
export function failingSpawn(code) {
  return () => {
    const failed = new EventEmitter();
    process.nextTick(() => failed.emit('error', Object.assign(new Error(`spawn python ${code}`), { code })));
    return failed;
  };
}

/** Return a `spawn` that throws, as Node's does for other reasons. */
export function throwingSpawn(code) {
  return () => {
    throw Object.assign(new Error(`spawn python ${code}`), { code });
  };
}

/** Return a random generator: a function that returns numbers from 0 to 1. */
export function seeded(seed) {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0; // linear congruential: Numerical Recipes, chapter 7
    return state / 2 ** 32;
  };
}
