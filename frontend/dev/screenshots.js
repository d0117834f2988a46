/**
 * Take pictures of every page at both widths and in both colour schemes, against the mock server.
 *
 *     npm run build && npm run screenshots -- FOLDER
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { DESKTOP, PHONE, launch } from './chromium.js';
import { PASSWORD, startMock } from './mockServer.js';
import { USERS } from './mockShop.js';

const folder = process.argv[2];
if (!folder) throw new Error('Name the folder for the pictures: npm run screenshots -- FOLDER');
await mkdir(folder, { recursive: true });

const mock = await startMock();
const browser = await launch();
for (const colorScheme of /** @type {const} */ (['light', 'dark'])) {
  for (const [width, viewport] of Object.entries({ 390: PHONE, 1280: DESKTOP })) {
    const language = colorScheme === 'light' ? 'vi-VN' : 'en-GB';
    const context = await browser.newContext({ viewport, colorScheme, locale: language, reducedMotion: 'reduce' });
    const page = await context.newPage();
    const take = async (name, isWhole = false) => {
      await page.waitForLoadState('networkidle');
      await page.screenshot({ path: join(folder, `${name}-${width}-${colorScheme}.png`), fullPage: isWhole });
    };
    await page.goto(mock.url);
    await take('home-guest');
    await page.goto(`${mock.url}/p/9`);
    await take('product', true);
    await page.locator('.details .button').first().click();
    await take('product-added');
    await page.goto(`${mock.url}/login`);
    await take('login');
    await logIn(page, USERS[1].email);
    await page.goto(`${mock.url}/p/12`);
    await take('product-other');
    await page.goto(mock.url);
    await take('home', true);
    await page.goto(`${mock.url}/cart`);
    await take('cart', true);
    await page.locator('.cart-total .button').click();
    await take('thanks');
    await page.goto(`${mock.url}/cart`);
    await take('cart-empty');
    await page.goto(`${mock.url}/p/999`);
    await take('product-missing');
    await page.goto(`${mock.url}/admin?user=2`);
    await page.locator('.customer table').first().waitFor();
    await take('admin', true);
    await page.goto(`${mock.url}/admin?user=3`);
    await page.locator('.customer').waitFor();
    await take('admin-no-list', true);
    mock.fault = ({ path }) => (path.endsWith('/image') ? null : { status: 503 });
    await page.goto(mock.url);
    await page.locator('.failed').first().waitFor();
    await take('home-503', true);
    mock.fault = ({ path }) => (path.startsWith('/api/') ? { delayMs: 4000 } : null);
    await page.goto(mock.url);
    await page.screenshot({ path: join(folder, `home-loading-${width}-${colorScheme}.png`) });
    mock.fault = () => null;
    await context.close();
    mock.events.length = 0;
    mock.withoutList.add(3);
  }
}
await browser.close();
await mock.stop();

async function logIn(page, email) {
  await page.locator('input[name=email]').fill(email);
  await page.locator('input[name=password]').fill(PASSWORD);
  await page.locator('form .button').click();
  await page.waitForURL(`${mock.url}/`);
}
