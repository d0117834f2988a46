/** The catalogue: pages of products, one product, its picture, on both databases; and what is left of it without one. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ConnectionRefusedError } from 'sequelize';

import { pictureOf } from '../../src/services/pictures.js';
import { ProductService } from '../../src/services/productService.js';
import { onBothDatabases } from '../core/databases.js';
import { Clock, fill, published } from '../core/shop.js';
import { stage } from './stage.js';

const PNG = Buffer.from('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==', 'base64');
const SVG = '<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>';
const snapshotOf = (version) => ({ current: async () => version });

/** Return the application over a shop's tables. */
function shopOf({ sequelize }, { version = null, variables, ...options } = {}) {
  const products = new ProductService({ sequelize, snapshot: snapshotOf(version), clock: new Clock(), ...options });
  return stage({ services: { products }, variables });
}

/** A connection that counts its statements, and fails after `isAway` is set. */
function fragile({ sequelize }) {
  const connection = {
    isAway: false,
    nAsked: 0,
    async query(...args) {
      connection.nAsked += 1;
      if (connection.isAway) throw new ConnectionRefusedError(new Error('away'));
      return sequelize.query(...args);
    },
  };
  return connection;
}

const idsOf = ({ body }) => body.data.map(({ id }) => id);
const codes = [['tea', 'Tea & herbs'], ['coffee', 'Coffee'], ['mugs', 'Mugs']].map(([code, value]) => `('CATEGORY', '${code}', '${value}')`);
const nameCategories = (sequelize) => sequelize.query(`INSERT INTO Allcodes (type, code, value) VALUES ${codes}`);
const hang = (sequelize, productId, image) => sequelize.query('INSERT INTO Productimages (productId, image) VALUES ($productId, $image)', { bind: { productId, image } });

onBothDatabases((shopTest) => {
  for (const [query, ids, pages] of [
    ['', [12, 10, 9, 8, 7, 6, 5, 4, 3, 2], 2],
    ['?limit=3', [12, 10, 9], 4],
    ['?limit=3&page=2', [8, 7, 6], 4],
    ['?limit=3&page=4', [2, 1], 4],
    ['?limit=3&page=5', [], 4],
    ['?limit=100&page=100', [], 1],
    ['?sort=new&limit=3', [12, 10, 9], 4],
    ['?category=tea', [6, 5, 4, 3, 2, 1], 1],
    ['?category=tea&sort=new&limit=2&page=2', [4, 3], 3],
    ['?category=nowhere', [], 1],
    ["?category=tea'--", [], 1],
  ]) {
    shopTest(`“${query}” answers ${ids}, of ${pages} pages`, async (shop) => {
      await nameCategories(shop.sequelize);
      await fill(shop.models, 12, (row) => (row.id === 11 ? { ...row, statusId: 'S2' } : row)); // 11 is not for sale
      const answer = await shopOf(shop).agent.get(`/api/products${query}`);

      assert.deepEqual([answer.status, answer.body.errCode, idsOf(answer), answer.body.pages], [200, 0, ids, pages]);
      assert.equal(answer.body.page, Number(/page=(\d+)/.exec(query)?.[1] ?? 1));
      assert.deepEqual(answer.body.categories, [{ id: 'tea', name: 'Tea & herbs' }, { id: 'coffee', name: 'Coffee' }]); // there are no mugs
    });
  }

  shopTest('the most viewed come first, in equal places the newer one', async (shop) => {
    await fill(shop.models, 4, (row) => ({ ...row, view: [7, 9, 9, 1][row.id - 1] }));
    assert.deepEqual(idsOf(await shopOf(shop).agent.get('/api/products')), [3, 2, 1, 4]);
  });

  shopTest('an empty shop has one empty page', async (shop) => {
    assert.deepEqual((await shopOf(shop).agent.get('/api/products')).body, { errCode: 0, data: [], categories: [], page: 1, pages: 1 });
  });

  for (const [what, details, markdown, description] of [
    ['the details', 'A fine tea', 'other', 'A fine tea'],
    ['the text where the details have none', null, 'Leaves & water', 'Leaves & water'],
    ['nothing', null, null, null],
    ['5000 characters at most', 'đ'.repeat(6000), null, 'đ'.repeat(5000)],
  ]) {
    shopTest(`a product is described by ${what}`, async (shop) => {
      await fill(shop.models, 2, (row) => ({ ...row, contentMarkdown: markdown }));
      await shop.models.Productdetail.update({ description: details }, { where: { productId: 1 } });
      const { agent } = shopOf(shop);
      const { body } = await agent.get('/api/products/1');
      const { data } = (await agent.get('/api/products?category=tea')).body;

      assert.deepEqual(body, { errCode: 0, data: { ...data[0], description } });
      assert.deepEqual([body.data.name, body.data.price], ['Product 1', 10]);
    });
  }

  shopTest('a product that is unknown, or not for sale any more, is not found', async (shop) => {
    await fill(shop.models, 3, (row) => (row.id === 2 ? { ...row, statusId: 'S2' } : row));
    for (const id of [2, 4, 0, Number.MAX_SAFE_INTEGER]) {
      const { status, body } = await shopOf(shop).agent.get(`/api/products/${id}`);
      assert.deepEqual([status, body.field, body.message], [404, 'productId', `\`productId\` should be a product for sale. Received: ${id}.`]);
    }
  });

  shopTest('the first picture is answered, and kept by its entity tag', async (shop) => {
    await fill(shop.models, 2, (row) => (row.id === 1 ? { ...row, statusId: 'S2' } : row)); // the cart may still show it
    await hang(shop.sequelize, 1, `data:image/png;base64,${PNG.toString('base64')}`);
    await hang(shop.sequelize, 1, SVG);
    const { agent } = shopOf(shop, { variables: { RATE_LIMIT_IP: '1' } });
    const { status, body, headers } = await agent.get('/api/products/1/image');

    assert.deepEqual([status, headers['content-type'], headers['cache-control']], [200, 'image/png', 'public, max-age=3600']);
    assert.deepEqual(body, PNG);
    assert.deepEqual([headers['x-content-type-options'], headers['cross-origin-resource-policy']], ['nosniff', 'cross-origin']);
    const again = await agent.get('/api/products/1/image').set('If-None-Match', headers.etag);
    assert.deepEqual([again.status, again.text], [304, '']);
    const head = await agent.head('/api/products/1/image');
    assert.deepEqual([head.status, head.headers['content-length']], [200, String(PNG.length)]);
  });

  shopTest('an SVG cannot run scripts, and a table without a picture answers 404', async (shop) => {
    await fill(shop.models, 2);
    await hang(shop.sequelize, 1, SVG);
    await hang(shop.sequelize, 2, 'https://elsewhere.example/picture.png');
    const { agent } = shopOf(shop);
    const { headers, body } = await agent.get('/api/products/1/image');

    assert.deepEqual([headers['content-type'], body.toString()], ['image/svg+xml', SVG]);
    assert.equal(headers['content-security-policy'], "default-src 'none'; style-src 'unsafe-inline'; sandbox");
    for (const id of [2, 3]) assert.equal((await agent.get(`/api/products/${id}/image`)).body.field, 'productId');
  });

  shopTest('without the database, kept pictures and the version’s snapshot remain', async (shop) => {
    await fill(shop.models, 12);
    await hang(shop.sequelize, 1, SVG);
    const sequelize = fragile(shop);
    const { agent } = shopOf({ sequelize }, { version: published({ popular: [5, 3, 1], newest: [9, 8] }), ttlMs: 1 });
    await agent.get('/api/products/1/image').expect(200);
    sequelize.isAway = true;

    assert.deepEqual(idsOf(await agent.get('/api/products?limit=2')), [5, 3]);
    assert.deepEqual((await agent.get('/api/products?sort=new&limit=1&page=2')).body.data.map(({ id }) => id), [8]);
    assert.equal((await agent.get('/api/products/9')).body.data.name, 'Product 9');
    assert.equal((await agent.get('/api/products/7')).status, 503);
    assert.equal((await agent.get('/api/products/1/image')).status, 200);
    assert.equal((await agent.get('/api/products/2/image')).status, 503);
  });
});

for (const [path, field, expected] of [
  ['/api/products?page=0', 'page', 'a whole number from 1 to 100'],
  ['/api/products?page=101', 'page', 'a whole number from 1 to 100'],
  ['/api/products?page=1&page=2', 'page', 'a whole number from 1 to 100'],
  ['/api/products?limit=1e2', 'limit', 'a whole number from 1 to 100'],
  ['/api/products?sort=price', 'sort', 'one of popular, new'],
  ['/api/products?category=', 'category', 'a text of 1 to 50 characters'],
  [`/api/products?category=${'x'.repeat(51)}`, 'category', 'a text of 1 to 50 characters'],
  ['/api/products?brand=nord', 'brand', 'nothing but `category`, `sort`, `page`, `limit`'],
  ['/api/products/7a', 'productId', 'a whole number from 0'],
  ['/api/products/7?limit=1', 'limit', 'no parameters'],
  ['/api/products/-1/image', 'productId', 'a whole number from 0'],
  ['/api/products/7/image?v=2', 'v', 'no parameters'],
]) {
  test(`${path.slice(0, 60)} is refused`, async () => {
    const { status, body } = await stage().agent.get(path);
    assert.deepEqual([status, body.field, body.message.includes(expected)], [400, field, true], body.message);
  });
}

test('without database and version, the catalogue is unavailable, and it is not asked again and again', async () => {
  const sequelize = fragile({});
  sequelize.isAway = true;
  const { agent } = shopOf({ sequelize });
  for (let n = 0; n < 20; n += 1) {
    const { status, headers } = await agent.get('/api/products/7');
    assert.deepEqual([status, headers['retry-after']], [503, '5']);
  }
  assert.ok(sequelize.nAsked < 20, `${sequelize.nAsked}`);
});

test('a picture is read once for many visitors, also where there is none', async () => {
  let nAsked = 0;
  const query = async (_sql, { bind: { productId } }) => {
    nAsked += 1;
    return productId === 1 ? [{ image: SVG }] : [];
  };
  const products = new ProductService({ sequelize: /** @type {any} */ ({ query }), snapshot: /** @type {any} */ (snapshotOf(null)) });
  const { agent } = stage({ services: { products } });
  const statuses = await Promise.all([1, 2, 1, 2, 1].map(async (id) => (await agent.get(`/api/products/${id}/image`)).status));

  assert.deepEqual([statuses, nAsked], [[200, 404, 200, 404, 200], 2]);
});

for (const [what, stored, type] of [
  ['a PNG', PNG, 'image/png'],
  ['a PNG in a data: URL', `data:image/png;base64,${PNG.toString('base64')}`, 'image/png'],
  ['a data: URL in bytes', Buffer.from(`data:image/png;base64,${PNG.toString('base64')}`), 'image/png'],
  ['a PNG that claims to be a page', `data:text/html;base64,${PNG.toString('base64')}`, 'image/png'],
  ['a JPEG', Buffer.from([0xff, 0xd8, 0xff, 0xe0]), 'image/jpeg'],
  ['a GIF', Buffer.from('GIF89a'), 'image/gif'],
  ['a WebP', Buffer.from('RIFF\n\0\0\0WEBPVP8 ', 'latin1'), 'image/webp'],
  ['an AVIF', Buffer.from('\0\0\0\x1cftypavif', 'latin1'), 'image/avif'],
  ['an SVG', SVG, 'image/svg+xml'],
  ['an SVG with a prologue', `<?xml version="1.0"?>\n<!-- drawn by hand -->\n<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "svg11.dtd">\n${SVG}`, 'image/svg+xml'],
  ['an SVG in a data: URL', `data:image/svg+xml;charset=utf-8,${encodeURIComponent(SVG)}`, 'image/svg+xml'],
  ['a page that claims to be a PNG', `data:image/png;base64,${Buffer.from('<html>').toString('base64')}`, null],
  ['a page', '<html><svg></svg></html>', null],
  ['a data: URL with a lone per cent sign', 'data:image/svg+xml,%', null],
  ['an address', 'https://shop.example/a.png', null],
  ['an empty text', '', null],
  ['no bytes', Buffer.alloc(0), null],
  ['nothing', null, null],
  ['a number', 7, null],
]) {
  test(`${what} is ${type ?? 'no picture'}`, () => {
    assert.equal(pictureOf(stored)?.type ?? null, type);
  });
}
