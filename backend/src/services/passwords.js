/** Compares passwords with bcrypt hashes in a thread of their own, so that the main thread can answer meanwhile. */
import { parentPort, Worker, workerData } from 'node:worker_threads';

import bcrypt from 'bcryptjs';

import { TooLate } from '../concurrency/time.js';

const FILE = new URL(import.meta.url); // the thread runs this file, too
const THREAD = 'passwords';
const MOST_WAITING = 100; // five seconds of work

/** Create the service that compares passwords. */
export function createPasswords() {
  return new Passwords();
}

export class Passwords {
  /** @type {Worker | null} */
  #worker = null;
  #waiting = new Map();
  #last = 0;

  /**
   * Return whether a password matches a hash.
   *
   * @param {string} password
   * @param {string} hash
   * @returns {Promise<boolean>}
   * @throws {TooLate} Too many comparisons wait already.
   */
  compare(password, hash) {
    if (this.#waiting.size >= MOST_WAITING) return Promise.reject(new TooLate('There should be fewer logins at once. Received: more than can wait.'));
    this.#last += 1;
    const id = this.#last;
    const outcome = new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
    this.#worker ??= this.#start();
    this.#worker.ref(); // keeps the process alive until the answer
    this.#worker.postMessage({ id, password, hash });
    return outcome;
  }

  /** End the thread. */
  async close() {
    await this.#worker?.terminate();
  }

  #start() {
    const worker = new Worker(FILE, { workerData: THREAD, env: {} }); // it needs no secret
    worker.on('message', ({ id, isMatch }) => {
      this.#waiting.get(id)?.resolve(isMatch);
      this.#waiting.delete(id);
      if (this.#waiting.size === 0) worker.unref();
    });
    let failure = new Error('The thread that compares passwords should go on. Received: its end.');
    worker.on('error', (error) => (failure = error));
    worker.on('exit', () => {
      this.#worker = null;
      for (const { reject } of this.#waiting.values()) reject(failure);
      this.#waiting.clear();
    });
    return worker;
  }
}

/** Whether a password matches a hash; false if bcrypt cannot compare them. An exception would end the thread and fail all that wait. */
function isMatch(password, hash) {
  try {
    return bcrypt.compareSync(password, hash);
  } catch {
    return false;
  }
}

if (workerData === THREAD) {
  // One comparison after the other; each takes about 50 ms.
  parentPort?.on('message', ({ id, password, hash }) => {
    parentPort?.postMessage({ id, isMatch: isMatch(password, hash) });
  });
}
