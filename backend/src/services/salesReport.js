/** What recommendations have sold, and the arms of the experiment: the report of scripts/experiment.py, made in a process of its own. */
import { execFile } from 'node:child_process';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { scrubbed } from '../config/secrets.js';
import { childEnvironment, findPython } from './python/launch.js';

/**
 * @import { Logger } from 'pino'
 */

/**
 * @typedef {object} Sales
 * @property {any} report What `scripts/experiment.py report --json` prints; null where there is none yet.
 * @property {string | null} computedAt When it was made, in ISO 8601.
 * @property {boolean} isComputing Whether a newer one is being made.
 * @property {{code: 'too_large' | 'settings' | 'failed', message: string} | null} failure Why the last attempt made none.
 */

const REPOSITORY = fileURLToPath(new URL('../../../', import.meta.url));
const SCRIPT = path.join(REPOSITORY, 'scripts', 'experiment.py');
const MOST_EVENTS = 1_000_000; // impressions and clicks: ten seconds and half a gigabyte, as much as the service takes
const LONGEST_MS = 120_000;
const MOST_BYTES = 2 ** 20;
const FRESH_MS = 300_000;
const AGAIN_MS = 30_000; // after a failure
const CODES = { 65: 'too_large', 78: 'settings' }; // by Python's exit status

/** Keeps the newest report. One is made at a time, when an administrator looks, and behind the shop's own work. */
export class SalesReports {
  #parts;
  /** @type {Sales} */
  #known = { report: null, computedAt: null, isComputing: false, failure: null };
  #nextAt = -Infinity; // milliseconds since 1970
  #ending = new AbortController();
  /** @type {Promise<void>} */
  #made = Promise.resolve();

  /**
   * @param {{log: Pick<Logger, 'warn'>, python?: string, environ?: Record<string, string | undefined>, clock?: {now: () => number}, make?: (signal: AbortSignal) => Promise<any>}} parts
   *   `make` replaces Python in tests.
   */
  constructor({ log, python, environ = process.env, clock = Date, make = (signal) => reportOfPython({ python, environ, signal }) }) {
    this.#parts = { log, clock, make };
  }

  /** Return the newest report at once, and begin to make another one if it is old. */
  latest() {
    const now = this.#parts.clock.now();
    if (!this.#known.isComputing && now >= this.#nextAt && !this.#ending.signal.aborted) {
      this.#known = { ...this.#known, isComputing: true };
      this.#made = this.#make();
    }
    return this.#known;
  }

  /** Wait until nothing is being made. */
  async settled() {
    await this.#made;
  }

  /** End what is being made. */
  close() {
    this.#ending.abort();
  }

  async #make() {
    const { log, clock, make } = this.#parts;
    try {
      const report = await make(this.#ending.signal);
      this.#known = { report, computedAt: new Date(clock.now()).toISOString(), isComputing: false, failure: null };
      this.#nextAt = clock.now() + FRESH_MS;
    } catch (error) {
      const failure = failureOf(error);
      if (!this.#ending.signal.aborted) log.warn(failure, 'no report of what recommendations have sold');
      this.#known = { ...this.#known, isComputing: false, failure };
      this.#nextAt = clock.now() + AGAIN_MS;
    }
  }
}

async function reportOfPython({ python, environ, signal }) {
  const command = await findPython({ root: REPOSITORY, environ: python === undefined ? environ : { ...environ, PYTHON_BIN: python } });
  const args = ['-I', '-X', 'utf8', SCRIPT, 'report', '--json', '--most', String(MOST_EVENTS)];
  const options = { cwd: REPOSITORY, env: childEnvironment(environ), timeout: LONGEST_MS, killSignal: /** @type {const} */ ('SIGKILL'), maxBuffer: MOST_BYTES, signal };
  const running = promisify(execFile)(command, args, options);
  try {
    if (running.child.pid) os.setPriority(running.child.pid, os.constants.priority.PRIORITY_BELOW_NORMAL); // the shop’s own processes come first
  } catch {
    // it has ended already, or the system has no priorities
  }
  const { stdout } = await running;
  return JSON.parse(stdout);
}

/** @returns {NonNullable<Sales['failure']>} */
function failureOf(error) {
  const lines = String(error.stderr ?? '').trim().split('\n');
  const failure = /^experiment: (.*)$/.exec(lines[lines.length - 1] ?? '')?.[1];
  if (failure !== undefined) return { code: CODES[error.code] ?? 'failed', message: scrubbed(failure) };
  return { code: 'failed', message: error.killed ? `It took longer than ${LONGEST_MS / 1000} s.` : scrubbed(String(error.message).split('\n')[0]) };
}
