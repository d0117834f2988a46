import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { brotliCompress, gzip } from 'node:zlib';

import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

const FORMS = Object.entries({ '.br': promisify(brotliCompress), '.gz': promisify(gzip) });
const SERVER = process.env.API_URL ?? 'http://127.0.0.1:6969';

export default defineConfig({
  plugins: [react(), preloaded(), compressed()],
  build: {
    manifest: true, // scripts/size.js reads it
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    rolldownOptions: { checks: { pluginTimings: false } }, // compression takes its time
  },
  server: { host: '127.0.0.1', proxy: { '/api': SERVER } },
});

/** Have the browser load the components beside the first script, which asks for them later. */
function preloaded() {
  return {
    name: 'preloaded',
    transformIndexHtml: {
      order: 'post',
      handler(_html, { bundle }) {
        const main = Object.values(bundle ?? {}).find(({ facadeModuleId }) => facadeModuleId?.endsWith('/src/main.jsx'));
        return main ? [{ tag: 'link', attrs: { rel: 'modulepreload', crossorigin: true, href: `/${main.fileName}` }, injectTo: 'head' }] : [];
      },
    },
  };
}

/** Put compressed files beside each file of the build, for servers that do not compress by themselves. */
function compressed() {
  return {
    name: 'compressed',
    async writeBundle({ dir }, bundle) {
      const names = Object.keys(bundle).filter((name) => !name.startsWith('.'));
      await Promise.all(names.flatMap((name) => FORMS.map(([suffix, compress]) => write(join(dir, name), suffix, compress))));
    },
  };
}

async function write(file, suffix, compress) {
  await writeFile(`${file}${suffix}`, await compress(await readFile(file)));
}
