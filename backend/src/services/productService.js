/** The shop's catalogue as customers browse it: pages of products, one product, its picture. */
import { createHash } from 'node:crypto';

import { LRUCache } from 'lru-cache';
import { QueryTypes } from 'sequelize';

import { Semaphore, SingleFlight } from '../concurrency/sharing.js';
import { PRODUCT, productOf, WITH_DETAILS } from './products.js';
import { pictureOf } from './pictures.js';
import { DatabaseGuard, DatabaseUnavailable } from './recommendations/databaseGuard.js';

/**
 * @import { Sequelize } from 'sequelize'
 * @import { Picture } from './pictures.js'
 * @import { Product } from './products.js'
 * @import { Snapshot } from './recommendations/snapshot.js'
 *
 * @typedef {object} Page
 * @property {Readonly<Product>[]} data
 * @property {{id: string, name: string}[]} categories Those with products; none while the database is unavailable.
 * @property {number} page
 * @property {number} pages
 *
 * @typedef {object} CachedPicture
 * @property {Picture | null} picture
 * @property {string} etag
 */

const ACTIVE = 'S1';
const QUERY_MS = 1500; // the page shows skeletons meanwhile
const MOST_PAGES = 100; // as many as may be asked for
const MOST_CATEGORIES = 200;
const LONGEST_DESCRIPTION = 5000; // characters; the page shows no more
const PICTURES = { mostBytes: 32 * 2 ** 20, ttlMs: 60_000 };
const MOST_BYTES = PICTURES.mostBytes / 8; // of one picture; larger ones could not be kept, and are none
const MOST_READS = 3; // of pictures at once: fewer than the connections, because lists need these more
const ORDERS = { popular: 'p.view DESC, p.id DESC', new: 'p.id DESC' }; // both as in the fallback chain, from indexes
/** Reads the catalogue. While the database is unavailable, the version's snapshot answers, as far as it knows the products. */
export class ProductService {
  #sequelize;
  #snapshot;
  #clock;
  #guard = new DatabaseGuard();
  #reads = new SingleFlight();
  #pictureGuard = new DatabaseGuard(); // pictures are not limited by address, and must not close the catalogue
  #places = new Semaphore(MOST_READS);
  /** @type {LRUCache<number, CachedPicture>} */
  #pictures;

  /** @param {{sequelize: Sequelize, snapshot: Snapshot, clock?: {now: () => number}, ttlMs?: number}} parts `ttlMs`: how long pictures are kept. */
  constructor({ sequelize, snapshot, clock = Date, ttlMs = PICTURES.ttlMs }) {
    this.#sequelize = sequelize;
    this.#snapshot = snapshot;
    this.#clock = clock;
    this.#pictures = new LRUCache({
      maxSize: PICTURES.mostBytes,
      maxEntrySize: MOST_BYTES,
      sizeCalculation: ({ picture }) => 100 + (picture?.bytes.length ?? 0),
      ttl: ttlMs,
      noDeleteOnStaleGet: true, // an older picture is better than none
    });
  }

  /**
   * Return a page of the active products, of one category or of all.
   *
   * @param {{category: string | null, sort: 'popular' | 'new', page: number, limit: number}} options
   * @returns {Promise<Page>} Beyond the last page, it has no products.
   * @throws {DatabaseUnavailable} There is no snapshot, either.
   */
  async browse({ category, sort, page, limit }) {
    const where = `p.statusId = '${ACTIVE}'${category === null ? '' : ' AND p.categoryId = $category'}`;
    const bind = category === null ? {} : { category };
    const rows = `SELECT ${PRODUCT} FROM (SELECT p.id FROM Products p WHERE ${where} ORDER BY ${ORDERS[sort]} LIMIT ${limit} OFFSET ${(page - 1) * limit}) part
                  JOIN Products p ON p.id = part.id ${WITH_DETAILS} ORDER BY ${ORDERS[sort]}`;
    const count = `SELECT COUNT(*) AS n FROM (SELECT p.id FROM Products p WHERE ${where} LIMIT ${MOST_PAGES * limit}) counted`;
    const names = `SELECT a.code AS id, a.value AS name FROM Allcodes a
                   WHERE (SELECT p.id FROM Products p WHERE p.categoryId = a.code AND p.statusId = '${ACTIVE}' LIMIT 1) IS NOT NULL
                   ORDER BY a.id LIMIT ${MOST_CATEGORIES}`;
    return this.#orFromSnapshot(
      async () => {
        const [found, [{ n }], categories] = await Promise.all([this.#select(rows, bind), this.#select(count, bind), this.#select(names)]);
        return { data: found.map((row) => productOf(row, this.#clock.now())), categories, page, pages: pagesOf(n, limit) };
      },
      ({ popular, newest }) => {
        const known = (sort === 'new' ? newest : popular).filter(({ categoryId }) => category === null || categoryId === category);
        return { data: known.slice((page - 1) * limit, page * limit), categories: [], page, pages: pagesOf(known.length, limit) };
      },
    );
  }

  /**
   * Return an active product with its description.
   *
   * @param {number} productId
   * @returns {Promise<(Readonly<Product> & {description: string | null}) | null>} Null for one that is unknown, or not for sale any more.
   * @throws {DatabaseUnavailable} The snapshot does not have it, either.
   */
  async product(productId) {
    const sql = `SELECT ${PRODUCT}, SUBSTR(COALESCE(d.description, p.contentMarkdown), 1, ${LONGEST_DESCRIPTION}) AS description
                 FROM Products p ${WITH_DETAILS} WHERE p.id = $productId AND p.statusId = '${ACTIVE}'`;
    return this.#orFromSnapshot(
      async () => {
        const [row] = await this.#select(sql, { productId });
        return row === undefined ? null : { ...productOf(row, this.#clock.now()), description: row.description };
      },
      ({ popular, newest }) => {
        const known = [...popular, ...newest].find(({ id }) => id === productId);
        return known && { ...known, description: null };
      },
    );
  }

  /**
   * Return the first picture of a product, for sale or not, with its entity tag.
   *
   * @param {number} productId
   * @returns {Promise<CachedPicture>}
   * @throws {DatabaseUnavailable} None is kept of an earlier request.
   */
  async picture(productId) {
    const kept = this.#pictures.get(productId);
    if (kept !== undefined) return kept;
    try {
      return await this.#reads.run(productId, () => this.#readPicture(productId));
    } catch (error) {
      const older = this.#pictures.get(productId, { allowStale: true });
      if (older === undefined || !(error instanceof DatabaseUnavailable)) throw error;
      return older;
    }
  }

  /** @param {number} productId @returns {Promise<CachedPicture>} */
  async #readPicture(productId) {
    const sql = `SELECT CASE WHEN LENGTH(m.image) < ${MOST_BYTES} THEN m.image END AS image
                 FROM Productimages m WHERE m.productId = $productId ORDER BY m.id LIMIT 1`;
    const release = await this.#places.acquire(QUERY_MS).catch((cause) => {
      throw new DatabaseUnavailable('There should be a place for a picture. Received: none.', { cause });
    });
    const [row] = await this.#pictureGuard.run(QUERY_MS, () => this.#select(sql, { productId })).finally(release);
    const picture = pictureOf(row?.image);
    const found = { picture, etag: picture === null ? '' : `"${createHash('sha256').update(picture.bytes).digest('base64url')}"` };
    this.#pictures.set(productId, found);
    return found;
  }

  /**
   * @template T
   * @param {() => Promise<T>} read
   * @param {(published: import('./recommendations/snapshot.js').Published) => T | undefined} known
   * @returns {Promise<T>}
   */
  async #orFromSnapshot(read, known) {
    try {
      return await this.#guard.run(QUERY_MS, read);
    } catch (error) {
      if (!(error instanceof DatabaseUnavailable)) throw error;
      const published = await this.#snapshot.current();
      const answer = published === null ? undefined : known(published);
      if (answer === undefined) throw error;
      return answer;
    }
  }

  /** @returns {Promise<any[]>} The rows, whose columns the statement names. */
  #select(sql, bind = {}) {
    return this.#sequelize.query(sql, { bind, type: QueryTypes.SELECT });
  }
}

function pagesOf(nProducts, limit) {
  return Math.max(1, Math.min(MOST_PAGES, Math.ceil(Number(nProducts) / limit)));
}
