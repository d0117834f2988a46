/** The faults of a soak's workers: signals, pauses, garbage on stdout, the end of stdin. */
import { spawn } from 'node:child_process';

const MAX_PAUSE_MS = 400; // shorter than a request's timeout, so that the answer is slow but in time
const GARBAGE = [
  'garbage\n',
  '{"ok":true,"id":"nobody"}\n',
  '\u0000\u001b[2J',
  '[]\n',
  '{"ok":',
  '\ufffd'.repeat(5000),
  `${'9'.repeat(300)}\n`,
];

/** Every fault by name. Each gets the worker's process and a random generator. */
const FAULTS = {
  SIGKILL: (worker) => worker.kill('SIGKILL'),
  SIGSEGV: (worker) => worker.kill('SIGSEGV'),
  SIGTERM: (worker) => worker.kill('SIGTERM'),
  SIGSTOP: (worker) => worker.kill('SIGSTOP'),
  slow: (worker, random) => {
    worker.kill('SIGSTOP');
    setTimeout(() => worker.kill('SIGCONT'), random() * MAX_PAUSE_MS);
  },
  EOF: (worker) => worker.stdin.end(),
  garbage: (worker, random) => {
    worker.stdout.emit('data', Buffer.from(GARBAGE[Math.floor(random() * GARBAGE.length)]));
  },
};

// Before `ready`, garbage counts as another protocol, after which nothing is started, and a stopped process is noticed
// after 20 s. Faults F06 and F07 have tests of their own.
const ONLY_WHEN_READY = new Set(['garbage', 'SIGSTOP']);

/** Starts the pool's processes, and injects faults into them. */
export class FaultInjector {
  /** How often each fault was injected. */
  counts = Object.fromEntries(Object.keys(FAULTS).map((name) => [name, 0]));

  #running = new Map(); // processes by pid
  #random;

  /** @param {() => number} random From 0 to 1. */
  constructor(random) {
    this.#random = random;
  }

  /** A `spawn` for the pool. */
  spawn = (command, args, options) => {
    const child = spawn(command, args, options);
    if (child.pid !== undefined) this.#running.set(child.pid, child);
    child.on('exit', () => this.#running.delete(child.pid));
    return child;
  };

  /**
   * Inject a random fault into a random worker.
   *
   * @param {{pid: number | null, state: string}[]} workers
   * @returns {string | null} The fault's name, or null if no worker is running.
   */
  inject(workers) {
    const targets = workers.filter(({ pid }) => this.#running.has(pid));
    if (targets.length === 0) return null;
    const { pid, state } = this.#pick(targets);
    const name = this.#pick(Object.keys(FAULTS).filter((fault) => state === 'ready' || !ONLY_WHEN_READY.has(fault)));
    FAULTS[name](this.#running.get(pid), this.#random);
    this.counts[name] += 1;
    return name;
  }

  #pick(list) {
    return list[Math.floor(this.#random() * list.length)];
  }
}
