/** scripts/start_all.py with real processes, and a customer in Chromium: list, click, view and what the service counted. */
import assert from 'node:assert/strict';
import { setUp, until } from '../../../frontend/test/browser/setUp.js';
import { sessionOf } from './storefront.js';
import { ADMIN_KEY, WholeShop, answers, missing } from './wholeShop.js';

const CUSTOMER = '7';
/** @type {{mock: WholeShop, browserTest: ReturnType<typeof setUp>['browserTest']}} */
const { mock: shop, browserTest } = setUp({ start: WholeShop.start, missing, timeout: 300_000, patience: 30_000 });

async function counted() {
  const response = await fetch(`http://127.0.0.1:${shop.ports.recommendation}/analytics`, { headers: { authorization: `Bearer ${ADMIN_KEY}` } });
  const { outcomes } = await response.json();
  return outcomes.reduce((sum, { impressions, clicks }) => ({ impressions: sum.impressions + impressions, clicks: sum.clicks + clicks }), { impressions: 0, clicks: 0 });
}

browserTest('all processes start in one order, with a line for each one and for each table', async () => {
  const { redis, recommendation, express, storefront } = shop.ports;
  const lines = shop.lines.map((line) => line.replace(/ ✓ \d+ columns$/, ' ✓').replace(/^version ✓ .+/, 'version ✓').replace(/^postgres ✓ \d+$/, 'postgres ✓'));
  const tables = ['user_interactions', 'user_preferences', 'product_similarities', 'frequently_together', 'recommendations_cache', 'user_segments', 'analytics'];
  assert.deepEqual(lines, [
    ...['postgres ✓', `redis ✓ ${redis}`, 'version ✓', `recommendation ✓ ${recommendation}`],
    ...tables.map((name) => `rec_${name} ✓`),
    ...['worker ✓', 'beat ✓', `express ✓ ${express}`, `storefront ✓ ${storefront}`, 'All are running until Ctrl-C.'],
  ]);
});

browserTest('a customer sees their list, clicks, and is shown the product; the service has counted it', async ({ visit }) => {
  const page = await visit();
  await page.context().addCookies([{ name: '_medusa_jwt', value: sessionOf({ sub: CUSTOMER }), url: shop.url }]);
  await page.goto(shop.url);
  await page.getByRole('heading', { name: 'Welcome back' }).waitFor();
  const own = page.locator('.shelf').filter({ has: page.getByRole('heading', { name: 'For you' }) });
  const first = own.locator('.card a').first();
  const name = await first.locator('.name').innerText();
  assert.match(name, /^(Tea|Coffee|Honey) \d+$/);
  assert.equal(await own.locator('.card a').count(), 8);
  await until(async () => (await counted()).impressions > 0, 'what was seen is counted');
  await first.click();

  await page.getByRole('heading', { level: 1, name }).waitFor(); // the name that Express has
  await page.locator('.product .price').waitFor();
  await page.getByRole('heading', { name: 'Similar products' }).waitFor();
  await until(async () => (await counted()).clicks === 1, 'the click is counted');
});

browserTest('at a signal all of them end', async () => {
  await shop.halt();

  assert.equal(shop.status, 0);
  assert.deepEqual(shop.lines.slice(-5), ['storefront', 'express', 'beat', 'worker', 'recommendation'].map((name) => `${name} stopped`));
  for (const name of ['recommendation', 'express', 'storefront']) assert.equal(await answers(shop.ports[name]), false, name);
});
