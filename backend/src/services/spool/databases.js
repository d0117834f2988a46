import { createHash, randomUUID } from 'node:crypto';
import { readFileSync, readdirSync, statSync } from 'node:fs';
import nodeFs from 'node:fs/promises';
import path from 'node:path';

import { isLeftOver } from './folder.js';

const FOLDER = /^[0-9a-f]{16}$/;
const LABEL = 'database.json';
const PRIVATE = { folder: 0o700, file: 0o600 };

/**
 * Return the folder in which records for one database wait. It is known by a hash of the database's name, and says by `database.json` which
 * one that is, so that no other database ever gets them.
 *
 * It is written to at once: a folder that cannot be is found out before anything is acknowledged.
 *
 * @param {string} spoolDir What several backends may share.
 * @param {string} database What `nameOf` returned: no secret is in it.
 * @param {object} [fs]
 * @returns {Promise<string>}
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
 * Return what waits in the same place for other databases, and what was left by a version that did not yet say for which one: nobody here
 * touches it. What a living process has is its own business.
 *
 * @param {string} spoolDir
 * @param {string} own The folder of this process's database.
 * @returns {{folder: string, database: string | null, files: number, bytes: number}[]} `database` is null where nothing says it.
 */
export function waitingElsewhere(spoolDir, own) {
  const others = entriesOf(spoolDir).filter((name) => FOLDER.test(name)).map((name) => path.join(spoolDir, name));
  const found = [spoolDir, ...others.filter((folder) => folder !== own)].map(waitingIn);
  return found.filter(({ files }) => files > 0);
}

/** Make a folder and those above it. Node's own way never ends below /proc, where a folder that is there takes no other. */
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
    return []; // taken away meanwhile, or somebody else's
  }
}

function sizeOf(file) {
  return statSync(file, { throwIfNoEntry: false })?.size ?? 0;
}
