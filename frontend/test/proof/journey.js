/** The whole way of a visitor, with Python gone for a part of it. */
import assert from 'node:assert/strict';
import { translator } from '../../src/i18n/index.js';
import { DESKTOP, PHONE, assertSound, assertStill, logIn, shelf, until, watchShifts } from '../browser/setUp.js';
import { CUSTOMERS, POPULAR } from './realShop.js';

const N_LIST = 12;

export function journeyTests({ shop, browserTest }) {
  for (const [locale, viewport, id] of [['en', DESKTOP, CUSTOMERS[0]], ['vi', PHONE, CUSTOMERS[1]]]) {
    browserTest(`from a guest to a customer, and on without Python, ${locale}, ${viewport.width} px`, async ({ visit }) => {
      const t = translator(locale);
      const page = await visit({ viewport, locale, prepare: watchShifts });
      const list = (title) => shelf(page, t(title));
      let nImpressions = 0;
      page.on('request', (request) => (nImpressions += Number((request.postData() ?? '').includes('"impression"'))));
      const [seen] = POPULAR;

      await list('for.guest').getByText(t('simple')).waitFor();
      const first = await idsIn(list('for.guest'));
      assert.equal(first.length, N_LIST);
      await assertStill(page);

      await until(() => nImpressions > 0, 'what is in view is told');
      await list('popular').locator(`.card-name a[href="/p/${seen}"]`).click();
      await page.locator('.details .price').waitFor();
      await list('similar').locator('.card-name a').first().waitFor();
      await assertStill(page);
      await assertSound(page, 'product');
      const name = await page.locator('.details h1').innerText();
      await until(async () => (await shop.events()).includes(`view ${seen}`), 'the view is stored');
      await page.goBack();
      await list('for.guest').getByText(t('why.viewed.name', { name: `\u2068${name}\u2069` })).first().waitFor();
      await list('viewed').getByRole('link', { name }).waitFor();
      assert.equal(await list('for.guest').getByText(t('simple')).count(), 0);
      assert.notDeepEqual(await idsIn(list('for.guest')), first);
      await assertSound(page, 'home of a guest');

      await page.getByRole('banner').getByRole('link', { name: t('signIn') }).click();
      await logIn(page, shop.account(id), shop.password);
      await list('for.user').locator('.card-name a').first().waitFor();
      const own = await idsIn(list('for.user'));
      assert.equal(own.length, N_LIST);
      assert.ok((await list('for.user').locator('.why span').count()) > 0, 'The list gives reasons.');
      await until(async () => (await shop.events(id)).join() === `view ${seen}`, 'what the guest did is the customer’s');
      await assertSound(page, 'home of a customer');

      const [bought, inCart, boughtLater] = own;
      await list('for.user').locator(`.card-name a[href="/p/${bought}"]`).click();
      await page.locator('.details').getByRole('button', { name: t('add'), exact: true }).click();
      await page.getByRole('link', { name: t('toCart') }).first().click();
      await page.getByRole('button', { name: t('cart.buy') }).click();
      await page.getByRole('heading', { name: t('cart.thanks') }).waitFor();
      await until(async () => (await shop.events(id)).includes(`purchase ${bought}`), 'the purchase is stored');
      assert.deepEqual((await shop.events(id)).slice(1), [`view ${bought}`, `cart ${bought}`, `purchase ${bought}`]);
      const told = await until(async () => {
        const events = await shop.listEvents(id);
        return events.some(({ event, product }) => event === 'click' && product === bought) && events;
      }, 'the click in the list is stored');
      const { answer } = told.find(({ event }) => event === 'click');
      assert.ok(told.some((one) => one.event === 'impression' && one.answer === answer && one.product === bought), 'the list had shown it');
      assert.ok(told.some((one) => one.event === 'impression' && one.product === first[0]), 'what the guest was shown is the customer’s');
      assert.equal(new Set(told.map((one) => JSON.stringify(one))).size, told.length, 'nothing is stored twice');
      await page.locator('.brand').click();
      await until(async () => !(await idsIn(list('for.user'))).includes(bought), 'what is bought is not recommended');

      await addToCart(page, inCart);
      await until(async () => (await shop.events(id)).includes(`cart ${inCart}`), 'the cart is stored');
      await page.reload();
      await list('for.user').locator('.card-name a').first().waitFor();
      const later = await idsIn(list('for.user'));
      assert.equal(later.length, N_LIST);
      assert.ok(!later.includes(bought) && !later.includes(inCart), `${later} with ${inCart} in the cart`);

      assert.ok(shop.breakPython() > 0);
      await addToCart(page, boughtLater);
      await page.getByRole('banner').getByRole('link', { name: t('cart') }).click();
      await page.getByRole('button', { name: t('cart.buy') }).click();
      await page.getByRole('heading', { name: t('cart.thanks') }).waitFor();
      await until(async () => (await shop.events(id)).includes(`purchase ${boughtLater}`), 'the other purchase is stored');
      await page.locator('.brand').click();
      await list('for.user').getByText(t('simple'), { exact: true }).waitFor();
      const simple = await idsIn(list('for.user'));
      assert.equal(simple.length, N_LIST);
      for (const hidden of [bought, inCart, boughtLater]) assert.ok(!simple.includes(hidden), `${simple} with ${hidden}`);
      await assertSound(page, 'home without Python');
      await list('for.user').locator('.card-name a').first().click();
      await list('similar').locator('.card-name a').first().waitFor();

      shop.mendPython();
      await page.locator('.brand').click();
      await until(() => isByModel(page, list('for.user'), t), 'a model makes the list again', 60_000);
      assert.ok((await list('for.user').locator('.why span').count()) > 0);

      for (let time = 0; time < 3; time += 1) {
        shop.killPython();
        await page.reload();
        await list('for.user').locator('.card-name a').first().waitFor();
        assert.equal((await idsIn(list('for.user'))).length, N_LIST);
      }
    });
  }
}

/** The products in a row, in its order. */
export function idsIn(row) {
  return row.locator('.card-name a').evaluateAll((links) => links.map((link) => Number(link.getAttribute('href').slice('/p/'.length))));
}

/** Put a product of a list into the cart. */
export async function addToCart(page, id) {
  await page.locator('.card').filter({ has: page.locator(`a[href="/p/${id}"]`) }).first().locator('.add').click();
}

async function isByModel(page, row, t) {
  await page.reload();
  await row.locator('.card-name a').first().waitFor();
  return (await row.getByText(t('simple'), { exact: true }).count()) === 0;
}
