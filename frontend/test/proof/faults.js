/** A server that stops, slows down, refuses, or loses its database, while the page is open. */
import assert from 'node:assert/strict';
import { translator } from '../../src/i18n/index.js';
import { DESKTOP, PHONE, assertSound, logIn, shelf, until } from '../browser/setUp.js';
import { addToCart, idsIn } from './journey.js';
import { CUSTOMERS, POPULAR } from './realShop.js';

const BACK_MS = 60_000; // the page's own pauses between attempts double
const SIGNED_IN_S = 12; // a page that is opened within this time is still signed in
const t = translator('en');

export function faultTests({ shop, browserTest }) {
  const [, , STOPPED, EXPIRED, TABS, UNSTORED, AWAY] = CUSTOMERS;
  const [one, other, third] = POPULAR;

  async function signedIn(visit, id, options = {}) {
    const page = await visit({ locale: 'en', path: '/login', mayFail: true, ...options });
    await logIn(page, shop.account(id), shop.password);
    await shelf(page, t('for.user')).locator('.card-name a').first().waitFor();
    return page;
  }

  async function buy(page) {
    await page.getByRole('banner').getByRole('link', { name: t('cart') }).click();
    await page.getByRole('button', { name: t('cart.buy') }).click();
    await page.getByRole('heading', { name: t('cart.thanks') }).waitFor();
  }

  const areEvents = (id, wanted) => async () => (await shop.events(id)).join() === wanted.join();

  browserTest('while the server is stopped nothing is lost, and all arrives once', async ({ visit }) => {
    const page = await signedIn(visit, STOPPED, { viewport: PHONE });
    await page.locator(`.grid a[href="/p/${third}"]`).waitFor();
    assert.equal(await shop.halt(), 0);
    await addToCart(page, one);
    await page.locator(`.grid a[href="/p/${third}"]`).click();
    await page.getByText(t('error.offline')).first().waitFor();
    await assertSound(page, 'without a server');
    await buy(page);
    assert.deepEqual(await shop.events(STOPPED), []);
    await shop.restart();
    await until(areEvents(STOPPED, [`cart ${one}`, `purchase ${one}`]), 'the events are stored', BACK_MS);
    await page.goBack();
    await page.locator('.details .price').waitFor();
    await until(areEvents(STOPPED, [`cart ${one}`, `purchase ${one}`, `view ${third}`]), 'the view is stored');
    await page.reload();
    await page.locator('.details .price').waitFor();
    await page.waitForFunction(() => !Object.keys(localStorage).some((key) => key.startsWith('shop.event.')));
    assert.deepEqual(await shop.events(STOPPED), [`cart ${one}`, `purchase ${one}`, `view ${third}`]);
  });

  browserTest('a page that is closed while the server is stopped sends it all at the next visit', async ({ visit }) => {
    const page = await visit({ locale: 'en', mayFail: true });
    await page.locator(`.grid a[href="/p/${one}"]`).waitFor();
    const before = await shop.events();
    await shop.halt();
    await addToCart(page, one);
    await addToCart(page, other);
    await page.close();
    await shop.restart();
    const next = await visit({ context: page.context(), mayFail: true });
    await next.getByRole('link', { name: t('items', { n: 2 }) }).waitFor();
    await until(async () => (await shop.events()).slice(before.length).join() === `cart ${one},cart ${other}`, 'the events are stored', BACK_MS);
  });

  browserTest('a server that stands still is waited for, and named when it takes too long', async ({ visit }) => {
    const page = await visit({ locale: 'en', mayFail: true });
    await page.locator(`.grid a[href="/p/${other}"]`).waitFor();
    shop.freeze();
    await page.locator(`.grid a[href="/p/${other}"]`).click();
    await page.locator('.track .skeleton').first().waitFor();
    assert.equal(await page.locator('.details h1').count(), 1, 'What is known of the product is shown meanwhile.');
    shop.thaw();
    await shelf(page, t('similar')).locator('.card-name a').first().waitFor();
    await page.goBack();
    await page.locator(`.grid a[href="/p/${third}"]`).waitFor();
    shop.freeze();
    await page.locator(`.grid a[href="/p/${third}"]`).click();
    await page.getByText(t('error.timeout')).first().waitFor();
    await assertSound(page, 'at a server that stands still');
    shop.thaw();
    await page.getByRole('button', { name: t('retry') }).first().click();
    await page.locator('.details .price').waitFor();
  });

  browserTest('a server that asks for time is named so, and gets it', async ({ visit }) => {
    await shop.restart({ RATE_LIMIT_IP: '1' });
    const page = await visit({ locale: 'en', viewport: PHONE, mayFail: true });
    await page.getByText(/The shop is very busy\. Try again in \d+ (second|minute)s?\./).first().waitFor();
    await assertSound(page, 'at a busy server');
    await shop.restart();
    for (const retries = page.getByRole('button', { name: t('retry') }); (await retries.count()) > 0; ) await retries.first().click();
    await shelf(page, t('popular')).locator('.card-name a').first().waitFor();
    await shelf(page, t('for.guest')).locator('.card-name a').first().waitFor();
  });

  browserTest('without its database the shop shows what it knows, says so, and keeps what is done', async ({ visit }) => {
    const page = await signedIn(visit, AWAY);
    const own = await idsIn(shelf(page, t('for.user')));
    shop.takeDatabase();
    await page.reload();
    await shelf(page, t('for.user')).getByText(t('simple'), { exact: true }).waitFor();
    assert.equal((await idsIn(shelf(page, t('for.user')))).length, own.length);
    await shelf(page, t('popular')).locator('.card-name a').first().waitFor();
    const [known] = await idsIn(shelf(page, t('popular')));
    await assertSound(page, 'without a database');
    await addToCart(page, known);
    await page.waitForFunction(() => !Object.keys(localStorage).some((key) => key.startsWith('shop.event.')));
    const visitor = await visit({ locale: 'en', path: '/login', mayFail: true });
    await logIn(visitor, shop.account(AWAY), shop.password);
    await visitor.getByText(t('error.unavailable')).waitFor();
    shop.returnDatabase();
    await shop.isReady();
    await until(areEvents(AWAY, [`cart ${known}`]), 'the event is stored', BACK_MS);
    await visitor.locator('form.panel .button').click();
    await visitor.getByRole('link', { name: t('items.one') }).waitFor();
  });

  browserTest('a token that expires while the page is open costs no interaction', async ({ visit }) => {
    const page = await signedIn(visit, EXPIRED);
    const end = Date.now() + 1000 * SIGNED_IN_S;
    await page.evaluate((token) => {
      const session = JSON.parse(localStorage.getItem('shop.session'));
      localStorage.setItem('shop.session', JSON.stringify({ ...session, token }));
    }, shop.shortToken(EXPIRED, SIGNED_IN_S));
    await page.reload();
    await shelf(page, t('for.user')).locator('.card-name a').first().waitFor();
    await until(() => Date.now() > end + 1000, 'the token has expired');
    await addToCart(page, one);
    const banner = page.getByRole('alert').filter({ hasText: t('expired') });
    await banner.waitFor();
    await shelf(page, t('for.guest')).locator('.card-name a').first().waitFor();
    await assertSound(page, 'after the token has expired');
    assert.deepEqual(await shop.events(EXPIRED), []);
    await banner.getByRole('link', { name: t('signIn') }).click();
    await logIn(page, shop.account(EXPIRED), shop.password);
    await until(areEvents(EXPIRED, [`cart ${one}`]), 'the event is stored for the customer');
    await banner.waitFor({ state: 'detached' });
    await page.getByRole('link', { name: t('items.one') }).waitFor();
  });

  browserTest('two tabs and the back button count nothing twice', async ({ visit }) => {
    const first = await signedIn(visit, TABS);
    const second = await visit({ context: first.context(), locale: 'en' });
    await shelf(second, t('for.user')).locator('.card-name a').first().waitFor();
    await first.locator(`.grid a[href="/p/${one}"]`).click();
    await first.locator('.details').getByRole('button', { name: t('add'), exact: true }).click();
    await first.goBack();
    await first.goForward();
    await first.reload();
    await first.locator('.details .price').waitFor();
    await second.getByRole('link', { name: t('items.one') }).waitFor();
    await buy(second);
    await first.getByRole('link', { name: t('items', { n: 0 }) }).waitFor();
    await until(areEvents(TABS, [`view ${one}`, `cart ${one}`, `purchase ${one}`]), 'each act is stored once');
    await second.getByRole('link', { name: new RegExp(t('signedIn', { name: '' }).trim()) }).click();
    await second.getByRole('button', { name: t('signOut') }).click();
    await first.getByRole('link', { name: t('signIn'), exact: true }).first().waitFor();
    assert.equal((await shop.events(TABS)).length, 3);
  });

  browserTest('with storage switched off a customer signs in and buys', async ({ visit }) => {
    const page = await signedIn(visit, UNSTORED, { viewport: DESKTOP, prepare: withoutStorage });
    await addToCart(page, one);
    await buy(page);
    await until(areEvents(UNSTORED, [`cart ${one}`, `purchase ${one}`]), 'the events are stored');
    await page.locator('.brand').click();
    await until(async () => {
      const shown = await idsIn(shelf(page, t('for.user')));
      return shown.length > 0 && !shown.includes(one);
    }, 'what is bought is not recommended');
  });
}

function withoutStorage(page) {
  return page.addInitScript(() => {
    Object.defineProperty(window, 'localStorage', {
      get() {
        throw new DOMException('denied', 'SecurityError');
      },
    });
  });
}
