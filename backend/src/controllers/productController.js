import { HttpError } from '../middlewares/errors.js';
import { BROWSING, NOTHING, PRODUCT, checked } from './checked.js';

/** @import { Services } from '../app.js' */

const PICTURE_HEADERS = {
  'Cache-Control': 'public, max-age=3600',
  'Content-Security-Policy': "default-src 'none'; style-src 'unsafe-inline'; sandbox", // an SVG that is opened by itself runs no script
  'Cross-Origin-Resource-Policy': 'cross-origin', // pages elsewhere may show what anybody may see
};

/**
 * Return the handlers of the catalogue, which is the same for everybody.
 *
 * @param {Pick<Services, 'products'>} services
 */
export function productController({ products }) {
  return {
    /** A page of the products for sale. */
    async browseProducts(req, res) {
      const { category = null, ...options } = checked(BROWSING, req.query);
      res.json({ errCode: 0, ...(await products.browse({ category, ...options })) });
    },

    /** A product for sale. */
    async showProduct(req, res) {
      const { productId } = checked(PRODUCT, req.params);
      checked(NOTHING, req.query);
      const product = await products.product(productId);
      if (product === null) throw new HttpError(404, `\`productId\` should be a product for sale. Received: ${productId}.`, { field: 'productId' });
      res.json({ errCode: 0, data: product });
    },

    /** A product's picture, which browsers and proxies may keep. */
    async showPicture(req, res) {
      const { productId } = checked(PRODUCT, req.params);
      checked(NOTHING, req.query);
      const { picture, etag } = await products.picture(productId);
      if (picture === null) throw new HttpError(404, `\`productId\` should be a product with a picture. Received: ${productId}.`, { field: 'productId' });
      res.set({ ...PICTURE_HEADERS, ETag: etag }).type(picture.type).send(picture.bytes);
    },
  };
}
