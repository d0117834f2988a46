/** A Python process: `Child` is a running one, `StderrRing` the newest part of its stderr. */
import { spawn as spawnProcess } from 'node:child_process';

import { systemClock } from '../../concurrency/time.js';

/**
 * @import { ChildProcess } from 'node:child_process'
 * @import { Clock } from '../../concurrency/time.js'
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

/** A child process in its own process group. Errors of its streams are handled here and never thrown in Node. */
export class Child {
  /** The newest part of what it wrote to stderr. */
  stderr = new StderrRing();
  /**
   * How it ended; never rejects.
   *
   * @type {Promise<End>}
   */
  ended;

  /** @type {ChildProcess | null} */
  #process = null;
  /** @type {Clock} */
  #clock;
  #kill;
  #handlers;
  /** @type {NodeJS.Timeout | null} */
  #drainTimer = null;
  #resolveEnded;

  /**
   * Start a process.
   *
   * @param {LaunchPlan} plan
   * @param {object} handlers
   * @param {(chunk: Buffer) => void} handlers.onOutput Called with bytes of stdout.
   * @param {() => void} handlers.onOutputEnd Called when stdout ends; the process will answer no more.
   * @param {() => void} handlers.onInputBroken Called when stdin has no reader any more.
   * @param {{spawn?: typeof spawnProcess, kill?: typeof process.kill, clock?: Clock}} [seams] For tests.
   */
  constructor(plan, handlers, { spawn = spawnProcess, kill = process.kill, clock = systemClock } = {}) {
    this.#clock = clock;
    this.#kill = kill;
    this.#handlers = handlers;
    this.ended = new Promise((resolve) => {
      this.#resolveEnded = resolve;
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
    child.stdin?.on('error', () => this.#handlers.onInputBroken()); // EPIPE
    child.stdout?.on('error', () => this.#handlers.onOutputEnd());
    child.stderr?.on('error', () => {}); // stderr is only for people
    child.on('error', (error) => {
      // With a pid the process is running, and the error is that of a signal.
      if (child.pid === undefined) this.#finish({ exitCode: null, signal: null, error });
    });
    if (child.pid === undefined) return;
    this.#process = child;
    trackChild(this);
    child.stdout.on('data', (chunk) => this.#handlers.onOutput(chunk));
    child.stdout.on('end', () => this.#handlers.onOutputEnd());
    child.stderr.on('data', (chunk) => this.stderr.push(chunk));
    child.on('exit', (exitCode, signal) => this.#onExit({ exitCode, signal, error: null }));
  }

  /** Wait for the rest of the output, but no longer than `DRAIN_MS`. */
  #onExit(end) {
    this.kill('SIGKILL'); // processes that the child left behind may hold its pipes
    const finish = () => this.#finish(end);
    this.#drainTimer = this.#clock.setTimeout(finish, DRAIN_MS);
    this.#process?.on('close', finish);
  }

  #finish(end) {
    this.#clock.clearTimeout(this.#drainTimer);
    const { stdin, stdout, stderr } = this.#process ?? {};
    for (const stream of [stdin, stdout, stderr]) stream?.destroy();
    this.#process = null;
    untrackChild(this);
    this.#resolveEnded({ ...end, stderr: this.stderr });
  }
}

function trackChild(child) {
  if (children.size === 0) process.on('exit', killAll); // a process group of its own gets no Ctrl-C from the terminal
  children.add(child);
}

function untrackChild(child) {
  children.delete(child);
  if (children.size === 0) process.off('exit', killAll);
}

function killAll() {
  for (const child of children) child.kill('SIGKILL');
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
  /** @type {Buffer | null} */
  #ring = null;
  #end = 0;
  #received = 0;

  /** Add bytes; the oldest ones are overwritten. */
  push(chunk) {
    this.#ring ??= Buffer.alloc(RING_BYTES);
    const newest = chunk.subarray(-RING_BYTES);
    const upToEdge = newest.copy(this.#ring, this.#end);
    newest.copy(this.#ring, 0, upToEdge);
    this.#end = (this.#end + newest.length) % RING_BYTES;
    this.#received += chunk.length;
  }

  /** The number of bytes in memory. */
  get bytes() {
    return Math.min(this.#received, RING_BYTES);
  }

  /** Whether Python's watchdog has ended the process while it was computing. */
  get hasTimeout() {
    return WATCHDOG.test(this.#text());
  }

  /** Return the end of it as one line. Line ends show as \n; it cannot forge log lines or colours. */
  tail() {
    return oneLine(this.#text()).slice(-TAIL_CHARACTERS);
  }

  #text() {
    if (this.#ring === null) return '';
    const newest = this.#ring.subarray(0, this.#end);
    const bytes = this.#received < RING_BYTES ? newest : Buffer.concat([this.#ring.subarray(this.#end), newest]);
    return bytes.toString('utf8');
  }
}

function oneLine(text) {
  const plain = text.replace(TERMINAL, '').replace(/\r\n?/g, '\n').replace(UNPRINTABLE, '');
  return plain.trimEnd().replaceAll('\n', '\\n');
}
