/** The files of a spool. */
import { randomBytes } from 'node:crypto';
import nodeFs from 'node:fs/promises';
import path from 'node:path';

const SEGMENT = /^(\d{14}-\d{6}-[0-9a-f]{12})-((\d+)-[0-9a-f]{12})\.spool$/; // the time of its start and its number, then its owner
const PRIVATE = { folder: 0o700, file: 0o600 };
const openHere = new Set(); // the owners of this process's open spools

/**
 * The files of a spool: segments, each owned by one process. The next process takes over the segments of one that has ended, by renaming
 * them. Of two processes that start at once, only one can rename a segment.
 */
export class SpoolFolder {
  #folder;
  #fs;
  #owner = `${process.pid}-${randomSuffix()}`;
  #begun = 0;

  constructor(folder, fs = nodeFs) {
    this.#folder = folder;
    this.#fs = fs;
    openHere.add(this.#owner);
  }

  /** Let another spool of this process take over the segments. Other processes may do so when this process has ended. */
  release() {
    openHere.delete(this.#owner);
  }

  /** Take over the segments of processes that have ended. Returns their paths, oldest first. */
  async adopt() {
    await this.#fs.mkdir(this.#folder, { recursive: true, mode: PRIVATE.folder });
    const adopted = [];
    for (const name of (await this.#fs.readdir(this.#folder)).sort()) {
      if (isLeftOver(name)) adopted.push(await this.#take(name, SEGMENT.exec(name)?.[1]));
    }
    return adopted.filter((file) => file !== null);
  }

  /** Begin a segment. The folder is synced, so that its name is on the disk before any record. */
  async begin() {
    this.#begun += 1;
    const file = this.#path(`${String(Date.now()).padStart(14, '0')}-${String(this.#begun).padStart(6, '0')}-${randomSuffix()}`);
    const handle = await this.#fs.open(file, 'ax', PRIVATE.file);
    try {
      await this.#syncFolder();
    } catch (error) {
      await handle.close();
      throw error;
    }
    return { file, handle };
  }

  read(file) {
    return this.#fs.readFile(file);
  }

  async remove(file) {
    await this.#fs.rm(file, { force: true });
  }

  /** Append a record that the database can never store to `rejected.jsonl`, for people to read. */
  async setAside(line) {
    const handle = await this.#fs.open(path.join(this.#folder, 'rejected.jsonl'), 'a', PRIVATE.file);
    try {
      await handle.appendFile(line);
      await handle.sync();
    } finally {
      await handle.close();
    }
  }

  async #take(name, begun) {
    try {
      const file = this.#path(begun);
      await this.#fs.rename(path.join(this.#folder, name), file);
      return file;
    } catch (error) {
      if (error.code === 'ENOENT') return null; // another process was faster
      throw error;
    }
  }

  #path(begun) {
    return path.join(this.#folder, `${begun}-${this.#owner}.spool`);
  }

  async #syncFolder() {
    const handle = await this.#fs.open(this.#folder, 'r');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  }
}

/** Whether a file is a segment whose process has ended. */
export function isLeftOver(name) {
  const [, , owner, pid] = SEGMENT.exec(name) ?? [];
  return owner !== undefined && !openHere.has(owner) && hasEnded(Number(pid));
}

function randomSuffix() {
  return randomBytes(6).toString('hex');
}

/**
 * Whether the owner of a segment has ended. This process's id with another suffix belongs to an earlier process; in a container the id is
 * always 1.
 */
function hasEnded(pid) {
  if (pid === process.pid) return true;
  try {
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return error.code === 'ESRCH';
  }
}
