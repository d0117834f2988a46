/** The real server as a process of its own, with its log in a file, as in production. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, fstatSync, openSync, readFileSync, readSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import { eventually, PYTHON } from '../../test/harness.js';
import { SECRET, tokenOf } from '../../test/web/stage.js';
import { endsWithUs } from './interrupted.js';

const SERVER = fileURLToPath(new URL('../../src/server.js', import.meta.url));
const UNLIMITED = { RATE_LIMIT_IP: '0', RATE_LIMIT_USER: '0', RATE_LIMIT_LOGIN: '0' }; // all requests come from one address
const START_MS = 60_000;
const FATAL = 60; // of pino: an uncaught exception or an unhandled rejection
const STDERR = 'stderr';
const EXPECTED = /^(Rolling back|Committing) transaction \S+ failed with error/; // Sequelize's own words where the database goes away in the middle
const TICKS_PER_S = 100; // of /proc, on every Linux that Node runs on

/**
 * Start a server and wait until it listens.
 *
 * @param {Record<string, string>} variables
 * @param {{logFile: string, nodeOptions?: string[]}} options What the log holds already stays.
 */
export async function startServer(variables, { logFile, nodeOptions = [] }) {
  const before = sizeOf(logFile);
  const log = openSync(logFile, 'a');
  const { HOME, PATH } = process.env; // and nothing that a developer may have set
  const env = { HOME, PATH, PYTHON_BIN: PYTHON, PORT: '0', JWT_SECRET: SECRET, ...UNLIMITED, ...variables };
  const child = spawn(process.execPath, [...nodeOptions, SERVER], { env, stdio: ['ignore', log, log] });
  closeSync(log);
  endsWithUs(child);
  const ended = once(child, 'exit');
  const port = await eventually(() => listeningPort(child, textAfter(logFile, before)), START_MS);
  return new RunningServer({ child, ended, port });
}

/** Return what the log tells of defects: what nobody has caught, and whatever is no line of the log. */
export function defectsIn(logFile) {
  const lines = textAfter(logFile, 0).split('\n').filter(Boolean).map(parsed);
  const isDefect = ({ level, msg }) => level >= FATAL || (level === STDERR && !EXPECTED.test(msg));
  return lines.filter(isDefect).map(({ msg, err }) => err?.stack ?? msg);
}

class RunningServer {
  constructor({ child, ended, port }) {
    Object.assign(this, { child, ended, port, pid: child.pid, at: `http://127.0.0.1:${port}` });
  }

  /** Ask something; the answer's body is read as JSON where it is some. */
  async ask(method, path, { as, token = as === undefined ? undefined : tokenOf(as), body, headers } = {}) {
    const response = await fetch(`${this.at}${path}`, {
      method,
      headers: { ...(token && { Authorization: `Bearer ${token}` }), ...(body && { 'Content-Type': 'application/json' }), ...headers },
      body: typeof body === 'string' ? body : body && JSON.stringify(body),
    });
    const text = await response.text();
    return { status: response.status, body: response.headers.get('content-type')?.startsWith('application/json') ? JSON.parse(text) : text };
  }

  /** Return a number of the metrics; null where it is not there. */
  async metric(name) {
    const { body } = await this.ask('GET', '/metrics');
    const line = body.split('\n').find((text) => text.startsWith(`recsys_${name} `));
    return line === undefined ? null : Number(line.split(' ').at(-1));
  }

  /** Wait until all of its Python processes can answer. */
  async ready(workers) {
    await eventually(async () => {
      const ready = await this.metric('python_ready');
      if (ready !== workers) throw new Error(`${workers} Python processes should be ready. Received: ${ready}.`);
    }, START_MS);
  }

  /** Milliseconds for which its own process has computed, without its children; null where the system does not tell. */
  get processorMs() {
    try {
      const fields = readFileSync(`/proc/${this.pid}/stat`, 'latin1').replace(/^.*\) /s, '').split(' ');
      return ((Number(fields[11]) + Number(fields[12])) * 1000) / TICKS_PER_S;
    } catch {
      return null;
    }
  }

  /** End it as a service manager does. @returns {Promise<number | string>} How it ended. */
  async stop(signal = 'SIGTERM') {
    this.child.kill(signal);
    const [code, endedBy] = await this.ended;
    return endedBy ?? code;
  }
}

function listeningPort({ exitCode, signalCode }, text) {
  const said = text.split('\n').map(parsed).find(({ msg }) => /^listening/.test(msg));
  if (said !== undefined) return said.port;
  throw new Error(`The server should listen. Received: ${exitCode ?? signalCode ?? 'nothing yet'}; ${text.slice(-500)}`);
}

function parsed(line) {
  try {
    return JSON.parse(line);
  } catch {
    return { level: STDERR, msg: line };
  }
}

/** A log may be long, and is looked at often. */
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
