/** The server as a process of its own, and requests to it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import { PYTHON } from '../harness.js';
import { SECRET, tokenOf } from './stage.js';

const SERVER = fileURLToPath(new URL('../../src/server.js', import.meta.url));
const WARNING = 40; // of pino's levels
const FAILING_MS = 30_000; // a start that is to fail does so in a second
const UNLIMITED = { RATE_LIMIT_IP: '0', RATE_LIMIT_USER: '0', RATE_LIMIT_LOGIN: '0' };

const started = [];

/** End what a failed test has not ended, which would hold up the suite; for `after` of a test file. */
export function endServers() {
  for (const child of started) child.kill('SIGKILL');
}

/** Return a process that is starting; `ended` says how it ends, `stderr` what it complained of. */
export function spawnServer(variables) {
  const { HOME, PATH } = process.env; // and nothing that a developer may have set
  const env = { HOME, PATH, PYTHON_BIN: PYTHON, PORT: '0', JWT_SECRET: SECRET, ...UNLIMITED, ...variables };
  const child = spawn(process.execPath, [SERVER], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  started.push(child);
  const lines = [];
  const server = { child, lines, stderr: '', ended: once(child, 'exit') };
  child.stderr.setEncoding('utf8').on('data', (text) => (server.stderr += text));
  return server;
}

/** Return how a start ends that should fail, and all that it has printed; one that does not fail is ended by force. */
export async function failedStart(variables) {
  const server = spawnServer(variables);
  let stdout = '';
  server.child.stdout.setEncoding('utf8').on('data', (text) => (stdout += text));
  const force = setTimeout(() => server.child.kill('SIGKILL'), FAILING_MS);
  const [code, endedBy] = await server.ended;
  clearTimeout(force);
  return { code: code ?? endedBy, stdout, stderr: server.stderr };
}

/**
 * Start the server and wait until it listens.
 *
 * @param {Record<string, string>} variables
 */
export async function startServerProcess(variables) {
  const server = spawnServer(variables);
  const port = await new Promise((resolve, reject) => {
    createInterface({ input: server.child.stdout }).on('line', (line) => {
      const said = JSON.parse(line);
      server.lines.push(said);
      if (/^listening/.test(said.msg)) resolve(said.port);
    });
    server.ended.then(([code, signal]) => reject(new Error(`the server ended with ${code ?? signal}: ${server.stderr}`)));
  });
  const at = `http://127.0.0.1:${port}`;
  const ask = async (method, path, { as, body, token, headers = {} } = {}) => {
    const bearer = token ?? (as === undefined ? undefined : tokenOf(as));
    const response = await fetch(`${at}${path}`, {
      method,
      headers: { ...(bearer && { Authorization: `Bearer ${bearer}` }), ...(body && { 'Content-Type': 'application/json' }), ...headers },
      body: body && JSON.stringify(body),
    });
    const text = await response.text();
    return { status: response.status, headers: response.headers, body: response.headers.get('content-type')?.startsWith('application/json') ? JSON.parse(text) : text };
  };
  return {
    ...server,
    port,
    pid: server.child.pid,
    get: (path, options) => ask('GET', path, options),
    post: (path, options) => ask('POST', path, options),
    delete: (path, options) => ask('DELETE', path, options),
    /** Return a number of the metrics, over all labels. */
    async metric(name) {
      const { body } = await ask('GET', '/metrics');
      const found = body.split('\n').filter((line) => /^\w+/.exec(line)?.[0] === `recsys_${name}`);
      return found.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
    },
    /** Ask it to end, and return how it did: 0, or its status with what it complained of. */
    async stop(signal = 'SIGTERM') {
      const askedAt = Date.now();
      server.child.kill(signal);
      const [code, endedBy] = await server.ended;
      if (code === 0) return 0;
      const complaints = server.lines.filter(({ level }) => level >= WARNING).map((line) => JSON.stringify(line));
      return [`${endedBy ?? code} after ${Date.now() - askedAt} ms`, ...complaints, server.stderr].join('\n');
    },
  };
}
