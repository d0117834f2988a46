/** The shop's products, events and reviews, read for lists: which products a user may be shown now, and what is known of them. */
import { QueryTypes } from 'sequelize';

/**
 * @import { Sequelize } from 'sequelize'
 * @import { Id } from '../pythonInvoker.js'
 * @import { Rules } from './snapshot.js'
 */

/**
 * @typedef {object} Product A product as answers show it.
 * @property {number} id
 * @property {string | null} name
 * @property {string | null} categoryId
 * @property {string | null} brandId
 * @property {number | null} view How often it was viewed; null where the product comes from a snapshot.
 * @property {number | null} originalPrice
 * @property {number | null} discountPrice
 * @property {number | null} price The price to pay.
 *
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
 * @property {number} computedAt Milliseconds since 1970; 0 where the list was invalidated.
 * @property {number} leaseUntil Milliseconds since 1970.
 * @property {number | null} productId Null in the one row of an empty list.
 * @property {number} score
 * @property {string} details JSON.
 * @property {Product | null} product Null where the product is not eligible.
 *
 * @typedef {'history' | 'category' | 'brand' | 'most_viewed' | 'newest'} Tier What brings a candidate of the fallback chain.
 */

const DAY_MS = 86_400_000;
const ACTIVE = 'S1';
const NEWEST_EVENTS = 200; // of one user: enough for their present preferences
const SPARE = 5; // items read beyond the limit, because some may have been bought or sold out
const LENGTHS = [1, 2, 3, 5, 10, 20, 50, 100, 200, 400];
const PRODUCT = 'p.id, p.name, p.categoryId, p.brandId, p.view, d.originalPrice, d.discountPrice';
// The first row of details counts, as on the product's page.
const WITH_DETAILS = 'LEFT JOIN Productdetails d ON d.id = (SELECT MIN(x.id) FROM Productdetails x WHERE x.productId = p.id)';

/** Reads the shop's tables. Each method runs one statement, or two at the same time, and all of them use indexes. */
export class Catalogue {
  /** @type {Sequelize} */
  #sequelize;
  #clock;

  /**
   * @param {Sequelize} sequelize
   * @param {{now: () => number}} clock Milliseconds since 1970.
   */
  constructor(sequelize, clock) {
    this.#sequelize = sequelize;
    this.#clock = clock;
  }

  /**
   * Return the eligible products among some ids: those that are active and that the repeat rule does not hide from the user.
   *
   * @param {number | null} userId
   * @param {number[]} productIds
   * @param {Rules} rules
   * @returns {Promise<Map<Id, Product>>} Products by id.
   */
  async eligible(userId, productIds, rules) {
    if (productIds.length === 0) return new Map();
    const rule = this.repeatRule(userId, rules);
    const rows = await this.#select(
      `SELECT ${PRODUCT} FROM Products p ${WITH_DETAILS}
       WHERE p.id IN (${placesOf('id', productIds)}) AND p.statusId = '${ACTIVE}' AND ${rule.allows('p.id')}`,
      { ...valuesOf('id', productIds), ...rule.values },
    );
    return new Map(rows.map((row) => [row.id, productOf(row)]));
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
    const first = await this.#listRows(userId, rules, `ORDER BY id LIMIT ${most}`);
    const isShort = first.filter(({ product }) => product !== null).length < limit;
    return isShort && first.length === most ? this.#listRows(userId, rules) : first;
  }

  async #listRows(userId, rules, part = '') {
    const rule = this.repeatRule(userId, rules);
    // `details` is cast, although ours are short: with columns of long text, MariaDB takes several times as long
    const rows = await this.#select(
      `SELECT l.modelName, l.modelVersion, l.source, l.context, l.asked AS nRequested, l.computedAt, l.leaseUntil,
              r.id AS place, r.productId, r.score, CAST(r.details AS CHAR(500)) AS details,
              CASE WHEN p.statusId = '${ACTIVE}' AND ${rule.allows('r.productId')} THEN 1 ELSE 0 END AS isEligible, ${PRODUCT}
       FROM rec_lists l LEFT JOIN (SELECT id, userId FROM recommendations WHERE userId = $userId ${part}) part ON part.userId = l.userId
       LEFT JOIN recommendations r ON r.id = part.id LEFT JOIN Products p ON p.id = r.productId ${WITH_DETAILS}
       WHERE l.userId = $userId`,
      { userId, ...rule.values },
    );
    rows.sort((one, other) => one.place - other.place); // here, because a server would sort rows with long texts on disk
    for (const row of rows) row.product = Number(row.isEligible) === 1 ? productOf(row) : null;
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
   * @param {number} options.each Rows of each category and brand.
   * @param {number} options.all Rows of the most viewed, and of the newest.
   * @param {Rules} rules
   * @returns {Promise<{tier: Tier, product: Product}[]>} Without an order; a product may come several times.
   */
  async candidates(userId, { history, categories, brands, each, all }, rules) {
    const rule = this.repeatRule(userId, rules);
    const isEligible = `p.statusId = '${ACTIVE}' AND ${rule.allows('p.id')}`;
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
      { ...valuesOf('history', history), ...numbered('category', categories), ...numbered('brand', brands), ...rule.values },
    );
    return rows.map((row) => ({ tier: row.tier.replace(/\d+$/, ''), product: productOf(row) }));
  }

  /**
   * Return the mean stars and the number of reviews by product id; products without reviews are left out.
   *
   * @param {number[]} productIds
   * @returns {Promise<Map<number, {stars: number, reviews: number}>>}
   */
  async reviews(productIds) {
    if (productIds.length === 0) return new Map();
    const rows = await this.#select(
      `SELECT c.productId, AVG(c.star) AS stars, COUNT(c.star) AS reviews FROM Comments c
       WHERE c.productId IN (${placesOf('id', productIds)}) AND c.star IS NOT NULL GROUP BY c.productId`,
      valuesOf('id', productIds),
    );
    return new Map(rows.map(({ productId, stars, reviews }) => [productId, { stars: Number(stars), reviews: Number(reviews) }]));
  }

  /**
   * Return products by their ids, active or not, each with the codes of the user's events on it.
   *
   * @param {number | null} userId
   * @param {number[]} productIds
   * @returns {Promise<{product: Product, events: string[]}[]>}
   */
  async productsWithEvents(userId, productIds) {
    if (productIds.length === 0) return [];
    const ids = valuesOf('id', productIds);
    const places = placesOf('id', productIds);
    const [rows, events] = await Promise.all([
      this.#select(`SELECT ${PRODUCT} FROM Products p ${WITH_DETAILS} WHERE p.id IN (${places})`, ids),
      this.#select(
        `SELECT DISTINCT i.productId, i.actionCode FROM Interactions i WHERE i.userId = $userId AND i.productId IN (${places})`,
        { userId, ...ids },
      ),
    ]);
    return rows.map((row) => ({
      product: productOf(row),
      events: events.filter(({ productId }) => productId === row.id).map(({ actionCode }) => actionCode),
    }));
  }

  /**
   * Return the repeat rule as SQL: it hides products that the user bought more often than cancelled, within the rule's days.
   *
   * @param {number | null} userId
   * @param {Rules} rules
   * @returns {{allows: (column: string) => string, values: object}} The condition on a column of product ids, and its bound values.
   */
  repeatRule(userId, { purchaseEvents, cancelEvents, repeatAfterDays }) {
    if (userId === null || repeatAfterDays === 0 || purchaseEvents.length === 0) {
      return { allows: () => '1 = 1', values: {} };
    }
    const purchases = placesOf('purchase', purchaseEvents);
    const cancels = cancelEvents.length > 0 ? `, ${placesOf('cancel', cancelEvents)}` : '';
    const since = Number.isFinite(repeatAfterDays) ? ' AND i.timestamp >= $since' : '';
    const query = `SELECT i.productId FROM Interactions i
       WHERE i.userId = $userId AND i.actionCode IN (${purchases}${cancels})${since}
       GROUP BY i.productId HAVING SUM(CASE WHEN i.actionCode IN (${purchases}) THEN 1 ELSE -1 END) > 0`;
    return {
      allows: (column) => `${column} NOT IN (${query})`,
      values: {
        userId,
        ...valuesOf('purchase', purchaseEvents),
        ...valuesOf('cancel', cancelEvents),
        ...(since && { since: utcText(this.#clock.now() - repeatAfterDays * DAY_MS) }),
      },
    };
  }

  /** @returns {Promise<any[]>} The rows, whose columns the statement names. */
  #select(sql, bind) {
    return this.#sequelize.query(sql, { bind, type: QueryTypes.SELECT });
  }
}

/**
 * Return the product of a row as answers show it.
 *
 * @returns {Product}
 */
function productOf({ id, name, categoryId, brandId, view, originalPrice, discountPrice }) {
  return { id, name, categoryId, brandId, view, originalPrice, discountPrice, price: discountPrice ?? originalPrice };
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

/** Return a moment as the tables store it, in UTC. */
function utcText(milliseconds) {
  return new Date(milliseconds).toISOString().slice(0, 19).replace('T', ' ');
}
