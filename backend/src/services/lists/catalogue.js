import { QueryTypes } from 'sequelize';

const DAY_MS = 86_400_000;
const ACTIVE = 'S1';
const NEWEST_EVENTS = 200; // of one customer: what she likes now
const SPARE = 5; // items of a list that are read beyond those to be shown, because some may have been bought or sold out
const LENGTHS = [1, 2, 3, 5, 10, 20, 50, 100, 200, 400];
const PRODUCT = 'p.id, p.name, p.categoryId, p.brandId, p.view, d.originalPrice, d.discountPrice';
// The first row of details counts, as on the product's page.
const WITH_DETAILS = 'LEFT JOIN Productdetails d ON d.id = (SELECT MIN(x.id) FROM Productdetails x WHERE x.productId = p.id)';

/** Reads products for pages: what may be shown to a customer now, each question one statement over indexes. */
export class Catalogue {
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
   * Return those of some products that are sold now and that the repeat rule does not hide from a customer, by id.
   *
   * @param {number | null} userId
   * @param {number[]} productIds
   * @param {object} rules See snapshot.js.
   * @returns {Promise<Map<number, object>>}
   */
  async sellable(userId, productIds, rules) {
    if (productIds.length === 0) return new Map();
    const bought = this.bought(userId, rules);
    const rows = await this.#select(
      `SELECT ${PRODUCT} FROM Products p ${WITH_DETAILS}
       WHERE p.id IN (${placesOf('id', productIds)}) AND p.statusId = '${ACTIVE}' AND ${bought.isNot('p.id')}`,
      { ...valuesOf('id', productIds), ...bought.values },
    );
    return new Map(rows.map((row) => [row.id, productOf(row)]));
  }

  /**
   * Return what is held of a customer's list, in its order: one row an item, with its product where that may be shown. No more is read than
   * is likely to be shown, and all of it only where too many of the first items may not be.
   *
   * @param {number} userId
   * @param {object} rules
   * @param {number} limit How many items are to be shown.
   * @returns {Promise<object[]>} Columns of rec_lists and recommendations, `product` or null; one row without `productId` where the list
   *   is empty, none where there is no list.
   */
  async cachedList(userId, rules, limit) {
    const most = 10 * Math.ceil(limit / 10) + SPARE; // few different texts, which servers prepare, and keep
    const first = await this.#listRows(userId, rules, `ORDER BY id LIMIT ${most}`);
    const isShort = first.filter(({ product }) => product !== null).length < limit;
    return isShort && first.length === most ? this.#listRows(userId, rules) : first;
  }

  async #listRows(userId, rules, part = '') {
    const bought = this.bought(userId, rules);
    // `details` is cut, which ours never need: with long texts in its rows, MariaDB takes several times as long
    const rows = await this.#select(
      `SELECT l.modelName, l.modelVersion, l.source, l.context, l.asked, l.computedAt, l.leaseUntil, r.id AS place, r.productId, r.score,
              CAST(r.details AS CHAR(500)) AS details,
              CASE WHEN p.statusId = '${ACTIVE}' AND ${bought.isNot('r.productId')} THEN 1 ELSE 0 END AS isSellable, ${PRODUCT}
       FROM rec_lists l LEFT JOIN (SELECT id, userId FROM recommendations WHERE userId = $userId ${part}) part ON part.userId = l.userId
       LEFT JOIN recommendations r ON r.id = part.id LEFT JOIN Products p ON p.id = r.productId ${WITH_DETAILS}
       WHERE l.userId = $userId`,
      { userId, ...bought.values },
    );
    rows.sort((one, other) => one.place - other.place); // a server would sort on disk, for the sake of long texts
    for (const row of rows) row.product = Number(row.isSellable) === 1 ? productOf(row) : null;
    return rows;
  }

  /** Return the newest events of a customer, newest first, with the category and brand of their products. */
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
   * Return products that may be shown to a customer, each with the lists that name it: those she had to do with, the most viewed of
   * some categories and brands, the most viewed, the newest.
   *
   * @param {number | null} userId
   * @param {{own: number[], categories: string[], brands: string[], each: number, all: number}} wanted `each`: rows of every category and
   *   brand; `all`: of the most viewed and of the newest.
   * @param {object} rules
   * @returns {Promise<{rung: string, product: object}[]>} In no particular order; a product may come several times.
   */
  async candidates(userId, { own, categories, brands, each, all }, rules) {
    const bought = this.bought(userId, rules);
    const isShown = `p.statusId = '${ACTIVE}' AND ${bought.isNot('p.id')}`;
    const best = (rung, condition, rows) =>
      `SELECT * FROM (SELECT '${rung}' AS rung, p.id FROM Products p WHERE ${condition} AND ${isShown}
                      ORDER BY p.view DESC, p.id DESC LIMIT ${rows}) ${rung}`;
    const lists = [
      ...(own.length > 0 ? [`SELECT 'own' AS rung, p.id FROM Products p WHERE p.id IN (${placesOf('own', own)}) AND ${isShown}`] : []),
      ...categories.map((_, n) => best(`category${n}`, `p.categoryId = $category${n}`, each)),
      ...brands.map((_, n) => best(`brand${n}`, `p.brandId = $brand${n}`, each)),
      best('most_viewed', '1 = 1', all),
      `SELECT * FROM (SELECT 'newest' AS rung, p.id FROM Products p WHERE ${isShown} ORDER BY p.id DESC LIMIT ${all}) newest`,
    ];
    const rows = await this.#select(
      `SELECT found.rung, ${PRODUCT} FROM (${lists.join(' UNION ALL ')}) found JOIN Products p ON p.id = found.id ${WITH_DETAILS}`,
      { ...valuesOf('own', own), ...named('category', categories), ...named('brand', brands), ...bought.values },
    );
    return rows.map((row) => ({ rung: row.rung.replace(/\d+$/, ''), product: productOf(row) }));
  }

  /** Return the mean stars and the number of reviews of those of some products that have any, by id. */
  async reviews(productIds) {
    if (productIds.length === 0) return new Map();
    const rows = await this.#select(
      `SELECT c.productId, AVG(c.star) AS stars, COUNT(c.star) AS reviews FROM Comments c
       WHERE c.productId IN (${placesOf('id', productIds)}) AND c.star IS NOT NULL GROUP BY c.productId`,
      valuesOf('id', productIds),
    );
    return new Map(rows.map(({ productId, stars, reviews }) => [productId, { stars: Number(stars), reviews: Number(reviews) }]));
  }

  /** Return some products by id, whether they are sold or not, and the customer's events on each. */
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
   * Return the condition that a column names none of the products which the repeat rule hides: bought more often than cancelled, within
   * the rule's days.
   */
  bought(userId, { purchaseEvents, cancelEvents, repeatAfterDays }) {
    if (userId === null || repeatAfterDays === 0 || purchaseEvents.length === 0) return { isNot: () => '1 = 1', values: {} };
    const purchases = placesOf('purchase', purchaseEvents);
    const cancels = cancelEvents.length > 0 ? `, ${placesOf('cancel', cancelEvents)}` : '';
    const since = Number.isFinite(repeatAfterDays) ? ' AND i.timestamp >= $since' : '';
    const query = `SELECT i.productId FROM Interactions i
       WHERE i.userId = $userId AND i.actionCode IN (${purchases}${cancels})${since}
       GROUP BY i.productId HAVING SUM(CASE WHEN i.actionCode IN (${purchases}) THEN 1 ELSE -1 END) > 0`;
    return {
      isNot: (column) => `${column} NOT IN (${query})`,
      values: {
        userId,
        ...valuesOf('purchase', purchaseEvents),
        ...valuesOf('cancel', cancelEvents),
        ...(since && { since: utcText(this.#clock.now() - repeatAfterDays * DAY_MS) }),
      },
    };
  }

  #select(sql, bind) {
    return this.#sequelize.query(sql, { bind, type: QueryTypes.SELECT });
  }
}

/** Return a row's product as pages show it. */
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

function named(name, values) {
  return Object.fromEntries(values.map((value, n) => [`${name}${n}`, value]));
}

/** Return the values of an IN, with the last one repeated up to a common length: servers prepare, and keep, each text anew. */
function padded(values) {
  const length = LENGTHS.find((common) => common >= values.length) ?? values.length;
  return values.length === 0 ? [] : [...values, ...Array(length - values.length).fill(values.at(-1))];
}

/** Return a moment as the tables hold it. */
function utcText(milliseconds) {
  return new Date(milliseconds).toISOString().slice(0, 19).replace('T', ' ');
}
