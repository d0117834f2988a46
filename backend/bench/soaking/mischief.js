/** What is done to workers in a soak: signals, silence, garbage on their stdout, the end of their input. */
import { spawn } from 'node:child_process';

const LONGEST_STOP_MS = 400; // within the time of a request, so that it is slow and not lost
const GARBAGE = ['garbage\n', '{"ok":true,"id":"nobody"}\n', '\u0000\u001b[2J', '[]\n', '{"ok":', '\ufffd'.repeat(5000), `${'9'.repeat(300)}\n`];

/** Everything that may be done to a worker, by name; each is given its process and a source of chance. */
const DEEDS = {
  SIGKILL: (worker) => worker.kill('SIGKILL'),
  SIGSEGV: (worker) => worker.kill('SIGSEGV'),
  SIGTERM: (worker) => worker.kill('SIGTERM'),
  SIGSTOP: (worker) => worker.kill('SIGSTOP'),
  slow: (worker, random) => {
    worker.kill('SIGSTOP');
    setTimeout(() => worker.kill('SIGCONT'), random() * LONGEST_STOP_MS);
  },
  EOF: (worker) => worker.stdin.end(),
  garbage: (worker, random) => worker.stdout.emit('data', Buffer.from(GARBAGE[Math.floor(random() * GARBAGE.length)])),
};

// Before `ready` garbage is another protocol, which is not tried again, and silence takes 20 s to be noticed: F06 and F07 have tests of their own.
const FOR_READY = new Set(['garbage', 'SIGSTOP']);

/** Starts the pool's processes, and does harm to those that live. */
export class Mischief {
  /** How often each was done. */
  counts = Object.fromEntries(Object.keys(DEEDS).map((name) => [name, 0]));

  #living = new Map();
  #random;

  /** @param {() => number} random */
  constructor(random) {
    this.#random = random;
  }

  /** A `spawn` for the pool. */
  spawn = (command, args, options) => {
    const started = spawn(command, args, options);
    if (started.pid !== undefined) this.#living.set(started.pid, started);
    started.on('exit', () => this.#living.delete(started.pid));
    return started;
  };

  /**
   * Do one thing to one of the given workers.
   *
   * @param {{pid: number | null, state: string}[]} workers
   * @returns {string | null} Its name; null where none of them lives.
   */
  strike(workers) {
    const victims = workers.filter(({ pid }) => this.#living.has(pid));
    if (victims.length === 0) return null;
    const { pid, state } = this.#pick(victims);
    const name = this.#pick(Object.keys(DEEDS).filter((deed) => state === 'ready' || !FOR_READY.has(deed)));
    DEEDS[name](this.#living.get(pid), this.#random);
    this.counts[name] += 1;
    return name;
  }

  #pick(list) {
    return list[Math.floor(this.#random() * list.length)];
  }
}
