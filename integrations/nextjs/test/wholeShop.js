/** All processes of a shop, started by scripts/start_all.py: service, worker, Beat, Express and the built Next.js shop. */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { until } from '../../../frontend/test/browser/setUp.js';
import { SECRET, freePort } from './storefront.js';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const PYTHON = process.env.PYTHON_BIN ?? path.join(ROOT, '.venv', 'bin', 'python');
const REDIS = (process.env.PATH ?? '').split(path.delimiter).flatMap((folder) => ['redis-server', 'valkey-server'].map((name) => path.join(folder, name))).find(existsSync);
const POSTGRESQL = new URL(process.env.RECSYS_TEST_POSTGRESQL ?? 'postgresql+psycopg://postgres@127.0.0.1:5432');
const START_MS = 180_000;
export const ADMIN_KEY = 'a'.repeat(32);

/** What is missing for the whole shop, in words, or false. */
export const missing =
  [
    [existsSync(PYTHON), 'there is no Python with the packages of requirements.txt'],
    [existsSync(path.join(ROOT, 'backend', 'node_modules', 'express')), 'the packages of backend/ are not installed'],
    [REDIS !== undefined, 'there is no redis-server or valkey-server on the path'],
    [await answers(Number(POSTGRESQL.port), POSTGRESQL.hostname), `no database at ${POSTGRESQL.host}`],
  ].find(([isThere]) => !isThere)?.[1] ?? false;

export class WholeShop {
  /** What was printed. */
  lines = [];
  url = '';
  /** @type {Record<string, number>} */
  ports = {};
  status = null;
  #folder = mkdtempSync(path.join(tmpdir(), 'whole-'));
  #database;
  #redis;
  #program;

  static async start() {
    const shop = new WholeShop();
    try {
      await shop.#start();
    } catch (error) {
      await shop.stop();
      throw error;
    }
    return shop;
  }

  async #start() {
    this.#database = spawn(PYTHON, [fileURLToPath(new URL('whole_shop.py', import.meta.url)), this.#folder], { stdio: ['pipe', 'pipe', 'inherit'] });
    for (const name of ['redis', 'recommendation', 'express', 'storefront']) this.ports[name] = await freePort();
    const { redis, recommendation, express, storefront } = this.ports;
    this.#redis = spawn(REDIS ?? '', ['--port', String(redis), '--bind', '127.0.0.1', '--save', '', '--dir', this.#folder], { stdio: 'ignore' });
    const variables = JSON.parse(await firstLine(this.#database));
    await until(() => answers(redis), 'Redis listens');
    const environ = {
      ...variables,
      PATH: process.env.PATH,
      HOME: this.#folder,
      OPENBLAS_NUM_THREADS: '1',
      REDIS_URL: `redis://127.0.0.1:${redis}/1`,
      BROKER_URL: `redis://127.0.0.1:${redis}/0`,
      JWT_SECRET: SECRET,
      SERVICE_ADMIN_KEY: ADMIN_KEY,
      SERVICE_PORT: String(recommendation),
      PORT: String(express),
      STOREFRONT_PORT: String(storefront),
    };
    this.#program = spawn(PYTHON, [path.join(ROOT, 'scripts', 'start_all.py'), '--logs', path.join(this.#folder, 'logs')], { env: environ, stdio: ['ignore', 'pipe', 'inherit'] });
    this.#program.on('exit', (status) => (this.status = status));
    createInterface({ input: this.#program.stdout }).on('line', (line) => this.lines.push(line));
    await until(() => this.lines.some((line) => line.startsWith('All are running')) || this.status !== null, 'all processes run', START_MS);
    this.url = `http://127.0.0.1:${storefront}`;
  }

  reset() {}

  /** End all processes, as an operator does. */
  async halt() {
    this.#program.kill('SIGTERM');
    await until(() => this.status !== null, 'all processes have ended', 60_000);
  }

  async stop() {
    if (this.#program && this.status === null) await this.halt();
    this.#redis?.kill();
    if (this.#database && this.#database.exitCode === null) {
      this.#database.stdin.end();
      await new Promise((resolve) => this.#database.on('exit', resolve));
    }
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** Whether something listens on a port. */
export function answers(port, host = '127.0.0.1') {
  return new Promise((resolve) => {
    const socket = connect({ port, host });
    socket.on('connect', () => resolve(true)).on('error', () => resolve(false)).on('close', () => resolve(false));
    socket.on('connect', () => socket.destroy());
  });
}

function firstLine(child) {
  return new Promise((resolve, reject) => {
    createInterface({ input: child.stdout }).once('line', resolve);
    child.once('exit', (status) => reject(new Error(`The shop should be made. Received: exit status ${status}.`)));
  });
}
