/**
 * Print how much a customer's browser loads before it shows a page: JavaScript and CSS, gzipped, without the administrators' page.
 *
 *     npm run build && npm run size
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

const DIST = new URL('../dist/', import.meta.url);
export const MOST_BYTES = 105_000;

/**
 * Return the gzipped size of each file of the customers' pages, by Vite's manifest of the build.
 *
 * @returns {Record<string, number>}
 */
export function sizes() {
  const manifest = JSON.parse(read('.vite/manifest.json').toString());
  const files = new Set();
  const add = (name) => {
    const { file, css = [], imports = [] } = manifest[name];
    for (const path of [file, ...css]) files.add(path);
    for (const imported of imports) add(imported); // what is imported dynamically is loaded when it is needed
  };
  for (const [name, { isEntry, dynamicImports = [] }] of Object.entries(manifest)) {
    if (isEntry) for (const loaded of [name, ...dynamicImports]) add(loaded); // the first script asks for the components at once
  }
  return Object.fromEntries([...files].map((path) => [path, gzipSync(read(path), { level: 9 }).length]));
}

function read(path) {
  return readFileSync(new URL(path, DIST));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const rows = Object.entries(sizes());
  const total = rows.reduce((sum, [, bytes]) => sum + bytes, 0);
  for (const [path, bytes] of [...rows, ['together', total], ['at most', MOST_BYTES]]) console.log(`${(bytes / 1000).toFixed(1).padStart(8)} kB  ${path}`);
  if (total > MOST_BYTES) process.exitCode = 1;
}
