/** A spool: records on the disk that wait for the database, one line each. */
import { createHash, randomBytes } from 'node:crypto';
import nodeFs from 'node:fs/promises';
import path from 'node:path';

import { isLeftOver, openHere, SEGMENT } from './databases.js';

/**
 * @import { FileHandle } from 'node:fs/promises'
 * @import { Logger } from 'pino'
 */

/**
 * @typedef {{stored: number, duplicate: number, rejected: number}} Counts
 *
 * @typedef {object} Segment
 * @property {string} file
 * @property {FileHandle | null} handle Null where an earlier process wrote it.
 * @property {string[]} waiting The keys of its records that wait, in their order.
 *
 * @typedef {Segment & {handle: FileHandle}} OpenSegment
 *
 * @typedef {object} Entry A record that waits or is being written.
 * @property {any} record
 * @property {number} bytes
 * @property {Promise<any>} written Resolves to the record when it is on the disk.
 */

const SUM_CHARACTERS = 16; // of SHA-256: against torn and damaged lines, not against attacks
const LINE_FEED = 0x0a;
const PRIVATE = 0o600;

/** The spool is full, or the disk failed. The record is not kept, and must not be acknowledged. */
export class SpoolFailed extends Error {
  name = 'SpoolFailed';
}

/** The spool was closed while it was being emptied. The remaining records stay on the disk. */
export class SpoolClosed extends Error {
  name = 'SpoolClosed';
}

/**
 * Open a spool. Records are on the disk before they are acknowledged. They leave it in their order when the database has stored them.
 *
 * @param {{folder: string, maxBytes: number, log: Logger, fs?: typeof nodeFs}} options All processes of one machine or container may
 *   share a folder.
 * @returns {Promise<Spool>}
 */
export async function openSpool({ folder, maxBytes, log, fs = nodeFs }) {
  const spool = new Spool({ folder, maxBytes, log, fs });
  await spool.adopt();
  return spool;
}

/**
 * The records of a folder's segments. Each segment is a file that one process owns. The next process takes over the segments of one that has
 * ended, by renaming them. Of two processes that start at once, only one can rename a segment.
 */
export class Spool {
  #parts;
  #owner = `${process.pid}-${randomSuffix()}`;
  #nBegun = 0;
  /** @type {Segment[]} */
  #segments = []; // oldest first; the last one may be `#current`
  /** @type {OpenSegment | null} */
  #current = null;
  #bytes = 0;
  /** @type {Map<string, Entry>} */
  #byKey = new Map();
  /** @type {{key: string, line: Buffer, resolve: () => void, reject: (failure: SpoolFailed) => void}[]} */
  #queue = [];
  /** @type {Promise<void> | null} */
  #writing = null;
  /** @type {Promise<Counts> | null} */
  #draining = null;
  #isClosed = false;
  #counts = { damaged: 0, rejected: 0 };

  /** @param {{folder: string, maxBytes: number, log: Logger, fs: typeof nodeFs}} parts */
  constructor(parts) {
    this.#parts = parts;
    openHere.add(this.#owner);
  }

  /** Take over the segments of processes that have ended, oldest first. */
  async adopt() {
    const { folder, fs } = this.#parts;
    const adopted = [];
    for (const name of (await fs.readdir(folder)).sort().filter(isLeftOver)) {
      const file = this.#pathOf(SEGMENT.exec(name)?.[1]);
      try {
        await fs.rename(path.join(folder, name), file);
        adopted.push(file);
      } catch (error) {
        if (error.code !== 'ENOENT') throw error; // otherwise another process was faster
      }
    }
    for (const file of adopted) await this.#load(file);
  }

  /** The number of records that wait. */
  get pending() {
    return this.#byKey.size;
  }

  /** Return the counts for operators. */
  stats() {
    return { pending: this.pending, bytes: this.#bytes, ...this.#counts };
  }

  /** Return the record with a key that waits or is being written, if any. */
  get(key) {
    return this.#byKey.get(key)?.record;
  }

  /**
   * Append a record. Of two with the same key, the first is kept; the second resolves when the first is on the disk.
   *
   * @template T
   * @param {string} key
   * @param {T} record
   * @returns {Promise<T>} The record that is kept.
   * @throws {SpoolFailed}
   */
  append(key, record) {
    const existing = this.#byKey.get(key);
    if (existing !== undefined) return existing.written;
    if (this.#isClosed) return Promise.reject(new SpoolFailed('The spool should be open. Received: a record after its end.'));
    const line = encodeRecord({ key, record });
    if (this.#bytes + line.length > this.#parts.maxBytes) {
      return Promise.reject(new SpoolFailed(`The spool should have at most ${this.#parts.maxBytes} bytes. Received: a record beyond them.`));
    }
    this.#bytes += line.length;
    const written = new Promise((resolve, reject) => this.#queue.push({ key, line, resolve: () => resolve(record), reject }));
    this.#byKey.set(key, { record, bytes: line.length, written });
    this.#writing ??= this.#write();
    return written;
  }

  /**
   * Store the waiting records in their order, until one attempt fails.
   *
   * @param {(record: any) => Promise<keyof Counts>} store A rejected record can never be stored, and is
   *   set aside. It throws if the record should be tried again later.
   * @returns {Promise<Counts>}
   */
  drain(store) {
    this.#draining ??= this.#drain(store).finally(() => {
      this.#draining = null;
    });
    return this.#draining;
  }

  /** Finish writing and the store that is under way. The remaining records stay on the disk. */
  async close() {
    this.#isClosed = true;
    await this.#writing;
    await this.#draining?.catch(() => {});
    await this.#seal();
    openHere.delete(this.#owner); // another spool of this process may take the segments over; other processes when this one has ended
  }

  /** Load the records of an existing segment. */
  async #load(file) {
    const { records, damaged } = decodeRecords(await this.#parts.fs.readFile(file));
    /** @type {Segment} */
    const segment = { file, handle: null, waiting: [] };
    for (const { key, record } of records) {
      if (this.#byKey.has(key)) continue;
      const bytes = encodeRecord({ key, record }).length;
      this.#byKey.set(key, { record, bytes, written: Promise.resolve(record) });
      this.#bytes += bytes;
      segment.waiting.push(key);
    }
    this.#segments.push(segment);
    this.#counts.damaged += damaged;
    if (records.length + damaged > 0) this.#parts.log.warn({ records: records.length, damaged }, 'interactions of an earlier process wait in the spool');
  }

  /** Write the queued records, with one sync for each batch, until the queue is empty. */
  async #write() {
    while (this.#queue.length > 0) {
      const batch = this.#queue.splice(0);
      try {
        const segment = await this.#openSegment();
        await segment.handle.appendFile(Buffer.concat(batch.map(({ line }) => line)));
        await segment.handle.datasync();
        segment.waiting.push(...batch.map(({ key }) => key));
        for (const { resolve } of batch) resolve();
      } catch (cause) {
        await this.#seal(); // its last line may be torn, and nothing must follow it
        for (const { key, reject } of batch) {
          this.#forget(key);
          reject(new SpoolFailed(`The interaction should be on the disk. Received: ${cause.message}`, { cause }));
        }
      }
    }
    this.#writing = null;
  }

  /**
   * Return the current segment, or begin one. The folder is synced, so that its name is on the disk before any record.
   *
   * @returns {Promise<OpenSegment>}
   */
  async #openSegment() {
    if (this.#current !== null) return this.#current;
    const { folder, fs } = this.#parts;
    this.#nBegun += 1;
    const file = this.#pathOf(`${String(Date.now()).padStart(14, '0')}-${String(this.#nBegun).padStart(6, '0')}-${randomSuffix()}`);
    const handle = await fs.open(file, 'ax', PRIVATE);
    try {
      await this.#opened(folder, 'r', (opened) => opened.sync());
    } catch (error) {
      await handle.close();
      throw error;
    }
    this.#current = { file, handle, waiting: [] };
    this.#segments.push(this.#current);
    return this.#current;
  }

  #pathOf(begun) {
    return path.join(this.#parts.folder, `${begun}-${this.#owner}.spool`);
  }

  async #opened(file, flags, work) {
    const handle = await this.#parts.fs.open(file, flags, PRIVATE);
    try {
      await work(handle);
    } finally {
      await handle.close();
    }
  }

  /** Close the current segment; the next record begins another one. */
  async #seal() {
    const segment = this.#current;
    this.#current = null;
    await segment?.handle.close().catch(() => {}); // acknowledged records are synced already
  }

  async #drain(store) {
    const counts = { stored: 0, duplicate: 0, rejected: 0 };
    if (this.#segments.length === 0) return counts;
    await this.#writing;
    if (this.#writing === null) await this.#seal(); // otherwise more records are being written, and the next drain takes that segment
    for (const segment of this.#segments.filter((one) => one !== this.#current)) {
      await this.#empty(segment, store, counts);
      await this.#parts.fs.rm(segment.file, { force: true });
      this.#segments.splice(this.#segments.indexOf(segment), 1);
    }
    return counts;
  }

  /**
   * @param {Segment} segment
   * @param {(record: any) => Promise<keyof Counts>} store
   * @param {Counts} counts
   */
  async #empty(segment, store, counts) {
    while (segment.waiting.length > 0) {
      if (this.#isClosed) throw new SpoolClosed('The spool should be open while it is emptied. Received: its end.'); // a return would let the segment be removed
      const [key] = segment.waiting;
      const { record } = /** @type {Entry} */ (this.#byKey.get(key));
      const outcome = await store(record);
      if (outcome === 'rejected') {
        await this.#setAside(`${JSON.stringify({ key, record })}\n`);
        this.#counts.rejected += 1;
      }
      counts[outcome] += 1;
      segment.waiting.shift();
      this.#forget(key);
    }
  }

  /** Append a record that the database can never store to `rejected.jsonl`, for people to read. */
  #setAside(line) {
    return this.#opened(path.join(this.#parts.folder, 'rejected.jsonl'), 'a', async (handle) => {
      await handle.appendFile(line);
      await handle.sync();
    });
  }

  #forget(key) {
    this.#bytes -= this.#byKey.get(key)?.bytes ?? 0;
    this.#byKey.delete(key);
  }
}

/** Return a record as one line: a checksum, a space, and JSON. */
export function encodeRecord(record) {
  const text = JSON.stringify(record);
  return Buffer.from(`${sumOf(text)} ${text}\n`);
}

/**
 * Return the records of a segment. Lines torn by a crash or damaged on the disk are left out and counted. A torn line was never
 * acknowledged.
 *
 * @param {Buffer} bytes
 * @returns {{records: any[], damaged: number}} The records as `encodeRecord` got them.
 */
export function decodeRecords(bytes) {
  const records = [];
  let damaged = 0;
  for (let start = 0; start < bytes.length; ) {
    const end = bytes.indexOf(LINE_FEED, start);
    const record = end < 0 ? null : recordIn(bytes.toString('utf8', start, end));
    if (record === null) damaged += 1;
    else records.push(record);
    start = end < 0 ? bytes.length : end + 1;
  }
  return { records, damaged };
}

function recordIn(line) {
  const text = line.slice(SUM_CHARACTERS + 1);
  return line.startsWith(`${sumOf(text)} `) ? JSON.parse(text) : null;
}

function randomSuffix() {
  return randomBytes(6).toString('hex');
}

function sumOf(text) {
  return createHash('sha256').update(text).digest('hex').slice(0, SUM_CHARACTERS);
}
