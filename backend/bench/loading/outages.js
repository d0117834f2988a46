/** Outages of a copy's database: SQLite's file is moved, and connections to MariaDB go through a proxy. */
import { placeOf } from '../../src/config/database.js';
import { movableFile } from '../../test/web/movableFile.js';
import { openProxy } from '../../test/web/proxy.js';

/**
 * Return the URL of a database that can be cut off and restored.
 *
 * @param {string} databaseUrl
 * @returns {Promise<{url: string, cut: () => void, restore: () => void, close: () => Promise<void>}>}
 */
export async function interruptible(databaseUrl) {
  const place = placeOf(databaseUrl);
  if (place.file !== undefined) return interruptibleFile(databaseUrl, place.file);
  const proxy = await openProxy({ host: place.host, port: place.port });
  const url = new URL(databaseUrl.replace(/^[\w+]+:/, 'http:')); // with another scheme, the host cannot be set
  Object.assign(url, { hostname: '127.0.0.1', port: proxy.port });
  return { url: url.href.replace(/^http:/, 'mysql+pymysql:'), cut: () => proxy.close(), restore: () => proxy.open(), close: () => proxy.end() };
}

function interruptibleFile(url, file) {
  const { takeAway: cut, bringBack: restore } = movableFile(file);
  return { url, cut, restore, close: async () => restore() };
}
