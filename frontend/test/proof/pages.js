/** Products with hostile names, and the administrators' page, with the real server's answers. */
import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { firstCardOf, staticPage } from '../../bench/firstCard.js';
import { translator } from '../../src/i18n/index.js';
import { DESKTOP, PHONE, assertSound, assertStill, logIn, shelf, until, watchShifts } from '../browser/setUp.js';
import { idsIn } from './journey.js';
import { ADMINISTRATOR, CUSTOMERS, HOSTILE, STRANGER } from './realShop.js';

const WITHOUT_NAME = [132, 131];

export function pageTests({ shop, browserTest }) {
  for (const [locale, viewport] of [['vi', PHONE], ['en', DESKTOP]]) {
    const t = translator(locale);

    browserTest(`hostile names leave the page whole, ${locale}, ${viewport.width} px`, async ({ visit }) => {
      const page = await visit({ locale, viewport, prepare: watchShifts });
      await shelf(page, t('new')).locator('.card-name a').first().waitFor();
      const shown = await idsIn(shelf(page, t('new')));
      for (const id of Object.keys(HOSTILE)) assert.ok(shown.includes(Number(id)), `${shown} without ${id}`);
      for (const id of WITHOUT_NAME) await page.getByText(t('unnamed', { id })).first().waitFor();
      await assertSound(page, 'home');
      await assertStill(page);
      for (const id of Object.keys(HOSTILE)) {
        await page.goto(`${shop.url}/p/${id}`);
        await page.locator('.details .rating').waitFor();
        await shelf(page, t('similar')).locator('.card-name a').first().waitFor();
        await page.locator('.details').getByRole('button', { name: t('add'), exact: true }).click();
        await assertSound(page, `product ${id}`);
        await assertStill(page);
        assert.equal(await page.evaluate(() => globalThis.isHacked), undefined);
      }
      await page.locator('.details').getByRole('link', { name: t('toCart') }).click();
      assert.equal(await page.locator('.cart-line').count(), Object.keys(HOSTILE).length);
      await shelf(page, t('cart.with')).locator('.card-name a').first().waitFor();
      await assertSound(page, 'cart');
      await page.getByRole('button', { name: t('cart.buy') }).click();
      await page.getByRole('heading', { name: t('cart.thanks') }).waitFor();
      await page.waitForFunction(() => !Object.keys(localStorage).some((key) => key.startsWith('shop.event.')));
      await page.reload();
      await shelf(page, t('cart.with')).locator('.card-name a').first().waitFor();
      await assertSound(page, 'empty cart');
      assert.equal(await page.evaluate(() => globalThis.isHacked), undefined);
    });
  }

  for (const [viewport, colorScheme] of [[PHONE, 'dark'], [DESKTOP, 'light']]) {
    browserTest(`an administrator looks at the shop, ${viewport.width} px`, async ({ visit }) => {
      const customer = CUSTOMERS[2];
      const page = await visit({ locale: 'en', viewport, colorScheme, path: '/admin', prepare: watchShifts });
      await page.getByRole('main').getByRole('link', { name: 'Sign in' }).click();
      await logIn(page, shop.account(ADMINISTRATOR), shop.password);
      await page.getByRole('cell', { name: /^0\.\d+ \[0\.\d+; 0\.\d+\]$/ }).first().waitFor();
      for (const model of ['BMF', 'NeuMF', 'LNCM', 'ENCM', 'popularity']) await page.getByRole('cell', { name: model }).first().waitFor();
      await page.getByText(/ serves: /).first().waitFor();
      await assertSound(page, 'overview');
      await page.getByLabel('Customer id').fill(String(customer));
      await page.getByRole('button', { name: 'Show' }).click();
      await page.getByRole('heading', { level: 3, name: `Khách Số ${customer}` }).waitFor();
      await page.getByRole('cell', { name: 'bought' }).first().waitFor();
      await assertSound(page, 'a customer');
      await page.getByRole('button', { name: /^Make a( new)? list$/ }).click();
      await page.getByRole('region', { name: 'List' }).getByRole('row').nth(10).waitFor();
      await assertSound(page, 'a customer with a list');
      await page.getByLabel('Customer id').fill(String(STRANGER));
      await page.getByRole('button', { name: 'Show' }).click();
      await page.getByRole('heading', { level: 3, name: `Khách Số ${STRANGER}` }).waitFor();
    });
  }

  browserTest('an unknown customer, and one who is no administrator, are told so', async ({ visit }) => {
    const page = await visit({ locale: 'en', path: '/login?next=%2Fadmin', mayFail: true });
    await logIn(page, shop.account(ADMINISTRATOR), shop.password);
    for (const id of ['4711', '99999999999999999999', '<b>7</b>']) {
      await page.getByLabel('Customer id').fill(id);
      await page.getByRole('button', { name: 'Show' }).click();
      await page.getByText(`There is no customer ${id}.`).waitFor();
    }
    const other = await visit({ locale: 'en', path: '/login?next=%2Fadmin', mayFail: true });
    await logIn(other, shop.account(CUSTOMERS[0]), shop.password);
    await other.getByText(/The server did not accept .* as one/).waitFor();
    await until(async () => (await other.getByRole('table').count()) === 0, 'nothing of the figures is shown');
  });

  browserTest('the time of the first card can be measured, of the page and of a static one', async ({ visit }) => {
    const page = await visit({ locale: 'en' });
    const browser = page.context().browser();
    const folder = await staticPage(browser, shop.url);
    const plain = await shop.beside({ FRONTEND_DIR: folder });
    try {
      for (const url of [shop.url, plain.url]) assert.ok((await firstCardOf(browser, url)) > 0);
    } finally {
      await plain.stop();
      await rm(folder, { recursive: true });
    }
  });
}
