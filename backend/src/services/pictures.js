/** Pictures as the shop's table holds them: the bytes of a file, a data: URL, or the text of an SVG. */

/**
 * @typedef {object} Picture
 * @property {string} type Its media type, as its bytes tell.
 * @property {Buffer} bytes
 */

const DATA_URL = /^data:[\w.+-]+\/[\w.+-]+(?:;[\w.+-]+=[\w.+-]+)*(;base64)?,/i;
const HEAD = 1024; // bytes, within which an SVG has its first element
const SVG = /^\uFEFF?\s*(?:<\?xml\s[^>]*>\s*)?(?:<!--[^>]*-->\s*)?(?:<!DOCTYPE\s+svg\b[^>]*>\s*)?<svg[\s>]/i;

/** By media type: the bytes at the beginning of a file, in Latin-1. */
const BEGINNINGS = Object.entries({
  'image/png': /^\x89PNG\r\n\x1a\n/,
  'image/jpeg': /^\xff\xd8\xff/,
  'image/gif': /^GIF8[79]a/,
  'image/webp': /^RIFF.{4}WEBP/s,
  'image/avif': /^.{4}ftypavi[fs]/s,
});

/**
 * Return the picture that the table holds. A type that a data: URL claims is not believed, because it may be anything.
 *
 * @param {any} stored Text, or bytes.
 * @returns {Picture | null} Null for what is no picture that browsers know.
 */
export function pictureOf(stored) {
  const bytes = typeof stored === 'string' ? bytesOfText(stored) : bytesOfFile(stored);
  const type = bytes && typeOf(bytes);
  return type ? { type, bytes } : null;
}

function bytesOfFile(stored) {
  if (!(stored instanceof Uint8Array)) return null;
  const bytes = Buffer.from(stored.buffer, stored.byteOffset, stored.byteLength);
  return bytes.subarray(0, 5).toString('latin1').toLowerCase() === 'data:' ? bytesOfText(bytes.toString('latin1')) : bytes;
}

function bytesOfText(text) {
  const [head, isBase64] = DATA_URL.exec(text.slice(0, HEAD)) ?? [];
  if (head === undefined) return Buffer.from(text);
  const content = text.slice(head.length);
  try {
    return isBase64 ? Buffer.from(content, 'base64') : Buffer.from(decodeURIComponent(content));
  } catch {
    return null; // a lone per cent sign
  }
}

/** @param {Buffer} bytes */
function typeOf(bytes) {
  const head = bytes.subarray(0, HEAD);
  const [type] = BEGINNINGS.find(([, beginning]) => beginning.test(head.toString('latin1'))) ?? [];
  return type ?? (SVG.test(head.toString('utf8')) ? 'image/svg+xml' : null);
}
