/** The shop's page: the files that `npm run build` puts into FRONTEND_DIR, and compresses. */
import { stat } from 'node:fs/promises';
import path from 'node:path';

import { HttpError } from './errors.js';
import { noBody } from './jsonBody.js';

/**
 * @import { Request, RequestHandler } from 'express'
 * @import { Settings } from '../config/settings.js'
 *
 * @typedef {object} Form In which a file is sent.
 * @property {string} suffix Of the file that holds it.
 * @property {string | null} encoding
 * @property {string} etag
 */

// What the page needs: nothing is inline, the stars are a picture in the style sheet, and all else comes from this server.
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
const INDEX = 'index.html';
const OF_THE_SERVER = /^(?:api|internal|health|ready|metrics)(?:\/|$)/i; // no pages, even where no route matches
const ASSET = /^assets\/[\w-][\w.-]*$/; // its name changes with its content
const FILE = /^[\w-][\w.-]*$/; // such as favicon.svg
const FOR_A_YEAR = 'public, max-age=31536000, immutable';
const ASK_AGAIN = 'no-cache';
const ENCODINGS = Object.entries({ br: '.br', gzip: '.gz' }); // the smaller first; browsers do not accept it without TLS

/** Return whether there is a page. @param {Pick<Settings, 'frontendDir'>} settings */
export async function hasPage({ frontendDir }) {
  return (await fileAt(path.join(frontendDir, INDEX))) !== null;
}

/**
 * Return the middleware that answers every address of the page with `index.html`, and serves its other files. An address has no dot.
 *
 * The files are looked for with each request, so that a page that is built later appears at once. Until then, `/` says how to build it.
 *
 * @param {Pick<Settings, 'frontendDir'>} settings
 * @returns {RequestHandler}
 */
export function page({ frontendDir }) {
  return async (req, res, next) => {
    const name = req.path.slice(1);
    const isAddress = !name.includes('.');
    const isAsset = ASSET.test(name);
    if (isAddress ? OF_THE_SERVER.test(name) : !isAsset && !FILE.test(name)) return next();
    const file = isAddress ? INDEX : name;
    const form = await formOf(req, path.join(frontendDir, file));
    if (form === null && name === '') {
      throw new HttpError(404, 'The page should have been built, by `npm run build` in frontend/. Received: no index.html in FRONTEND_DIR.');
    }
    if (form === null) return next();
    res.locals.route = isAddress ? 'page' : isAsset ? 'page: assets' : 'page: files';
    if (!['GET', 'HEAD'].includes(req.method)) {
      throw new HttpError(405, `This should be asked by GET. Received: ${req.method}.`, { headers: { Allow: 'GET, HEAD' } });
    }
    noBody(req, res, () => {});
    res.vary('Accept-Encoding').type(path.extname(file)).set({ ETag: form.etag, 'Cache-Control': isAsset ? FOR_A_YEAR : ASK_AGAIN });
    if (file === INDEX) res.set('Content-Security-Policy', POLICY);
    if (form.encoding !== null) res.set('Content-Encoding', form.encoding);
    res.sendFile(`${file}${form.suffix}`, { root: frontendDir, cacheControl: false, acceptRanges: false });
  };
}

/**
 * Return the smallest form of a file that the client accepts, or null if there is no such file.
 *
 * @param {Request} req
 * @param {string} file
 * @returns {Promise<Form | null>}
 */
async function formOf(req, file) {
  const plain = await fileAt(file);
  if (plain === null) return null;
  for (const [encoding, suffix] of ENCODINGS) {
    const compressed = req.acceptsEncodings(encoding) ? await fileAt(`${file}${suffix}`) : null;
    if (compressed !== null && compressed.mtimeMs >= plain.mtimeMs) return { suffix, encoding, etag: etagOf(compressed, encoding) };
  }
  return { suffix: '', encoding: null, etag: etagOf(plain, 'plain') };
}

/** @param {string} file */
async function fileAt(file) {
  const found = await stat(file).catch(() => null);
  return found?.isFile() ? found : null;
}

/** @param {{size: number, mtimeMs: number}} file */
function etagOf({ size, mtimeMs }, encoding) {
  return `"${size.toString(36)}-${Math.round(mtimeMs).toString(36)}-${encoding}"`;
}
