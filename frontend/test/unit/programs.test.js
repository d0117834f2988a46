/** The programs behind `npm run dev` and the pictures. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { stripVTControlCharacters } from 'node:util';

const MOST_PICTURE_BYTES = 200_000;
const REPOSITORY = new URL('../../../', import.meta.url);
const FRONTEND = fileURLToPath(new URL('../../', import.meta.url));

/** Start `npm run dev`'s program, and return the lines up to its address, and the address. */
async function startDev(t, variables = {}) {
  const child = spawn(process.execPath, ['dev/dev.js'], { cwd: FRONTEND, env: { PATH: process.env.PATH, HOME: process.env.HOME, ...variables } });
  t.after(() => child.kill());
  const lines = [];
  for await (const line of createInterface({ input: child.stdout })) {
    lines.push(stripVTControlCharacters(line));
    const address = /http:\S+\d/.exec(lines.at(-1));
    if (address) return { lines, url: address[0] };
  }
  throw new Error(`dev/dev.js ended: ${lines.join('\n')}`);
}

test('dev.js serves the page with the mock server behind it, and prints who can sign in', async (t) => {
  const { lines, url } = await startDev(t);

  assert.match(await (await fetch(url)).text(), /<script type="module" src="\/src\/start/);
  const products = await (await fetch(`${url}/api/products`)).json();
  assert.equal(products.errCode, 0);
  assert.match(lines.join('\n'), /^administrator .+\n.*customer/ms);
});

test('with API_URL dev.js asks another server', async (t) => {
  const server = createServer((req, res) => res.end(`asked for ${req.url}`)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const { url } = await startDev(t, { API_URL: `http://127.0.0.1:${server.address().port}` });

  assert.equal(await (await fetch(`${url}/api/anything`)).text(), 'asked for /api/anything');
});

test('screenshots.js without a folder says how to name one', () => {
  const { status, stderr } = spawnSync(process.execPath, ['dev/screenshots.js'], { cwd: FRONTEND, encoding: 'utf8' });

  assert.equal(status, 1);
  assert.match(stderr, /npm run screenshots -- FOLDER/);
});

test('the picture of the README is there, and loads fast', () => {
  const picture = readFileSync(new URL('docs/shop.png', REPOSITORY));

  assert.equal(picture.toString('latin1', 1, 4), 'PNG');
  assert.ok(picture.length <= MOST_PICTURE_BYTES, `${picture.length} bytes`);
  for (const name of ['README.md', 'README.vi.md']) {
    const [firstScreen] = readFileSync(new URL(name, REPOSITORY), 'utf8').split('```mermaid');
    assert.match(firstScreen, /^!\[[^\]]{40,}\]\(docs\/shop\.png\)$/m, name);
  }
});

const python = new URL('.venv/bin/python', REPOSITORY);
test('realScreenshots.js tells why the shop does not start', { skip: existsSync(python) ? false : 'there is no .venv' }, () => {
  const variables = { DATABASE_URL: 'sqlite:////nowhere/shop.sqlite', JWT_SECRET: 'of the test', FRONTEND_DIR: '/nowhere' };
  const options = /** @type {const} */ ({ cwd: FRONTEND, encoding: 'utf8', env: { ...process.env, ...variables } });
  const { status, stderr } = spawnSync(process.execPath, ['dev/realScreenshots.js'], options);

  assert.equal(status, 1);
  assert.match(stderr, /The page should have been built/);
  assert.match(stderr, /should say who can sign in/);
});
