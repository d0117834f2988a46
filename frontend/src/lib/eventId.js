/** Ids of events: version 4 UUIDs, also where `crypto.randomUUID` is missing, as on pages over plain http. */

/**
 * @param {Partial<Crypto> | undefined} [source]
 * @returns {string}
 */
export function newEventId(source = globalThis.crypto) {
  if (typeof source?.randomUUID === 'function') return source.randomUUID();
  const bytes = randomBytes(source);
  bytes[6] = (bytes[6] & 0x0f) | 0x40; // version 4
  bytes[8] = (bytes[8] & 0x3f) | 0x80; // the usual variant
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}

/** @param {Partial<Crypto> | undefined} source */
function randomBytes(source) {
  const bytes = new Uint8Array(16);
  if (typeof source?.getRandomValues === 'function') return source.getRandomValues(bytes);
  return bytes.map(() => Math.floor(Math.random() * 256));
}
