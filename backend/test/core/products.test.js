/** What answers show of a product: `productOf` over the columns of `PRODUCT`, by a table of cases. */
import assert from 'node:assert/strict';

import { Catalogue } from '../../src/services/recommendations/catalogue.js';
import { onBothDatabases } from './databases.js';
import { Clock, DAY_MS, NOW } from './shop.js';

const BARE = {
  ...{ id: 1, name: 'Cup', categoryId: null, category: null, brandId: null, brand: null, view: 0, originalPrice: null, discountPrice: null },
  ...{ price: null, image: null, stars: null, reviews: 0, isNew: false },
};
const TABLES = ['Productdetails', 'Productimages', 'Comments'];
const second = (age) => new Date(NOW - age).toISOString().slice(0, 19).replace('T', ' ');
const OLD = second(30 * DAY_MS);

/** The rows of other tables, by table; columns of the product; and what is shown beyond `BARE`. */
const CASES = {
  'a product of which nothing is known': [{}, {}, {}],
  'names of category and brand': [
    { Allcodes: [{ type: 'CATEGORY', code: 'tea', value: 'Tea & herbs' }, { type: 'BRAND', code: 'nord', value: 'Nord' }] },
    { categoryId: 'tea', brandId: 'nord', view: 5 },
    { categoryId: 'tea', category: 'Tea & herbs', brandId: 'nord', brand: 'Nord', view: 5 },
  ],
  'codes without a name': [{}, { categoryId: 'tea', brandId: 'nord' }, { categoryId: 'tea', brandId: 'nord' }],
  'a price': [{ Productdetails: [{ originalPrice: 12.5 }] }, {}, { originalPrice: 12.5, price: 12.5 }],
  'a reduced price, of the first row': [
    { Productdetails: [{ originalPrice: 12, discountPrice: 9 }, { originalPrice: 30, discountPrice: 20 }] },
    {},
    { originalPrice: 12, discountPrice: 9, price: 9 },
  ],
  'two pictures are one': [{ Productimages: [{ image: '<svg/>' }, { image: 'data:image/png;base64,' }] }, {}, { image: '/api/products/1/image' }],
  'reviews, and a comment without stars': [{ Comments: [{ star: 5 }, { star: 4 }, { star: null }] }, {}, { stars: 4.5, reviews: 2 }],
  'a name of any characters': [{}, { name: '<img onerror=x> \u202e “é”' }, { name: '<img onerror=x> \u202e “é”' }],
  'a product of the last 30 days': [{}, { createdAt: second(30 * DAY_MS - 1000) }, { isNew: true }],
  'a moment ahead': [{}, { createdAt: second(-DAY_MS) }, { isNew: true }],
};

onBothDatabases((shopTest) => {
  for (const [what, [others, columns, shown]] of Object.entries(CASES)) {
    shopTest(what, async ({ sequelize }) => {
      const insert = (table, row) => {
        const names = Object.keys(row);
        return sequelize.query(`INSERT INTO ${table} (${names}) VALUES (${names.map((name) => `$${name}`)})`, { bind: row });
      };
      await insert('Products', { id: 1, name: 'Cup', createdAt: OLD, ...columns });
      for (const [table, rows] of Object.entries(others)) {
        for (const row of rows) await insert(table, TABLES.includes(table) ? { ...row, productId: 1 } : row);
      }
      const catalogue = new Catalogue(sequelize, new Clock());
      assert.deepEqual(await catalogue.products([1]), [{ ...BARE, ...shown }]);
    });
  }
});
