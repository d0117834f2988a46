/** Products as all answers show them: the columns that are read, and the product of a row. */

/**
 * @typedef {object} Product A product as answers show it.
 * @property {number} id
 * @property {string | null} name
 * @property {string | null} categoryId
 * @property {string | null} category The category's name in `Allcodes`.
 * @property {string | null} brandId
 * @property {string | null} brand The brand's name in `Allcodes`.
 * @property {number | null} view How often it was viewed; null where the product comes from a snapshot.
 * @property {number | null} originalPrice
 * @property {number | null} discountPrice
 * @property {number | null} price The price to pay.
 * @property {string | null} image The path of its picture on this server.
 * @property {number | null} stars Mean of its reviews, 1 to 5.
 * @property {number} reviews The number of reviews.
 * @property {boolean} isNew Whether the shop has had it for less than 30 days.
 */

const NEW_MS = 30 * 86_400_000;

/** The columns of a product, for statements over `Products p` joined by `WITH_DETAILS`. */
export const PRODUCT = `p.id, p.name, p.categoryId, p.brandId, p.view, d.originalPrice, d.discountPrice, CAST(p.createdAt AS CHAR(19)) AS createdAt,
  (SELECT MIN(a.value) FROM Allcodes a WHERE a.code = p.categoryId) AS category,
  (SELECT MIN(a.value) FROM Allcodes a WHERE a.code = p.brandId) AS brand,
  (SELECT AVG(c.star) FROM Comments c WHERE c.productId = p.id) AS stars,
  (SELECT COUNT(c.star) FROM Comments c WHERE c.productId = p.id) AS reviews,
  EXISTS (SELECT 1 FROM Productimages m WHERE m.productId = p.id) AS hasImage`;

/** The first row of details counts, as on the product's page. */
export const WITH_DETAILS = 'LEFT JOIN Productdetails d ON d.id = (SELECT MIN(x.id) FROM Productdetails x WHERE x.productId = p.id)';

/**
 * Return the product of a row with the columns `PRODUCT`; other columns are left out.
 *
 * @param {any} row
 * @param {number} now Milliseconds since 1970.
 * @returns {Product}
 */
export function productOf(row, now) {
  const { id, name, categoryId, category, brandId, brand, view, originalPrice, discountPrice, createdAt, stars, reviews, hasImage } = row;
  return {
    ...{ id, name, categoryId, category, brandId, brand, view, originalPrice, discountPrice },
    price: discountPrice ?? originalPrice,
    image: Number(hasImage) === 1 ? `/api/products/${id}/image` : null,
    stars: stars === null ? null : Number(stars), // MySQL returns decimals as text
    reviews: Number(reviews),
    isNew: isNew(createdAt, now),
  };
}

/**
 * Return the product of a version's snapshot, which has fewer facts.
 *
 * @param {{id: number, name: string | null, category: string | null, brand: string | null, price: number | null}} product
 * @returns {Readonly<Product>}
 */
export function snapshotProduct({ id, name, category: categoryId, brand: brandId, price }) {
  const known = { id, name, categoryId, brandId, originalPrice: price, price };
  const unknown = { category: null, brand: null, view: null, discountPrice: null, image: null, stars: null, reviews: 0, isNew: false };
  return Object.freeze({ ...known, ...unknown });
}

function isNew(createdAt, now) {
  const moment = Date.parse(`${String(createdAt).slice(0, 19).replace(' ', 'T')}Z`);
  return now - moment < NEW_MS; // an unreadable moment is not
}
