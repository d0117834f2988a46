/** The active version as the backend needs it: its name, its rules, and `snapshot.json` with the items of the last fallback tier. */
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { lstat, open, stat } from 'node:fs/promises';
import path from 'node:path';

import { SingleFlight } from '../../concurrency/sharing.js';
import { snapshotProduct } from '../products.js';

/**
 * @import { Logger } from 'pino'
 * @import { Product } from '../products.js'
 * @import { Id } from '../pythonInvoker.js'
 */

const CHECK_MS = 200; // between two checks of CURRENT; Python's workers check as often
const RETRY_MS = 5000; // after a failed read, even if CURRENT is the same
const MOST_BYTES = { current: 128, manifest: 16 * 2 ** 20, snapshot: 16 * 2 ** 20 };
const VERSION_NAME = /^[0-9]{8}T[0-9]{6}Z-([0-9a-f]{8})$/;
const FILE = 'snapshot.json';
const DEFAULT_UNCART_EVENTS = ['uncart']; // as in Python, of versions that do not list them

/**
 * The rules while no version is published: purchased products stay hidden for ever.
 *
 * @type {Rules}
 */
export const DEFAULT_RULES = Object.freeze({
  purchaseEvents: Object.freeze(['purchase']),
  cancelEvents: Object.freeze(['cancel']),
  cartEvents: Object.freeze(['cart']),
  uncartEvents: Object.freeze(['uncart']),
  repeatAfterDays: Infinity,
  timeZone: null,
  eventNames: null,
});

/**
 * Follow the active version: its name, the rules that serving shares with training, and items for when the database is unavailable.
 *
 * @param {{modelsDir: string, log?: Pick<Logger, 'warn'>, checkMs?: number, now?: () => number}} options
 * @returns {Snapshot}
 *
 * @typedef {object} Snapshot
 * @property {() => Promise<Published | null>} current It never rejects: if a new version is damaged, the one before it stays.
 *
 * @typedef {object} Rules What serving shares with training.
 * @property {readonly string[]} purchaseEvents
 * @property {readonly string[]} cancelEvents
 * @property {readonly string[]} cartEvents
 * @property {readonly string[]} uncartEvents
 * @property {number} repeatAfterDays How long a purchased product stays hidden; Infinity for ever.
 * @property {string | null} timeZone
 * @property {readonly string[] | null} eventNames Those that Python takes in requests; null where a version does not list them.
 *
 * @typedef {object} Published
 * @property {string} name The version.
 * @property {number} activatedAt Milliseconds since 1970.
 * @property {boolean} hasTextIds Whether ids of users or products are text, not numbers.
 * @property {number | null} trainedAt Milliseconds since 1970.
 * @property {number | null} dataUntil The newest event in it, in milliseconds since 1970.
 * @property {string | null} winner The scorer that serves.
 * @property {Record<string, any>} offline The metrics of each scorer, from the test before its publication.
 * @property {Rules} rules
 * @property {Product[]} popular Best sellers first.
 * @property {Product[]} newest Newest first.
 */
export function createSnapshot({ modelsDir, log, checkMs = CHECK_MS, now = () => performance.now() }) {
  const checks = new SingleFlight();
  /** @type {Published | null} */
  let published = null;
  /** @type {string | null} */
  let seen = null; // the fingerprint of CURRENT at the latest check
  let checkedAt = -Infinity;
  /** @type {number | null} */
  let failedAt = null;

  async function check() {
    const pointer = path.join(modelsDir, 'CURRENT');
    const status = await stat(pointer).catch(() => null);
    checkedAt = now();
    const fingerprint = status && `${status.ino}:${status.mtimeMs}:${status.size}`;
    const isDue = fingerprint !== seen || (failedAt !== null && checkedAt - failedAt >= RETRY_MS);
    if (status === null || !isDue) return;
    try {
      published = await readPublished(modelsDir, status.mtimeMs);
      failedAt = null;
    } catch (error) {
      if (fingerprint !== seen) log?.warn({ err: error }, 'the active version cannot be read');
      failedAt = now();
    }
    seen = fingerprint;
  }

  return {
    async current() {
      const isFirst = published === null && checks.size > 0; // during the first check there is nothing else to return
      if (isFirst || now() - checkedAt >= checkMs) await checks.run('check', check);
      return published;
    },
  };
}

/**
 * Read the active version. The manifest must have the hash in the version's name, and `snapshot.json` must have the size and the SHA-256
 * in the manifest.
 *
 * @returns {Promise<Published>}
 */
async function readPublished(modelsDir, activatedAt) {
  const name = (await bytesOf(path.join(modelsDir, 'CURRENT'), MOST_BYTES.current)).toString('latin1').replace(/\n$/, '');
  const prefix = VERSION_NAME.exec(name)?.[1];
  if (prefix === undefined) throw refused('CURRENT', 'name a version', JSON.stringify(name));
  const folder = path.join(modelsDir, name);
  if (!(await lstat(folder)).isDirectory()) throw refused(name, 'be a folder', 'something else');
  const manifest = await bytesOf(path.join(folder, 'manifest.json'), MOST_BYTES.manifest);
  const hash = sha256(manifest);
  if (!hash.startsWith(prefix)) throw refused(`${name}/manifest.json`, "have the SHA-256 that the version's name carries", hash);
  const { files, settings, id_type: idType = {}, ...facts } = JSON.parse(manifest.toString('utf8'));
  const entry = files.find((file) => file.path === FILE);
  if (entry === undefined) throw refused(name, `hold ${FILE}`, 'a manifest that does not list it');
  const bytes = await bytesOf(path.join(folder, FILE), MOST_BYTES.snapshot);
  if (bytes.length !== entry.size) throw refused(`${name}/${FILE}`, `have ${entry.size} bytes`, bytes.length);
  if (sha256(bytes) !== entry.sha256) throw refused(`${name}/${FILE}`, `have the SHA-256 ${entry.sha256}`, sha256(bytes));
  const hasTextIds = Object.values(idType).includes('str');
  return Object.freeze({ name, activatedAt, hasTextIds, ...factsOf(name, facts), rules: rulesOf(settings), ...listsOf(JSON.parse(bytes.toString('utf8'))) });
}

/** Return what the administrators' page tells of a version; older versions may lack some of it. */
function factsOf(name, { data_until: dataUntil, winner = null, offline }) {
  const trainedAt = Date.parse(name.replace(/^(....)(..)(..T..)(..)(..Z).*$/, '$1-$2-$3:$4:$5'));
  return {
    trainedAt: Number.isNaN(trainedAt) ? null : trainedAt,
    dataUntil: Number.isFinite(dataUntil) ? 1000 * dataUntil : null,
    winner,
    offline: typeof offline === 'object' && offline !== null ? offline : {},
  };
}

/** Return the bytes of a plain file of at most `most` bytes. Links are not followed. */
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

/**
 * @param {Record<string, any>} [settings] Those of the manifest.
 * @returns {Rules}
 */
function rulesOf(settings = {}) {
  const isKept = (name) => !settings.event_weights || settings.event_weights[name]; // cleaning drops events without a weight
  return Object.freeze({
    purchaseEvents: (settings.purchase_events ?? DEFAULT_RULES.purchaseEvents).filter(isKept),
    cancelEvents: settings.cancel_events ?? DEFAULT_RULES.cancelEvents,
    cartEvents: (settings.cart_events ?? DEFAULT_RULES.cartEvents).filter(isKept),
    uncartEvents: settings.uncart_events ?? DEFAULT_RULES.uncartEvents,
    repeatAfterDays: settings.repeat_after_days ?? Infinity,
    timeZone: settings.time_zone ?? null,
    eventNames: settings.event_weights ? namesOf(settings) : null,
  });
}

/** @param {Record<string, any>} settings */
function namesOf({ event_weights: weights, cancel_events: cancels = [], uncart_events: removals = DEFAULT_UNCART_EVENTS }) {
  return Object.freeze([...new Set([...Object.keys(weights), ...cancels, ...removals])]);
}

/** Return the lists with products in place of ids. Older versions do not list their products, and have empty lists. */
function listsOf({ popular = [], newest = [], products = [] }) {
  const ofId = new Map(products.map((product) => [product.id, snapshotProduct(product)]));
  const listed = (ids) => ids.filter((id) => ofId.has(id)).map((id) => ofId.get(id));
  return { popular: listed(popular), newest: listed(newest) };
}

function sha256(bytes) {
  return createHash('sha256').update(bytes).digest('hex');
}

function refused(what, should, received) {
  return new Error(`${what} should ${should}. Received: ${received}.`);
}
