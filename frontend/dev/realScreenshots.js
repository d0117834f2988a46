/**
 * Take pictures of the demo shop as `make shop` serves it, with its data. `make shop` has to have run once, or is run by this.
 *
 *     npm run build && npm run screenshot:readme             # the README's picture, docs/shop.png
 *     npm run build && npm run screenshot:readme -- FOLDER   # every page at 390 and 1280 px, light and dark
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { DESKTOP, PHONE, launch } from './chromium.js';

const REPOSITORY = fileURLToPath(new URL('../../', import.meta.url));
const README_PICTURE = path.join(REPOSITORY, 'docs', 'shop.png');
const README_SIZE = { width: 1120, height: 700 };

const folder = process.argv[2];
const { url, customer, administrator, stop } = await startShop();
const browser = await launch();
try {
  if (folder) await takeAll();
  else await takeHome();
} finally {
  await browser.close();
  await stop();
}

async function takeHome() {
  const page = await open(README_SIZE, 'light', 'en-GB');
  await logIn(page, customer);
  await page.locator('.track .card-name a').first().waitFor();
  await settled(page);
  await page.screenshot({ path: README_PICTURE });
}

async function takeAll() {
  await mkdir(folder, { recursive: true });
  for (const [width, viewport] of Object.entries({ 390: PHONE, 1280: DESKTOP })) {
    for (const colorScheme of ['light', 'dark']) {
      const locale = colorScheme === 'light' ? 'vi-VN' : 'en-GB';
      let page = await open(viewport, colorScheme, locale);
      const take = async (name, isWhole = true) => {
        await settled(page);
        await page.screenshot({ path: path.join(folder, `${name}-${width}-${colorScheme}.png`), fullPage: isWhole });
      };
      await page.goto(url);
      await take('home-guest');
      await page.locator('.grid .card-name a').first().click();
      await take('product');
      await page.locator('.details .button').first().click();
      await page.goto(`${url}/cart`);
      await take('cart');
      await logIn(page, customer);
      await take('home-customer');
      await page.goto(`${url}/login`);
      await take('login', false);
      await page.context().close();
      page = await open(viewport, colorScheme, locale);
      await logIn(page, administrator);
      await page.goto(`${url}/admin?user=1`);
      await page.locator('.customer table').first().waitFor();
      await take('admin');
      await page.context().close();
    }
  }
}

async function open(viewport, colorScheme, locale) {
  const context = await browser.newContext({ viewport, colorScheme, locale, reducedMotion: 'reduce' });
  return context.newPage();
}

async function logIn(page, { email, password }) {
  await page.goto(`${url}/login`);
  await page.locator('input[name=email]').fill(email);
  await page.locator('input[name=password]').fill(password);
  await page.locator('form.panel .button').click();
  await page.waitForURL(`${url}/`);
}

/** Wait for all answers, and until the pictures in view can be painted. */
async function settled(page) {
  await page.locator('.skeleton').first().waitFor({ state: 'detached' });
  await page.waitForLoadState('networkidle');
  await page.mouse.move(0, 0); // over no card
  await page.evaluate(async () => {
    const isInView = ({ top, left }) => top < window.innerHeight && left < window.innerWidth;
    const inView = [...document.images].filter((image) => isInView(image.getBoundingClientRect()));
    await Promise.all(inView.map((image) => image.decode()));
    await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
  });
}

/** Run what `make shop` runs, and return its address and who can sign in. */
async function startShop() {
  const python = path.join(REPOSITORY, '.venv', 'bin', 'python');
  const child = spawn(python, ['scripts/shop.py'], { cwd: REPOSITORY, env: { ...process.env, PORT: '0' }, stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  const said = [];
  for await (const line of createInterface({ input: child.stdout })) {
    said.push(line);
    const logins = said.flatMap((text) => [...text.matchAll(/(http:\S+)\/(login|admin) +(\S+), password (\S+)/g)]);
    if (logins.length < 2) continue;
    const [[, address, , email, password], [, , , adminEmail, adminPassword]] = logins;
    child.stdout.resume();
    await isListening(address);
    return {
      url: address,
      customer: { email, password },
      administrator: { email: adminEmail, password: adminPassword },
      async stop() {
        child.kill();
        await ended;
      },
    };
  }
  throw new Error(`scripts/shop.py should say who can sign in. Received: ${said.join('\n')}`);
}

async function isListening(address) {
  for (let attempt = 0; attempt < 600; attempt += 1) {
    const status = await fetch(`${address}/ready`).then((answer) => answer.json(), () => null);
    if (status?.status === 'ready') return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`The shop should be ready within a minute. Received: none at ${address}.`);
}
