/** The shop's products, events and reviews, read for lists: which products a user may be shown now, and what is known of them. */
import { QueryTypes } from 'sequelize';

import { ownTable } from '../../config/database.js';
import { DEFAULT_MAPPING } from '../../config/mapping.js';
import { PRODUCT, productOf, WITH_DETAILS } from '../products.js';
import { DAY_S, hiddenItems, neededEvents, utcText } from './hidden.js';

/**
 * @import { Sequelize } from 'sequelize'
 * @import { Mapping } from '../../config/mapping.js'
 * @import { Product } from '../products.js'
 * @import { Id } from '../pythonInvoker.js'
 * @import { StoredEvent } from './hidden.js'
 * @import { Rules } from './snapshot.js'
 */

/**
 * @typedef {object} Event What a user did with a product.
 * @property {number} productId
 * @property {string} actionCode
 * @property {string | null} categoryId
 * @property {string | null} brandId
 *
 * @typedef {object} CachedRow One item of a cached list, with the list's columns of `rec_lists`.
 * @property {string} modelName
 * @property {string} modelVersion
 * @property {string} source
 * @property {string | null} context What `contextText` returns.
 * @property {number} nRequested How many items were requested from Python.
 * @property {number} computedAt Milliseconds since 1970; 0 or negative where there is no valid list.
 * @property {string | null} token `leaseToken`.
 * @property {number | null} productId Null in the one row of an empty list.
 * @property {number} score
 * @property {string} details JSON.
 * @property {Product | null} product Null where the product is not eligible.
 *
 * @typedef {'history' | 'category' | 'brand' | 'most_viewed' | 'newest'} Tier What brings a candidate of the fallback chain.
 */

const ACTIVE = 'S1';
const PURCHASE_DAYS = 730; // what is bought again is bought more often than every two years
const NEWEST_EVENTS = 200; // of one user: enough for their present preferences
const SPARE = 5; // items read beyond the limit, because some may have been bought or sold out
const LENGTHS = [1, 2, 3, 5, 10, 20, 50, 100, 200, 400];

/** Reads the shop's tables. Each method runs one statement or two, and all of them use indexes. */
export class Catalogue {
  /** @type {Sequelize} */
  #sequelize;
  #clock;
  #mapping;

  /**
   * @param {Sequelize} sequelize
   * @param {{now: () => number}} clock Milliseconds since 1970.
   * @param {Readonly<Mapping>} [mapping] Where the shop keeps purchases and carts.
   */
  constructor(sequelize, clock, mapping = DEFAULT_MAPPING) {
    this.#sequelize = sequelize;
    this.#clock = clock;
    this.#mapping = mapping;
  }

  /** The table of the items of cached lists, whose name may have a prefix. */
  get #items() {
    return this.#sequelize.models.Recommendation?.getTableName() ?? 'recommendations';
  }

  /**
   * Return the eligible products among some ids: those that are active and not hidden from the user.
   *
   * @param {number | null} userId
   * @param {number[]} productIds
   * @param {Rules} rules
   * @returns {Promise<Map<Id, Product>>} Products by id.
   */
  async eligible(userId, productIds, rules) {
    if (productIds.length === 0) return new Map();
    const [among, values] = [`IN (${placesOf('id', productIds)})`, valuesOf('id', productIds)];
    const sql = `SELECT ${PRODUCT} FROM Products p ${WITH_DETAILS} WHERE p.id ${among} AND p.statusId = '${ACTIVE}'`;
    const [rows, hidden] = await Promise.all([this.#select(sql, values), this.#hidden(userId, rules, among, values)]);
    return new Map(rows.filter(({ id }) => !hidden.has(id)).map((row) => [row.id, this.#productOf(row)]));
  }

  /**
   * Return the rows of a user's cached list, in its order. A few rows beyond `limit` are read first. The whole list is read only if fewer
   * than `limit` of these are eligible.
   *
   * @param {number} userId
   * @param {Rules} rules
   * @param {number} limit How many items will be shown.
   * @returns {Promise<CachedRow[]>} An empty list has one row without `productId`; a missing list has none.
   */
  async cachedList(userId, rules, limit) {
    const most = 10 * Math.ceil(limit / 10) + SPARE; // few different SQL texts, because servers keep each prepared statement
    const ofList = `IN (SELECT r.productId FROM ${this.#items} r WHERE r.userId = $userId)`;
    const [first, hidden] = await Promise.all([this.#listRows(userId, `ORDER BY id LIMIT ${most}`), this.#hidden(userId, rules, ofList)]);
    const shown = (rows) => rows.map((row) => ({ ...row, product: hidden.has(row.productId) ? null : row.product }));
    const isShort = shown(first).filter(({ product }) => product !== null).length < limit;
    return shown(isShort && first.length === most ? await this.#listRows(userId) : first);
  }

  async #listRows(userId, part = '') {
    // `details` is cast, although ours are short: with columns of long text, MariaDB takes several times as long
    const rows = await this.#select(
      `SELECT l.modelName, l.modelVersion, l.source, l.context, l.asked AS nRequested, l.computedAt, l.leaseToken AS token,
              r.id AS place, r.productId, r.score, CAST(r.details AS CHAR(500)) AS details, p.statusId, ${PRODUCT}
       FROM ${ownTable(this.#sequelize, 'rec_lists')} l LEFT JOIN (SELECT id, userId FROM ${this.#items} WHERE userId = $userId ${part}) part ON part.userId = l.userId
       LEFT JOIN ${this.#items} r ON r.id = part.id LEFT JOIN Products p ON p.id = r.productId ${WITH_DETAILS}
       WHERE l.userId = $userId`,
      { userId },
    );
    rows.sort((one, other) => one.place - other.place); // here, because a server would sort rows with long texts on disk
    for (const row of rows) row.product = row.statusId === ACTIVE ? this.#productOf(row) : null;
    return rows;
  }

  /**
   * Return the newest 200 events of a user, newest first, with the category and brand of their products.
   *
   * @param {number} userId
   * @returns {Promise<Event[]>}
   */
  async newestEvents(userId) {
    return this.#select(
      `SELECT e.productId, e.actionCode, p.categoryId, p.brandId
       FROM (SELECT productId, actionCode, timestamp, interId FROM Interactions
             WHERE userId = $userId ORDER BY timestamp DESC, interId DESC LIMIT ${NEWEST_EVENTS}) e
       LEFT JOIN Products p ON p.id = e.productId ORDER BY e.timestamp DESC, e.interId DESC`,
      { userId },
    );
  }

  /**
   * Return the candidates of the fallback chain: eligible products, each with the tier that brings it.
   *
   * The tiers are `history`, the most viewed of each category and `brand`, `most_viewed`, and `newest`.
   *
   * @param {number | null} userId
   * @param {object} options
   * @param {number[]} options.history Ids of products that the user has events on.
   * @param {string[]} options.categories
   * @param {string[]} options.brands
   * @param {string[] | null} [options.without] Categories that are left out, with what has no category; null for none.
   * @param {number} options.each Rows of each category and brand.
   * @param {number} options.all Rows of the most viewed, and of the newest.
   * @param {Rules} rules
   * @returns {Promise<{tier: Tier, product: Product}[]>} Without an order; a product may come several times.
   */
  async candidates(userId, { history, categories, brands, without = null, each, all }, rules) {
    const hidden = [...(await this.#hidden(userId, rules))].join();
    // read once, and not with each tier; one text, because a statement has a limited number of values
    const isAllowed = this.#isSqlite ? "p.id NOT IN (SELECT value FROM json_each('[' || $hidden || ']'))" : 'FIND_IN_SET(p.id, $hidden) = 0';
    const isNone = without?.length ? `p.categoryId NOT IN (${placesOf('without', without)})` : 'p.categoryId IS NOT NULL';
    const isOfAnother = without === null ? '1 = 1' : isNone;
    const isEligible = `p.statusId = '${ACTIVE}' AND ${isAllowed} AND ${isOfAnother}`;
    const best = (tier, condition, rows) =>
      `SELECT * FROM (SELECT '${tier}' AS tier, p.id FROM Products p WHERE ${condition} AND ${isEligible}
                      ORDER BY p.view DESC, p.id DESC LIMIT ${rows}) ${tier}`;
    const ofHistory = `SELECT 'history' AS tier, p.id FROM Products p WHERE p.id IN (${placesOf('history', history)}) AND ${isEligible}`;
    const tiers = [
      ...(history.length > 0 ? [ofHistory] : []),
      ...categories.map((_, n) => best(`category${n}`, `p.categoryId = $category${n}`, each)),
      ...brands.map((_, n) => best(`brand${n}`, `p.brandId = $brand${n}`, each)),
      best('most_viewed', '1 = 1', all),
      `SELECT * FROM (SELECT 'newest' AS tier, p.id FROM Products p WHERE ${isEligible} ORDER BY p.id DESC LIMIT ${all}) newest`,
    ];
    const rows = await this.#select(
      `SELECT candidate.tier, ${PRODUCT} FROM (${tiers.join(' UNION ALL ')}) candidate
       JOIN Products p ON p.id = candidate.id ${WITH_DETAILS}`,
      { ...valuesOf('history', history), ...numbered('category', categories), ...numbered('brand', brands), ...valuesOf('without', without ?? []), hidden },
    );
    return rows.map((row) => ({ tier: row.tier.replace(/\d+$/, ''), product: this.#productOf(row) }));
  }

  /**
   * Return a user's purchases of the last years and what took them back, in no order.
   *
   * @param {number} userId
   * @param {Rules} rules
   * @returns {Promise<StoredEvent[]>}
   */
  async purchases(userId, { purchaseEvents, cancelEvents }) {
    const since = utcText(Math.max(0, Math.floor(this.#clock.now() / 1000) - PURCHASE_DAYS * DAY_S));
    return this.storedEvents(userId, [...new Set([...purchaseEvents, ...cancelEvents])], since);
  }

  /**
   * Return products by their ids, active or not.
   *
   * @param {number[]} productIds
   * @returns {Promise<Product[]>}
   */
  async products(productIds) {
    if (productIds.length === 0) return [];
    const places = placesOf('id', productIds);
    const rows = await this.#select(`SELECT ${PRODUCT} FROM Products p ${WITH_DETAILS} WHERE p.id IN (${places})`, valuesOf('id', productIds));
    return rows.map((row) => this.#productOf(row));
  }

  /**
   * Return the names of products by their ids, active or not.
   *
   * @param {number[]} productIds
   * @returns {Promise<Map<Id, string>>}
   */
  async names(productIds) {
    const sql = `SELECT r.id, r.name FROM Products r WHERE r.id IN (${placesOf('id', productIds)})`;
    return new Map((await this.#select(sql, valuesOf('id', productIds))).map(({ id, name }) => [id, name]));
  }

  /**
   * Return what a user did with some products, each action once.
   *
   * @param {number} userId
   * @param {number[]} productIds
   * @returns {Promise<Pick<Event, 'productId' | 'actionCode'>[]>}
   */
  async eventsOn(userId, productIds) {
    if (productIds.length === 0) return [];
    return this.#select(
      `SELECT DISTINCT i.productId, i.actionCode FROM Interactions i WHERE i.userId = $userId AND i.productId IN (${placesOf('id', productIds)})`,
      { userId, ...valuesOf('id', productIds) },
    );
  }

  /**
   * Return the ids of the products that are hidden from a user, because they bought them or have them in the cart.
   *
   * @param {number | null} userId
   * @param {Rules} rules
   * @param {string} [among] A condition on the ids that matter, for users with thousands of events; by default all do.
   * @param {object} [values] Those that the condition names.
   * @returns {Promise<Set<number>>}
   */
  async #hidden(userId, rules, among = 'IS NOT NULL', values = {}) {
    const now = this.#clock.now();
    const { names, since } = neededEvents(rules, now);
    if (userId === null) return new Set();
    return hiddenItems(await this.storedEvents(userId, names, since, among, values), rules, now);
  }

  /**
   * Return a user's events of some names, from all mapped sources.
   *
   * @param {number} userId
   * @param {string[]} names
   * @param {string} since The earliest moment that matters, in UTC; earlier events may be among them.
   * @param {string} [among] As for `#hidden`; products beyond these may be among them.
   * @param {object} [values]
   * @returns {Promise<StoredEvent[]>} Without an order, but that those of a later source come first.
   */
  async storedEvents(userId, names, since, among = 'IS NOT NULL', values = {}) {
    if (names.length === 0) return [];
    const events = valuesOf('name', names);
    const plain = () => this.#select(
      `SELECT i.productId AS item, i.actionCode AS event, CAST(i.timestamp AS CHAR(19)) AS moment, i.interId AS rowId FROM Interactions i
       WHERE i.userId = $userId AND i.actionCode IN (${placesOf('name', names)}) AND i.timestamp >= $since AND i.productId ${among}`,
      { userId, since, ...events, ...values },
    );
    // the id is compared as text, too, because a server takes the text 7a for the number 7
    const mapped = async ({ sql, hasQuantities }) => (await this.#select(
      `SELECT e.item_id AS item, e.event AS event, CAST(e.timestamp AS CHAR(40)) AS moment, e.row_id AS rowId,
              ${hasQuantities ? 'CAST(e.quantity AS CHAR(40))' : 'NULL'} AS quantity FROM (\n${sql}\n) e
       WHERE CAST(e.user_id AS CHAR(40)) = $userText AND e.event IN (${placesOf('name', names)}) AND e.item_id IS NOT NULL AND e.timestamp IS NOT NULL`,
      { userId, userText: String(userId), ...events },
    )).map(storedEvent).filter(({ item }) => Number.isSafeInteger(item));
    const { isPlain, sources } = this.#mapping;
    const found = await Promise.all([...(isPlain ? [plain()] : []), ...sources.map(mapped)]);
    return found.reverse().flat();
  }

  #productOf(row) {
    return productOf(row, this.#clock.now());
  }

  get #isSqlite() {
    return this.#sequelize.getDialect() === 'sqlite';
  }

  /** @returns {Promise<any[]>} The rows, whose columns the statement names. */
  #select(sql, bind) {
    return this.#sequelize.query(sql, { bind, type: QueryTypes.SELECT });
  }
}

/** Return an event of a shop's own table, whose ids may be text, and whose moments may be text, or seconds or milliseconds since 1970. */
function storedEvent({ item, event, moment, rowId, quantity }) {
  const number = /^\d+(\.\d+)?$/.test(moment) ? Number(moment) : NaN;
  const second = number <= 1e11 ? number : number / 1000;
  const pieces = quantity === null || String(quantity).trim() === '' ? NaN : Number(quantity);
  return {
    item: Number(item),
    event: String(event),
    moment: Number.isNaN(number) ? String(moment) : utcText(Math.floor(second)),
    rowId: Number(rowId) || 0,
    quantity: Number.isFinite(pieces) ? pieces : NaN,
  };
}

function placesOf(name, values) {
  return padded(values)
    .map((_, n) => `$${name}${n}`)
    .join(', ');
}

function valuesOf(name, values) {
  return Object.fromEntries(padded(values).map((value, n) => [`${name}${n}`, value]));
}

function numbered(name, values) {
  return Object.fromEntries(values.map((value, n) => [`${name}${n}`, value]));
}

/** Repeat the last value of an IN up to a common length: few SQL texts, because servers keep each prepared statement. */
function padded(values) {
  const length = LENGTHS.find((common) => common >= values.length) ?? values.length;
  return values.length === 0 ? [] : [...values, ...Array(length - values.length).fill(values.at(-1))];
}
