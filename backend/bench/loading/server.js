/** The real server as a process of its own, with its log in a file. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, fstatSync, openSync, readdirSync, readFileSync, readSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import { residentBytes } from '../../src/services/python/process.js';
import { eventually, PYTHON } from '../../test/harness.js';
import { SECRET, tokenOf } from '../../test/web/stage.js';
import { endsWithUs } from './interrupted.js';

const SERVER = fileURLToPath(new URL('../../src/server.js', import.meta.url));
const UNLIMITED = { RATE_LIMIT_IP: '0', RATE_LIMIT_USER: '0', RATE_LIMIT_LOGIN: '0' }; // all requests come from one address
const START_MS = 60_000;
const FATAL = 60; // of pino: an uncaught exception or an unhandled rejection
const STDERR = 'stderr';
const EXPECTED = /^(Rolling back|Committing) transaction \S+ failed with error/; // printed by Sequelize if the database fails in a transaction
const TICKS_PER_S = 100; // of /proc/<pid>/stat on Linux

/**
 * Start a server and wait until it listens.
 *
 * @param {Record<string, string>} variables
 * @param {{logFile: string, nodeOptions?: string[]}} options The log is appended to.
 */
export async function startServer(variables, { logFile, nodeOptions = [] }) {
  const before = sizeOf(logFile);
  const log = openSync(logFile, 'a');
  const { HOME, PATH } = process.env; // without other variables of the developer
  const env = { HOME, PATH, PYTHON_BIN: PYTHON, PORT: '0', JWT_SECRET: SECRET, ...UNLIMITED, ...variables };
  const child = spawn(process.execPath, [...nodeOptions, SERVER], { env, stdio: ['ignore', log, log] });
  closeSync(log);
  endsWithUs(child);
  const ended = once(child, 'exit');
  const port = await eventually(() => listeningPort(child, textAfter(logFile, before)), START_MS);
  return new RunningServer({ child, ended, port });
}

/** Return the defects in a log: uncaught errors, and lines that the logger did not write. */
export function defectsIn(logFile) {
  const lines = textAfter(logFile, 0).split('\n').filter(Boolean).map(parsed);
  const isDefect = ({ level, msg }) => level >= FATAL || (level === STDERR && !EXPECTED.test(msg));
  return lines.filter(isDefect).map(({ msg, err }) => err?.stack ?? msg);
}

class RunningServer {
  constructor({ child, ended, port }) {
    Object.assign(this, { child, ended, port, pid: child.pid, at: `http://127.0.0.1:${port}` });
  }

  /** Send a request. Returns its status, and its body, parsed if it is JSON. */
  async ask(method, path, { as, token = as === undefined ? undefined : tokenOf(as), body, headers } = {}) {
    const response = await fetch(`${this.at}${path}`, {
      method,
      headers: { ...(token && { Authorization: `Bearer ${token}` }), ...(body && { 'Content-Type': 'application/json' }), ...headers },
      body: typeof body === 'string' ? body : body && JSON.stringify(body),
    });
    const text = await response.text();
    return { status: response.status, body: response.headers.get('content-type')?.startsWith('application/json') ? JSON.parse(text) : text };
  }

  /** Return the value of a metric, or null if it is missing. */
  async metric(name) {
    const { body } = await this.ask('GET', '/metrics');
    const line = body.split('\n').find((text) => text.startsWith(`recsys_${name} `));
    return line === undefined ? null : Number(line.split(' ').at(-1));
  }

  /** Wait until all Python processes are ready. */
  async ready(workers) {
    await eventually(async () => {
      const ready = await this.metric('python_ready');
      if (ready !== workers) throw new Error(`${workers} Python processes should be ready. Received: ${ready}.`);
    }, START_MS);
  }

  /** The processor time of the server's process in milliseconds, without its children; null if the system does not provide it. */
  get processorMs() {
    try {
      const fields = readFileSync(`/proc/${this.pid}/stat`, 'latin1').replace(/^.*\) /s, '').split(' ');
      return ((Number(fields[11]) + Number(fields[12])) * 1000) / TICKS_PER_S;
    } catch {
      return null;
    }
  }

  /** The memory of the server's process in bytes, without its children, and how many descriptors it has open. */
  get resources() {
    return { rss: residentBytes(this.pid), descriptors: readdirSync(`/proc/${this.pid}/fd`).length };
  }

  /** End the server by a signal, as a service manager does. @returns {Promise<number | string>} Its exit status, or the signal. */
  async stop(signal = 'SIGTERM') {
    this.child.kill(signal);
    const [code, endedBy] = await this.ended;
    return endedBy ?? code;
  }
}

function listeningPort({ exitCode, signalCode }, text) {
  const line = text.split('\n').map(parsed).find(({ msg }) => /^listening/.test(msg));
  if (line !== undefined) return line.port;
  throw new Error(`The server should listen. Received: ${exitCode ?? signalCode ?? 'nothing yet'}; ${text.slice(-500)}`);
}

function parsed(line) {
  try {
    return JSON.parse(line);
  } catch {
    return { level: STDERR, msg: line };
  }
}

/** Return the text of a file from a byte on. A long log is not read as a whole each time. */
function textAfter(file, start) {
  const descriptor = openSync(file, 'r');
  try {
    const bytes = Buffer.alloc(Math.max(0, fstatSync(descriptor).size - start));
    return bytes.subarray(0, readSync(descriptor, bytes, 0, bytes.length, start)).toString('utf8');
  } finally {
    closeSync(descriptor);
  }
}

function sizeOf(file) {
  return statSync(file, { throwIfNoEntry: false })?.size ?? 0;
}
