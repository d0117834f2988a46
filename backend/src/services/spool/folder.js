import { randomBytes } from 'node:crypto';
import nodeFs from 'node:fs/promises';
import path from 'node:path';

const SEGMENT = /^(\d{14}-\d{6}-[0-9a-f]{12})-((\d+)-[0-9a-f]{12})\.spool$/; // when it was begun and its number, then whose it is
const PRIVATE = { folder: 0o700, file: 0o600 };
const openHere = new Set(); // the marks of this process's own spools

/**
 * The files of a spool: segments, each of one process. What a process left behind when it ended is taken over by the next one, by a rename,
 * so that two that start at once cannot both have it.
 */
export class SpoolFolder {
  #folder;
  #fs;
  #owner = `${process.pid}-${mark()}`;
  #begun = 0;

  constructor(folder, fs = nodeFs) {
    this.#folder = folder;
    this.#fs = fs;
    openHere.add(this.#owner);
  }

  /** Let others in this process take over what is left; for those in other processes its end does so. */
  release() {
    openHere.delete(this.#owner);
  }

  /** Return the paths of the segments that are this process's from now on, oldest first. */
  async adopt() {
    await this.#fs.mkdir(this.#folder, { recursive: true, mode: PRIVATE.folder });
    const adopted = [];
    for (const name of (await this.#fs.readdir(this.#folder)).sort()) {
      if (isLeftOver(name)) adopted.push(await this.#take(name, SEGMENT.exec(name)[1]));
    }
    return adopted.filter((file) => file !== null);
  }

  /** Begin a segment; its name is on the disk before anything is written into it. */
  async begin() {
    this.#begun += 1;
    const file = this.#path(`${String(Date.now()).padStart(14, '0')}-${String(this.#begun).padStart(6, '0')}-${mark()}`);
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

  /** Keep a record that no database will ever take, for people to look at. */
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
      if (error.code === 'ENOENT') return null; // somebody else was faster
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

/** Whether a file is a segment that a process has left behind. */
export function isLeftOver(name) {
  const [, , owner, pid] = SEGMENT.exec(name) ?? [];
  return owner !== undefined && !openHere.has(owner) && isOver(Number(pid));
}

function mark() {
  return randomBytes(6).toString('hex');
}

/** Whether the process that had a segment is no more. Its own number with another mark is a former life's: in a container it is always 1. */
function isOver(pid) {
  if (pid === process.pid) return true;
  try {
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return error.code === 'ESRCH';
  }
}
