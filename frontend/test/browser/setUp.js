/** A real browser and a server, for each file of tests; a fresh visitor for each test. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { after, before, beforeEach, test } from 'node:test';
import { CHROMIUM, DESKTOP, PHONE, launch } from '../../dev/chromium.js';
import { PASSWORD, startMock } from '../../dev/mockServer.js';
import { USERS } from '../../dev/mockShop.js';

export { DESKTOP, PASSWORD, PHONE, USERS };

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const FAILED_REQUEST = /^Failed to load resource/; // the browser's own line for each failed request; a page cannot prevent it
const MOST_SHIFT = 0.05;
const IS_CI = ['true', '1'].includes((process.env.CI ?? '').toLowerCase());

/**
 * Return the tools of a file of tests.
 *
 * @param {object} [options]
 * @param {() => Promise<any>} [options.start] Starts the server, the mock by default: `url`, `reset()` before each test, `stop()`.
 * @param {string | false} [options.missing] What else is missing, which on CI is a failure, too.
 * @param {number} [options.timeout] Of a test, in milliseconds.
 * @param {number} [options.patience] How long an element is waited for.
 * @returns {{mock: any, browserTest: (name: string, run: (tools: Tools) => Promise<void>) => void}}
 *
 * @typedef {object} Tools
 * @property {(options?: VisitorOptions) => Promise<import('playwright-core').Page>} visit
 *
 * @typedef {object} VisitorOptions
 * @property {{width: number, height: number}} [viewport]
 * @property {string} [locale]
 * @property {'light' | 'dark'} [colorScheme]
 * @property {boolean} [mayFail] Whether requests fail in this test.
 * @property {(page: import('playwright-core').Page) => Promise<void>} [prepare] Before the page is opened.
 * @property {string} [path]
 * @property {import('playwright-core').BrowserContext} [context] For a second tab.
 */
export function setUp({ start = startMock, missing = false, timeout = 60_000, patience = 15_000 } = {}) {
  const lack = CHROMIUM ? missing : 'there is no Chromium; CHROMIUM names one elsewhere';
  /** @type {any} */
  let server = null;
  /** The server, once it runs; what a test sets reaches it. */
  const mock = new Proxy(/** @type {any} */ ({}), {
    get: (_target, name) => (typeof server[name] === 'function' ? server[name].bind(server) : server[name]),
    set: (_target, name, value) => Reflect.set(server, name, value),
  });
  let browser;

  before(async () => {
    if (lack) return;
    server = await start();
    browser = await launch();
  });
  after(async () => {
    await browser?.close();
    await server?.stop();
  });
  beforeEach(() => server?.reset());

  function browserTest(name, run) {
    test(name, { skip: !IS_CI && lack, timeout }, async () => {
      assert.equal(lack, false, 'On CI nothing should be missing.');
      const contexts = [];
      const lines = [];

      async function visit({ viewport = DESKTOP, locale = 'en-GB', colorScheme = 'light', mayFail = false, prepare, path = '/', context } = {}) {
        const used = context ?? (await browser.newContext({ viewport, locale, colorScheme, reducedMotion: 'reduce' }));
        if (!context) contexts.push(used);
        const page = await used.newPage();
        page.setDefaultTimeout(patience);
        page.on('console', (message) => {
          const isExpected = mayFail && FAILED_REQUEST.test(message.text());
          if (['error', 'warning'].includes(message.type()) && !isExpected) lines.push(`${message.type()}: ${message.text()} ${message.location().url}`);
        });
        page.on('pageerror', (error) => lines.push(String(error.stack)));
        await prepare?.(page);
        await page.goto(mock.url + path);
        return page;
      }

      try {
        await run({ visit });
      } finally {
        for (const context of contexts) await context.close();
      }
      assert.deepEqual(lines, [], 'The console should be empty.');
    });
  }

  return { mock, browserTest };
}

/** Wait until a condition outside of the page holds, and return what it has returned. @returns {Promise<any>} */
export async function until(condition, what, patience = 15_000) {
  for (const end = Date.now() + patience; Date.now() < end; ) {
    const outcome = await condition();
    if (outcome) return outcome;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.fail(`This should come true within ${patience / 1000} s: ${what}`);
}

export async function logIn(page, user, password = PASSWORD) {
  await page.locator('input[name=email]').fill(user.email);
  await page.locator('input[name=password]').fill(password);
  await page.locator('form.panel .button').click();
}

/** The text of the elements of a selector. */
export function texts(page, selector) {
  return page.locator(selector).allInnerTexts();
}

/** The row of products with a title. */
export function shelf(page, title) {
  return page.locator('.shelf').filter({ has: page.getByRole('heading', { level: 2, name: title }) });
}

/** Before the page is opened: add up how far its parts move without an act of the visitor. */
export function watchShifts(page) {
  return page.addInitScript(() => {
    globalThis.shift = 0;
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) if (!(/** @type {any} */ (entry).hadRecentInput)) globalThis.shift += /** @type {any} */ (entry).value;
    }).observe({ type: 'layout-shift', buffered: true });
  });
}

export async function assertStill(page) {
  const shift = await page.evaluate(() => globalThis.shift);
  assert.ok(shift <= MOST_SHIFT, `the layout shifted by ${shift}`);
}

/** Assert that axe finds nothing serious, and that nothing is wider than the page. */
export async function assertSound(page, where) {
  await page.evaluate(AXE);
  const found = await page.evaluate(async () => {
    const { violations } = await globalThis.axe.run(document, { resultTypes: ['violations'] });
    return violations
      .filter(({ impact }) => ['serious', 'critical'].includes(impact))
      .map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map(({ html, failureSummary }) => `${html} ${failureSummary}`).join(' | ')}`);
  });
  assert.deepEqual(found, [], where);
  const [inner, wanted] = await page.evaluate(() => [document.documentElement.clientWidth, document.documentElement.scrollWidth]);
  assert.ok(wanted <= inner, `${where} is ${wanted} px wide in a window of ${inner}`);
}
