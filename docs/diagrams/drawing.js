/** The diagrams of this folder: their sources, and how Chromium draws them. */
/* global DOMParser, XMLSerializer -- of Chromium, in what `evaluate` runs */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';

import { chromium } from 'playwright-core';

const PLACES = [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
const { mermaid: VERSION } = JSON.parse(readText('package.json')).devDependencies;

/** The path of the browser, or undefined where there is none. */
export const CHROMIUM = PLACES.find((path) => path && existsSync(path));

/** The names of the diagrams: what they show, and the language. */
export const NAMES = ['activity.en', 'activity.vi', 'sequence.en', 'sequence.vi'];

/** Return the text of a file of this folder. */
export function readText(file) {
  return readFileSync(new URL(file, import.meta.url), 'utf8');
}

/** Return what an SVG keeps of the source and the version of mermaid that it was drawn from. */
export function stampOf(source) {
  return `mermaid ${VERSION}, source sha256 ${createHash('sha256').update(source).digest('hex')}`;
}

/**
 * Run `work` with a page of Chromium that has mermaid. The page loads nothing from the network.
 *
 * @template T
 * @param {(page: import('playwright-core').Page) => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function withPage(work) {
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox', '--disable-dev-shm-usage'] });
  try {
    const page = await browser.newPage({ viewport: { width: 1600, height: 1200 } });
    await page.route('**', (route) => route.abort());
    await page.setContent('<!doctype html><meta charset="utf-8"><body></body>');
    await page.addScriptTag({ content: readText('node_modules/mermaid/dist/mermaid.min.js') });
    return await work(page);
  } finally {
    await browser.close();
  }
}

/**
 * Return a diagram as the text of an SVG on a white ground, with its stamp.
 *
 * @param {import('playwright-core').Page} page Of `withPage`.
 * @param {string} name Such as `activity.en`.
 */
export async function draw(page, name) {
  const source = readText(`${name}.mmd`);
  const svg = await page.evaluate(
    async ([id, text]) => {
      globalThis.mermaid.initialize({ startOnLoad: false, securityLevel: 'strict', deterministicIds: true, handDrawnSeed: 1 });
      const { svg: drawn } = await globalThis.mermaid.render(id, text);
      const element = new DOMParser().parseFromString(drawn, 'image/svg+xml').documentElement;
      const [, , width, height] = element.getAttribute('viewBox').split(' ');
      element.setAttribute('width', width);
      element.setAttribute('height', height);
      element.style.background = 'white';
      return new XMLSerializer().serializeToString(element);
    },
    [name.replace('.', '-'), source],
  );
  return `<!-- ${stampOf(source)} -->\n${svg}\n`;
}
