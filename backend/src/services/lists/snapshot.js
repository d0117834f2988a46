import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { lstat, open, stat } from 'node:fs/promises';
import path from 'node:path';

import { SingleFlight } from '../../concurrency/singleFlight.js';

const LOOK_MS = 200; // between two looks at CURRENT; Python's workers look as often
const RETRY_MS = 5000; // what cannot be read is tried again then, even if CURRENT is the same
const MOST_BYTES = { current: 128, manifest: 16 * 2 ** 20, snapshot: 16 * 2 ** 20 };
const VERSION_NAME = /^[0-9]{8}T[0-9]{6}Z-([0-9a-f]{8})$/;
const FILE = 'snapshot.json';

/** What holds while no version is published: bought products stay hidden. */
export const DEFAULT_RULES = Object.freeze({
  purchaseEvents: Object.freeze(['purchase']),
  cancelEvents: Object.freeze(['cancel']),
  repeatAfterDays: Infinity,
  timeZone: null,
});

/**
 * Follow the active version: its name, the rules that serving shares with training, and lists for when the database is away.
 *
 * @param {{modelsDir: string, log?: object, lookMs?: number, now?: () => number}} options
 * @returns {{current: () => Promise<Published | null>}} `current` never rejects: what is damaged leaves the version before it in place.
 *
 * @typedef {object} Published
 * @property {string} name The version.
 * @property {number} activatedAt Milliseconds since 1970.
 * @property {boolean} hasTextIds Whether customers or products have ids that are no numbers.
 * @property {{purchaseEvents: string[], cancelEvents: string[], repeatAfterDays: number, timeZone: string | null}} rules
 * @property {object[]} popular Products, best sellers first.
 * @property {object[]} newest Products, newest first.
 */
export function createSnapshot({ modelsDir, log, lookMs = LOOK_MS, now = () => performance.now() }) {
  const looks = new SingleFlight();
  let held = null;
  let seen = null;
  let lookedAt = -Infinity;
  let failedAt = null;

  async function look() {
    const pointer = path.join(modelsDir, 'CURRENT');
    const status = await stat(pointer).catch(() => null);
    lookedAt = now();
    const mark = status && `${status.ino}:${status.mtimeMs}:${status.size}`;
    const isDue = mark !== seen || (failedAt !== null && lookedAt - failedAt >= RETRY_MS);
    if (mark === null || !isDue) return;
    try {
      held = await readPublished(modelsDir, status.mtimeMs);
      failedAt = null;
    } catch (error) {
      if (mark !== seen) log?.warn({ err: error }, 'the active version cannot be read');
      failedAt = now();
    }
    seen = mark;
  }

  return {
    async current() {
      const isFirst = held === null && looks.size > 0; // whoever comes during the first look has nothing yet to go on with
      if (isFirst || now() - lookedAt >= lookMs) await looks.run('look', look);
      return held;
    },
  };
}

/**
 * Read the active version; nothing of it is believed before its size and SHA-256 are those of the manifest, and the manifest's those of
 * the version's name.
 */
async function readPublished(modelsDir, activatedAt) {
  const name = (await bytesOf(path.join(modelsDir, 'CURRENT'), MOST_BYTES.current)).toString('latin1').replace(/\n$/, '');
  const mark = VERSION_NAME.exec(name)?.[1];
  if (mark === undefined) throw refused('CURRENT', 'name a version', JSON.stringify(name));
  const folder = path.join(modelsDir, name);
  if (!(await lstat(folder)).isDirectory()) throw refused(name, 'be a folder', 'something else');
  const manifest = await bytesOf(path.join(folder, 'manifest.json'), MOST_BYTES.manifest);
  const hash = sha256(manifest);
  if (!hash.startsWith(mark)) throw refused(`${name}/manifest.json`, "have the SHA-256 that the version's name carries", hash);
  const { files, settings, id_type: idType = {} } = JSON.parse(manifest.toString('utf8'));
  const entry = files.find((file) => file.path === FILE);
  if (entry === undefined) throw refused(name, `hold ${FILE}`, 'a manifest that does not list it');
  const bytes = await bytesOf(path.join(folder, FILE), MOST_BYTES.snapshot);
  if (bytes.length !== entry.size) throw refused(`${name}/${FILE}`, `have ${entry.size} bytes`, bytes.length);
  if (sha256(bytes) !== entry.sha256) throw refused(`${name}/${FILE}`, `have the SHA-256 ${entry.sha256}`, sha256(bytes));
  const hasTextIds = Object.values(idType).includes('str');
  return Object.freeze({ name, activatedAt, hasTextIds, rules: rulesOf(settings), ...listsOf(JSON.parse(bytes.toString('utf8'))) });
}

/** Return the bytes of a plain file of at most so many; a link is not followed. */
async function bytesOf(file, most) {
  const handle = await open(file, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0));
  try {
    const status = await handle.stat();
    if (!status.isFile() || status.size > most) throw refused(file, `be a plain file of at most ${most} bytes`, `${status.size} bytes`);
    return await handle.readFile();
  } finally {
    await handle.close();
  }
}

function rulesOf(settings = {}) {
  return Object.freeze({
    purchaseEvents: settings.purchase_events ?? DEFAULT_RULES.purchaseEvents,
    cancelEvents: settings.cancel_events ?? DEFAULT_RULES.cancelEvents,
    repeatAfterDays: settings.repeat_after_days ?? Infinity,
    timeZone: settings.time_zone ?? null,
  });
}

/** Return the lists with products in place of ids. Versions from before the products were listed have nothing that could be shown. */
function listsOf({ popular = [], newest = [], products = [] }) {
  const ofId = new Map(products.map((product) => [product.id, shown(product)]));
  const listed = (ids) => ids.filter((id) => ofId.has(id)).map((id) => ofId.get(id));
  return { popular: listed(popular), newest: listed(newest) };
}

function shown({ id, name, category, brand, price }) {
  return Object.freeze({ id, name, categoryId: category, brandId: brand, view: null, originalPrice: price, discountPrice: null, price });
}

function sha256(bytes) {
  return createHash('sha256').update(bytes).digest('hex');
}

function refused(what, should, received) {
  return new Error(`${what} should ${should}. Received: ${received}.`);
}
