/** The way to a copy's database that can be cut and mended: SQLite's file is moved, connections to MariaDB go through a proxy. */
import { placeOf } from '../../src/config/database.js';
import { movableFile } from '../../test/web/movableFile.js';
import { openProxy } from '../../test/web/proxy.js';

/**
 * Return the URL of a way that can be cut.
 *
 * @param {string} databaseUrl
 * @returns {Promise<{url: string, cut: () => void, mend: () => void, end: () => Promise<void>}>}
 */
export async function openWay(databaseUrl) {
  const place = placeOf(databaseUrl);
  if (place.file !== undefined) return wayToFile(databaseUrl, place.file);
  const proxy = await openProxy({ host: place.host, port: place.port });
  const url = new URL(databaseUrl.replace(/^[\w+]+:/, 'http:')); // other schemes have no host that could be set
  Object.assign(url, { hostname: '127.0.0.1', port: proxy.port });
  return { url: url.href.replace(/^http:/, 'mysql+pymysql:'), cut: () => proxy.close(), mend: () => proxy.open(), end: () => proxy.end() };
}

function wayToFile(url, file) {
  const { takeAway: cut, bringBack: mend } = movableFile(file);
  return { url, cut, mend, end: async () => mend() };
}
