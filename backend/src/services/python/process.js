/** A Python process: `Child` is a running one, `StderrRing` the newest part of its stderr. */
import { spawn as spawnProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';

import { systemClock } from '../../concurrency/time.js';
import { badAnswer, LineSplitter, MAX_ANSWER_BYTES } from './protocol.js';

/**
 * @import { ChildProcess } from 'node:child_process'
 * @import { Clock } from '../../concurrency/time.js'
 * @import { PythonBridgeError } from './failures.js'
 * @import { LaunchPlan } from './launch.js'
 */

/**
 * @typedef {object} End How a process ended.
 * @property {number | null} exitCode
 * @property {string | null} signal
 * @property {NodeJS.ErrnoException | null} error Why it could not be started.
 * @property {StderrRing} stderr
 */

const WINDOWS = process.platform === 'win32';

/** How long after the process its stdout may end; a grandchild may hold the pipe open for ever. */
export const DRAIN_MS = 250;

const children = new Set(); // that are running

/**
 * A child process in its own process group. Errors of its streams are handled here and never thrown in Node.
 *
 * Its kinds define `onLine`, `onOutputEnd`, `onInputBroken` and `terminate`.
 *
 * @abstract
 */
export class Child {
  /** The newest part of what it wrote to stderr. */
  stderr = new StderrRing();
  /**
   * How it ended; never rejects.
   *
   * @type {Promise<End>}
   */
  ended;
  output = new LineSplitter(MAX_ANSWER_BYTES, (line) => this.onLine(line));
  /** @type {Clock} */
  clock;

  /** @type {ChildProcess | null} */
  #process = null;
  #kill;
  /** @type {NodeJS.Timeout | null} */
  #drainTimer = null;
  #resolveEnded;

  /**
   * Start a process.
   *
   * @param {LaunchPlan} plan
   * @param {{spawn?: typeof spawnProcess, kill?: typeof process.kill, clock?: Clock}} [seams] For tests.
   */
  constructor(plan, { spawn = spawnProcess, kill = process.kill, clock = systemClock } = {}) {
    this.clock = clock;
    this.#kill = kill;
    this.ended = new Promise((resolve) => {
      this.#resolveEnded = resolve;
    });
    this.#start(plan, spawn);
  }

  /**
   * Called with each line of stdout.
   *
   * @param {Buffer} _line
   */
  onLine(_line) {}

  /** Called when stdout ends; the process will answer no more. */
  onOutputEnd() {}

  /** Called when stdin has no reader any more. */
  onInputBroken() {}

  /**
   * Called with `bad_answer` if a line of stdout is too long.
   *
   * @param {PythonBridgeError} _failure
   */
  terminate(_failure) {}

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

  /** Send a signal to the whole process group, so that processes which the child started end with it. */
  kill(signal) {
    if (this.#process === null) return;
    try {
      if (WINDOWS) this.#process.kill(signal);
      else this.#kill(-(/** @type {number} */ (this.#process.pid)), signal);
    } catch {
      // ESRCH: the group has ended already
    }
  }

  #start({ command, args, cwd, env }, spawn) {
    const stdio = ['pipe', 'pipe', 'pipe'];
    let child;
    try {
      child = spawn(command, args, { cwd, env, stdio, shell: false, detached: !WINDOWS, windowsHide: true });
    } catch (error) {
      this.#finish({ exitCode: null, signal: null, error });
      return;
    }
    child.stdin?.on('error', () => this.onInputBroken()); // EPIPE
    child.stdout?.on('error', () => this.onOutputEnd());
    child.stderr?.on('error', () => {}); // stderr is only for people
    child.on('error', (error) => {
      // With a pid the process is running, and the error is that of a signal.
      if (child.pid === undefined) this.#finish({ exitCode: null, signal: null, error });
    });
    if (child.pid === undefined) return;
    this.#process = child;
    if (children.size === 0) process.on('exit', killAll); // a process group of its own gets no Ctrl-C from the terminal
    children.add(this);
    child.stdout.on('data', (chunk) => this.#onOutput(chunk));
    child.stdout.on('end', () => this.onOutputEnd());
    child.stderr.on('data', (chunk) => this.stderr.push(chunk));
    child.on('exit', (exitCode, signal) => this.#onExit({ exitCode, signal, error: null }));
  }

  #onOutput(chunk) {
    if (!this.output.push(chunk)) this.terminate(badAnswer(`more than ${MAX_ANSWER_BYTES} bytes`));
  }

  /** Wait for the rest of the output, but no longer than `DRAIN_MS`. */
  #onExit(end) {
    this.kill('SIGKILL'); // processes that the child left behind may hold its pipes
    const finish = () => this.#finish(end);
    this.#drainTimer = this.clock.setTimeout(finish, DRAIN_MS);
    this.#process?.on('close', finish);
  }

  #finish(end) {
    this.clock.clearTimeout(this.#drainTimer);
    const { stdin, stdout, stderr } = this.#process ?? {};
    for (const stream of [stdin, stdout, stderr]) stream?.destroy();
    this.#process = null;
    children.delete(this);
    if (children.size === 0) process.off('exit', killAll);
    this.#resolveEnded({ ...end, stderr: this.stderr });
  }
}

function killAll() {
  for (const child of children) child.kill('SIGKILL');
}

/** Return a process's resident memory in bytes; 0 on systems without /proc, so that no limit is reached there. */
export function residentBytes(pid) {
  try {
    return 1024 * Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0);
  } catch {
    return 0;
  }
}

// Stderr

const RING_BYTES = 64 * 1024; // some tracebacks; an endless stream needs no more memory than that
const TAIL_CHARACTERS = 4000; // in one error
const WATCHDOG = /^Timeout \(/m; // the first words of a dump by faulthandler

// Terminal commands (colours, window titles).
const TERMINAL = /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|.?)/gs;
// Control characters, line separators, and characters that change the direction of text.
const UNPRINTABLE = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** The newest 64 KiB of a child's stderr, for people. The program itself only looks for the watchdog's first words. */
export class StderrRing {
  /** @type {Buffer} */
  #newest = Buffer.alloc(0);

  /** Add bytes, and forget all but the newest. */
  push(chunk) {
    this.#newest = Buffer.concat([this.#newest, chunk]).subarray(-RING_BYTES);
  }

  /** The number of bytes in memory. */
  get bytes() {
    return this.#newest.length;
  }

  /** Whether Python's watchdog has ended the process while it was computing. */
  get hasTimeout() {
    return WATCHDOG.test(this.#newest.toString());
  }

  /** Return the end of it as one line. Line ends show as \n; it cannot forge log lines or colours. */
  tail() {
    return oneLine(this.#newest.toString()).slice(-TAIL_CHARACTERS);
  }
}

function oneLine(text) {
  const plain = text.replace(TERMINAL, '').replace(/\r\n?/g, '\n').replace(UNPRINTABLE, '');
  return plain.trimEnd().replaceAll('\n', '\\n');
}
