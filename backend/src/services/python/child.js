import { spawn as spawnProcess } from 'node:child_process';

import { systemClock } from '../../concurrency/clock.js';
import { StderrRing } from './stderrRing.js';

/** The end of a process and the end of its stdout belong together; a process of its own may hold the pipe open for ever. */
export const DRAIN_MS = 250;

const WINDOWS = process.platform === 'win32';
const alive = new Set();

/** A child process in a group of its own, with every stream looked after: nothing it does can throw in this process. */
export class Child {
  /** The newest of what it wrote to stderr. */
  stderr = new StderrRing();
  /** @type {Promise<{exitCode: number | null, signal: string | null, error: Error | null, stderr: StderrRing}>} Never rejects. */
  ended;

  #process = null;
  #clock;
  #kill;
  #handlers;
  #drain = null;
  #end;

  /**
   * Start a process.
   *
   * @param {{command: string, args: string[], cwd: string, env: Record<string, string>}} plan
   * @param {object} handlers
   * @param {(chunk: Buffer) => void} handlers.onOutput Bytes of stdout.
   * @param {() => void} handlers.onOutputEnd No more of them: the process is about to end, or it will never answer again.
   * @param {() => void} handlers.onInputBroken Nobody reads its stdin any more.
   * @param {{spawn?: typeof spawnProcess, kill?: typeof process.kill, clock?: typeof systemClock}} [seams]
   */
  constructor(plan, handlers, { spawn = spawnProcess, kill = process.kill, clock = systemClock } = {}) {
    this.#clock = clock;
    this.#kill = kill;
    this.#handlers = handlers;
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
    this.#start(plan, spawn);
  }

  get pid() {
    return this.#process?.pid ?? null;
  }

  /** Write bytes to its stdin. */
  write(bytes) {
    this.#process?.stdin?.write(bytes);
  }

  /** Close its stdin. */
  endInput() {
    this.#process?.stdin?.end();
  }

  /** Signal the whole group: what the child has started goes with it. */
  kill(signal) {
    if (this.#process === null) return;
    try {
      if (WINDOWS) this.#process.kill(signal);
      else this.#kill(-this.#process.pid, signal);
    } catch {
      // ESRCH: the group is gone already
    }
  }

  #start({ command, args, cwd, env }, spawn) {
    let started;
    try {
      started = spawn(command, args, { cwd, env, stdio: ['pipe', 'pipe', 'pipe'], shell: false, detached: !WINDOWS, windowsHide: true });
    } catch (error) {
      this.#finish({ exitCode: null, signal: null, error });
      return;
    }
    started.stdin?.on('error', () => this.#handlers.onInputBroken()); // EPIPE
    started.stdout?.on('error', () => this.#handlers.onOutputEnd());
    started.stderr?.on('error', () => {}); // only people miss it
    started.on('error', (error) => {
      if (started.pid === undefined) this.#finish({ exitCode: null, signal: null, error }); // otherwise a signal did not arrive
    });
    if (started.pid === undefined) return;
    this.#process = started;
    remember(this);
    started.stdout.on('data', (chunk) => this.#handlers.onOutput(chunk));
    started.stdout.on('end', () => this.#handlers.onOutputEnd());
    started.stderr.on('data', (chunk) => this.stderr.push(chunk));
    started.on('exit', (exitCode, signal) => this.#drained({ exitCode, signal, error: null }));
  }

  #drained(end) {
    this.kill('SIGKILL'); // what it leaves behind may hold its pipes
    const settle = () => this.#finish(end);
    this.#drain = this.#clock.setTimeout(settle, DRAIN_MS);
    this.#process.on('close', settle);
  }

  #finish(end) {
    this.#clock.clearTimeout(this.#drain);
    const { stdin, stdout, stderr } = this.#process ?? {};
    for (const stream of [stdin, stdout, stderr]) stream?.destroy();
    this.#process = null;
    forget(this);
    this.#end({ ...end, stderr: this.stderr });
  }
}

function killAll() {
  for (const child of alive) child.kill('SIGKILL');
}

function remember(child) {
  if (alive.size === 0) process.on('exit', killAll); // a group of its own gets no Ctrl-C from the terminal
  alive.add(child);
}

function forget(child) {
  alive.delete(child);
  if (alive.size === 0) process.off('exit', killAll);
}
