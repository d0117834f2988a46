import { SpoolFolder } from './folder.js';
import { decodeRecords, encodeRecord } from './record.js';

/** There is no room, or no disk: the record is not kept, and must not be acknowledged. */
export class SpoolFailed extends Error {
  name = 'SpoolFailed';
}

/** The spool was closed while it was being emptied: what waits stays on the disk. */
export class SpoolClosed extends Error {
  name = 'SpoolClosed';
}

/**
 * Open a spool: records that are on the disk before they are acknowledged, and leave it in their order once the database has them.
 *
 * @param {{folder: string, maxBytes: number, log: object, fs?: object}} options One folder for the processes of one machine (or container).
 * @returns {Promise<Spool>}
 */
export async function openSpool({ folder, maxBytes, log, fs }) {
  const files = new SpoolFolder(folder, fs);
  const spool = new Spool(files, maxBytes, log);
  for (const file of await files.adopt()) await spool.load(file);
  return spool;
}

class Spool {
  #files;
  #maxBytes;
  #log;
  #segments = []; // oldest first; the last may be the one that is written to
  #current = null;
  #bytes = 0;
  #byKey = new Map();
  #queue = [];
  #writing = null;
  #draining = null;
  #isClosed = false;
  #counts = { damaged: 0, rejected: 0 };

  constructor(files, maxBytes, log) {
    this.#files = files;
    this.#maxBytes = maxBytes;
    this.#log = log;
  }

  /** Records that wait. */
  get pending() {
    return this.#byKey.size;
  }

  /** Return what an operator wants to know. */
  stats() {
    return { pending: this.pending, bytes: this.#bytes, ...this.#counts };
  }

  /** Return the record with a key that waits, or is just being written. */
  get(key) {
    return this.#byKey.get(key)?.record;
  }

  /**
   * Keep a record. Of two with the same key the first is kept, and the second waits until that is on the disk.
   *
   * @param {string} key
   * @param {object} record
   * @returns {Promise<object>} The record that is kept.
   * @throws {SpoolFailed}
   */
  append(key, record) {
    const known = this.#byKey.get(key);
    if (known !== undefined) return known.kept;
    if (this.#isClosed) return Promise.reject(new SpoolFailed('The spool should be open. Received: a record after its end.'));
    const line = encodeRecord({ key, record });
    if (this.#bytes + line.length > this.#maxBytes) {
      return Promise.reject(new SpoolFailed(`The spool should have at most ${this.#maxBytes} bytes. Received: a record beyond them.`));
    }
    this.#bytes += line.length;
    const entry = { record, bytes: line.length };
    entry.kept = new Promise((resolve, reject) => this.#queue.push({ key, line, resolve: () => resolve(record), reject }));
    this.#byKey.set(key, entry);
    this.#writing ??= this.#write();
    return entry.kept;
  }

  /**
   * Hand the waiting records over in their order, until one cannot be.
   *
   * @param {(record: object) => Promise<'stored' | 'duplicate' | 'rejected'>} store Rejected: it will never be stored, and is set aside.
   *   It throws where the record should be offered again later.
   * @returns {Promise<{stored: number, duplicate: number, rejected: number}>}
   */
  drain(store) {
    this.#draining ??= this.#drain(store).finally(() => {
      this.#draining = null;
    });
    return this.#draining;
  }

  /** Finish writing, and what is just being handed over. What waits stays on the disk. */
  async close() {
    this.#isClosed = true;
    await this.#writing;
    await this.#draining?.catch(() => {});
    await this.#seal();
    this.#files.release();
  }

  /** Take over a segment that is there already. */
  async load(file) {
    const { records, damaged } = decodeRecords(await this.#files.read(file));
    const segment = { file, handle: null, waiting: [] };
    for (const { key, record } of records) {
      if (this.#byKey.has(key)) continue;
      const bytes = encodeRecord({ key, record }).length;
      this.#byKey.set(key, { record, bytes, kept: Promise.resolve(record) });
      this.#bytes += bytes;
      segment.waiting.push(key);
    }
    this.#segments.push(segment);
    this.#counts.damaged += damaged;
    if (records.length + damaged > 0) this.#log.warn({ records: records.length, damaged }, 'interactions were left waiting by a former process');
  }

  /** Write what is queued, all of it with one sync, until nothing is. */
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
        await this.#seal(); // its end may be torn, and nothing must follow that
        for (const { key, reject } of batch) {
          this.#forget(key);
          reject(new SpoolFailed(`The interaction should be on the disk. Received: ${cause.message}`, { cause }));
        }
      }
    }
    this.#writing = null;
  }

  async #openSegment() {
    if (this.#current === null) {
      const { file, handle } = await this.#files.begin();
      this.#current = { file, handle, waiting: [] };
      this.#segments.push(this.#current);
    }
    return this.#current;
  }

  /** Leave a segment; the next record begins another one. */
  async #seal() {
    const segment = this.#current;
    this.#current = null;
    await segment?.handle.close().catch(() => {}); // what was acknowledged has been synced
  }

  async #drain(store) {
    const done = { stored: 0, duplicate: 0, rejected: 0 };
    if (this.#segments.length === 0) return done;
    await this.#writing;
    if (this.#writing === null) await this.#seal(); // else somebody writes on, into a segment that the next drain will take
    for (const segment of this.#segments.filter((one) => one !== this.#current)) {
      await this.#empty(segment, store, done);
      await this.#files.remove(segment.file);
      this.#segments.splice(this.#segments.indexOf(segment), 1);
    }
    return done;
  }

  async #empty(segment, store, done) {
    while (segment.waiting.length > 0) {
      if (this.#isClosed) throw new SpoolClosed('The spool should be open while it is emptied. Received: its end.'); // returning would remove the segment
      const [key] = segment.waiting;
      const { record } = this.#byKey.get(key);
      const outcome = await store(record);
      if (outcome === 'rejected') {
        await this.#files.setAside(`${JSON.stringify({ key, record })}\n`);
        this.#counts.rejected += 1;
      }
      done[outcome] += 1;
      segment.waiting.shift();
      this.#forget(key);
    }
  }

  #forget(key) {
    this.#bytes -= this.#byKey.get(key)?.bytes ?? 0;
    this.#byKey.delete(key);
  }
}
