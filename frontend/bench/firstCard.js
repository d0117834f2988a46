/**
 * Measure when the first product card is painted, from the start of navigation: of the real page, and of a static page with the same
 * bytes, alternately. The real page may take 1.5 times as long.
 *
 *     npm run build && npm run bench:first-card
 */
import { cp, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { CHROMIUM, DESKTOP, launch } from '../dev/chromium.js';
import { RealShop, missing } from '../test/proof/realShop.js';

const DIST = fileURLToPath(new URL('../dist/', import.meta.url));
const IMPORT = /^import\{[^}]*\}from\s*["'`][^"'`]*["'`];/gm; // neither may stand in a block
const EXPORT = /export\{[^}]*\};?\s*$/;
const ROUNDS = 9;
export const MOST_RATIO = 1.5;

/** Open a page as a new visitor does, and return the milliseconds until the first card is painted. */
export async function firstCardOf(browser, url) {
  const context = await browser.newContext({ viewport: DESKTOP, locale: 'en' });
  const page = await context.newPage();
  await page.addInitScript(noteFirstCard);
  await page.goto(url);
  await page.waitForFunction(() => globalThis.firstCard !== undefined);
  const ms = await page.evaluate(() => globalThis.firstCard);
  await context.close();
  return ms;
}

function noteFirstCard() {
  const observer = new MutationObserver(() => {
    if (document.querySelector('.card-name a') === null) return;
    observer.disconnect();
    requestAnimationFrame(() => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => (globalThis.firstCard = performance.now()); // after the frame
      port2.postMessage(null);
    });
  });
  observer.observe(document, { childList: true, subtree: true });
}

/**
 * Make a static page of the real one as it looks in the end: its HTML has the cards, and its script is loaded and read, but does nothing.
 *
 * @param {import('playwright-core').Browser} browser
 * @param {string} url Of the real page.
 * @returns {Promise<string>} The folder.
 */
export async function staticPage(browser, url) {
  const page = await browser.newPage({ viewport: DESKTOP, locale: 'en' });
  await page.goto(url);
  await page.waitForLoadState('networkidle');
  const cards = await page.locator('#root').innerHTML();
  await page.close();
  const folder = await mkdtemp(path.join(tmpdir(), 'static-'));
  await cp(DIST, folder, { recursive: true });
  await rewrite(path.join(folder, 'index.html'), (html) => html.replace('<div id="root">', `<div id="root">${cards}`));
  for (const name of (await readdir(path.join(folder, 'assets'))).filter((one) => one.endsWith('.js'))) {
    await rewrite(path.join(folder, 'assets', name), (script) => `if(0){${script.replace(IMPORT, '').replace(EXPORT, '')}}`);
  }
  return folder;
}

async function rewrite(file, change) {
  const text = change(await readFile(file, 'utf8'));
  await writeFile(file, text);
  await writeFile(`${file}.gz`, gzipSync(text));
  await rm(`${file}.br`, { force: true });
}

/** @param {number[]} values */
function median(values) {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
}

/** Return the medians of both pages, in milliseconds. */
export async function measure(rounds = ROUNDS) {
  const browser = await launch();
  const shop = await RealShop.start();
  let plain;
  let folder;
  try {
    folder = await staticPage(browser, shop.url);
    plain = await shop.beside({ FRONTEND_DIR: folder });
    const times = { real: [], plain: [] };
    for (let round = -1; round < rounds; round += 1) {
      const [real, other] = [await firstCardOf(browser, shop.url), await firstCardOf(browser, plain.url)];
      if (round < 0) continue; // warms up
      times.real.push(real);
      times.plain.push(other);
    }
    return { real: median(times.real), plain: median(times.plain), times };
  } finally {
    await browser.close();
    await plain?.stop();
    await shop.stop();
    if (folder) await rm(folder, { recursive: true });
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const lack = CHROMIUM ? missing : 'there is no Chromium';
  if (lack) throw new Error(`Everything should be there. Received: ${lack}.`);
  const { real, plain, times } = await measure();
  const ratio = real / plain;
  const shown = (values) => values.map((ms) => ms.toFixed(0)).join(' ');
  console.log(`the page     ${real.toFixed(0).padStart(5)} ms to the first card   (${shown(times.real)})`);
  console.log(`static page  ${plain.toFixed(0).padStart(5)} ms                     (${shown(times.plain)})`);
  console.log(`ratio        ${ratio.toFixed(2).padStart(5)}, at most ${MOST_RATIO}`);
  if (ratio > MOST_RATIO) process.exitCode = 1;
}
