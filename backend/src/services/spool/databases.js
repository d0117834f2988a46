/** The folders of spools: each database has its own, and other databases' folders are only reported. */
import { createHash, randomUUID } from 'node:crypto';
import { readFileSync, readdirSync, statSync } from 'node:fs';
import nodeFs from 'node:fs/promises';
import path from 'node:path';

/**
 * @typedef {object} WaitingFolder Records that wait for another database.
 * @property {string} folder
 * @property {string | null} database Null if it is unknown.
 * @property {number} files
 * @property {number} bytes
 */

/** The name of a segment: the time of its start and its number, then its owner, which begins with the id of a process. */
export const SEGMENT = /^(\d{14}-\d{6}-[0-9a-f]{12})-((\d+)-[0-9a-f]{12})\.spool$/;

/** The owners of this process's open spools. */
export const openHere = new Set();

const FOLDER = /^[0-9a-f]{16}$/;
const LABEL = 'database.json';
const PRIVATE = { folder: 0o700, file: 0o600 };

/**
 * Create the folder of the records that wait for one database. Its name is a hash of the database's name, and its `database.json` holds that
 * name, so that no other database gets the records.
 *
 * `database.json` is written at once, so that a folder without write access is noticed before a record is acknowledged.
 *
 * @param {string} spoolDir Several backends may share it.
 * @param {string} database What `nameOf` returned; it contains no secret.
 * @param {typeof nodeFs} [fs]
 * @returns {Promise<string>} The folder's path.
 */
export async function folderOf(spoolDir, database, fs = nodeFs) {
  const folder = path.join(spoolDir, createHash('sha256').update(database).digest('hex').slice(0, 16));
  await makeFolder(folder, fs);
  const draft = path.join(folder, `${LABEL}.${randomUUID()}`);
  try {
    await fs.writeFile(draft, `${JSON.stringify({ database })}\n`, { mode: PRIVATE.file, flush: true });
    await fs.rename(draft, path.join(folder, LABEL));
  } catch (error) {
    await fs.rm(draft, { force: true }).catch(() => {});
    throw error;
  }
  return folder;
}

/**
 * Return the records that wait in the same place for other databases, or that an older version left without naming a database. Files of
 * running processes are not counted. Nothing is changed.
 *
 * @param {string} spoolDir
 * @param {string} own The folder of this process's database.
 * @returns {WaitingFolder[]}
 */
export function waitingElsewhere(spoolDir, own) {
  const others = entriesOf(spoolDir).filter((name) => FOLDER.test(name)).map((name) => path.join(spoolDir, name));
  const folders = [spoolDir, ...others.filter((folder) => folder !== own)].map(waitingIn);
  return folders.filter(({ files }) => files > 0);
}

/** Whether a file is a segment whose process has ended. */
export function isLeftOver(name) {
  const [, , owner, pid] = SEGMENT.exec(name) ?? [];
  return owner !== undefined && !openHere.has(owner) && hasEnded(Number(pid));
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

/** Make a folder and its parents. Node's recursive mkdir does not end below /proc, where existing folders accept no others. */
async function makeFolder(folder, fs) {
  const make = () => fs.mkdir(folder, { mode: PRIVATE.folder }).catch(unless('EEXIST'));
  try {
    await make();
  } catch (error) {
    if (error.code !== 'ENOENT') throw error;
    await makeFolder(path.dirname(folder), fs);
    await make();
  }
}

function unless(code) {
  return (error) => {
    if (error.code !== code) throw error;
  };
}

/** @returns {WaitingFolder} */
function waitingIn(folder) {
  const sizes = entriesOf(folder).filter(isLeftOver).map((name) => sizeOf(path.join(folder, name))).filter((size) => size > 0);
  return { folder, database: databaseOf(folder), files: sizes.length, bytes: sizes.reduce((sum, size) => sum + size, 0) };
}

function databaseOf(folder) {
  try {
    const { database } = JSON.parse(readFileSync(path.join(folder, LABEL), 'utf8'));
    return typeof database === 'string' ? database : null;
  } catch {
    return null;
  }
}

function entriesOf(folder) {
  try {
    return readdirSync(folder).sort();
  } catch {
    return []; // it was removed meanwhile, or cannot be read
  }
}

function sizeOf(file) {
  return statSync(file, { throwIfNoEntry: false })?.size ?? 0;
}
