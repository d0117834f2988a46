import assert from 'node:assert/strict';
import { DESKTOP, PHONE, USERS, assertSound, assertStill, logIn, setUp, shelf, texts, until, watchShifts } from './setUp.js';
import { idsIn } from '../proof/journey.js';

const { mock, browserTest } = setUp();
const [CUSTOMER] = USERS;

for (const [width, viewport] of [['phone', PHONE], ['desktop', DESKTOP]]) {
  browserTest(`a guest browses in both languages, ${width}`, async ({ visit }) => {
    const page = await visit({ viewport, locale: 'vi-VN' });
    await shelf(page, 'Có thể bạn sẽ thích').locator('.card').first().waitFor();
    assert.equal(await page.evaluate(() => document.documentElement.lang), 'vi');
    assert.match((await texts(page, '.price strong'))[0], /^\d{1,3}(\.\d{3})*\u00a0₫$/);
    await page.getByRole('button', { name: /EN/ }).click();
    await shelf(page, 'You might like').waitFor();
    assert.match((await texts(page, '.price strong'))[0], /^\d{1,3}(,\d{3})*\u00a0₫$/);
    await page.reload();
    await shelf(page, 'Popular now').locator('.card').first().waitFor();
    assert.equal(await page.evaluate(() => document.documentElement.lang), 'en');
  });
}

browserTest('what a guest views changes the list, with the reason, and stands in a row of its own', async ({ visit }) => {
  const page = await visit();
  await shelf(page, 'Popular now').getByRole('link', { name: 'Kumori Commute Earbuds' }).click();
  await page.getByRole('heading', { level: 1, name: 'Kumori Commute Earbuds' }).waitFor();
  assert.equal(await page.title(), 'Kumori Commute Earbuds · Demo Shop');
  await shelf(page, 'Also liked').locator('.card').first().waitFor();
  await until(() => mock.events.length === 1, 'the view is stored');
  await page.goBack();
  await shelf(page, 'You might like').getByText('Because you viewed \u2068Kumori Commute Earbuds\u2069').first().waitFor();
  await shelf(page, 'Viewed before').getByRole('link', { name: 'Kumori Commute Earbuds' }).waitFor();
});

browserTest('a view counts once: not again by a reload, by going back, or by another language', async ({ visit }) => {
  const page = await visit({ path: '/p/5' });
  await until(() => mock.events.length === 1, 'the view is stored');
  await page.reload();
  await page.getByRole('button', { name: /VI/ }).click();
  await page.getByRole('link', { name: 'Demo Shop' }).click();
  await page.locator('.chip').first().waitFor();
  await page.goBack();
  await page.getByRole('heading', { level: 1, name: 'Nordkam 35 L Trekking Backpack' }).waitFor();
  await page.locator('.brand').click();
  await page.locator('.card a[href="/p/14"]').first().click();
  await until(() => mock.events.length === 2, 'the other view is stored');
  assert.deepEqual(mock.events.map(({ productId }) => productId), [5, 14]);
});

browserTest('view, cart and purchase are stored once each, and what is bought is not recommended', async ({ visit }) => {
  const page = await visit({ path: '/p/14' });
  await page.locator('.details').getByRole('button', { name: 'Add to cart' }).click();
  await page.getByText('In the cart: Kumori Dotted A5 Notebook').first().waitFor();
  await page.locator('.notice-link').click();
  await page.getByRole('button', { name: 'One more: Kumori Dotted A5 Notebook' }).click();
  assert.equal((await texts(page, '.total strong'))[0], '580,000\u00a0₫');
  await page.getByRole('button', { name: 'Buy now' }).click();
  await page.getByRole('heading', { name: 'Thank you!' }).waitFor();
  await page.getByText('2 items, 580,000\u00a0₫').waitFor();
  await until(() => mock.events.length === 3, 'three events are stored');
  assert.deepEqual(mock.events.map(({ actionCode, productId }) => [actionCode, productId]), [['view', 14], ['cart', 14], ['purchase', 14]]);
  assert.equal(new Set(mock.events.map(({ eventId }) => eventId)).size, 3);
  await page.getByRole('link', { name: 'Demo Shop' }).click();
  await shelf(page, 'You might like').locator('.card').first().waitFor();
  await page.reload();
  await shelf(page, 'You might like').locator('.card').first().waitFor();
  assert.equal(await shelf(page, 'You might like').getByRole('link', { name: 'Kumori Dotted A5 Notebook' }).count(), 0);
});

browserTest('what is bought together is beside a product and the cart, without the cart, and what is trending at home', async ({ visit }) => {
  const page = await visit({ path: '/p/14', prepare: watchShifts });
  const together = shelf(page, 'Often bought together');
  await together.locator('.card').first().waitFor();
  await assertStill(page);
  const bought = await idsIn(together);
  assert.ok(bought.length > 0 && bought.every((id) => (id + 14) % 3 === 0 && id !== 14), String(bought));
  await page.locator('.details').getByRole('button', { name: 'Add to cart' }).click();
  await page.locator('.details').getByRole('link', { name: 'View cart' }).click();
  const withCart = shelf(page, 'You might also like');
  await withCart.getByText('Bought together with \u2068Kumori Dotted A5 Notebook\u2069').first().waitFor();
  const offered = await idsIn(withCart);
  assert.ok(!offered.includes(14));
  await withCart.getByRole('button', { name: /^Add to cart/ }).first().click();
  await until(async () => (await page.locator('.cart-line').count()) === 2, 'both lie in the cart');
  assert.deepEqual(await idsIn(withCart), offered, 'The row stays while the visitor adds from it.');
  await page.reload();
  await withCart.locator('.card').first().waitFor();
  assert.ok(!(await idsIn(withCart)).some((id) => [14, offered[0]].includes(id)));
  await page.goto(mock.url);
  await shelf(page, 'Trending now').locator('.card').first().waitFor();
  await assertStill(page);
  await assertSound(page, 'home');
});

browserTest('there is no row of products bought together, or trending, where none are known', async ({ visit }) => {
  mock.change = (path, answer) =>
    /together|trending/.test(path) ? { ...answer, source: 'popularity', data: answer.data.map((row) => ({ ...row, why: { code: 'popular' } })) } : answer;
  const page = await visit({ path: '/p/14' });
  await shelf(page, 'Also liked').locator('.card').first().waitFor();
  await page.waitForLoadState('networkidle');
  assert.equal(await shelf(page, 'Often bought together').count(), 0);
  await page.goto(mock.url);
  await shelf(page, 'New in the shop').locator('.card').first().waitFor();
  await page.waitForLoadState('networkidle');
  assert.equal(await shelf(page, 'Trending now').count(), 0);
});

for (const [width, viewport] of [['phone', PHONE], ['desktop', DESKTOP]]) {
  browserTest(`what may be needed again has a row of its own, without the cart, where there is such a thing, ${width}`, async ({ visit }) => {
    const page = await visit({ viewport, prepare: watchShifts });
    const again = shelf(page, 'Buy again');
    const settled = async () => {
      await shelf(page, 'Trending now').locator('.card').first().waitFor();
      await page.waitForLoadState('networkidle');
    };
    await settled();
    assert.equal(await again.count(), 0);
    for (const productId of [14, 38, 14, 38]) {
      mock.events.push({ eventId: `bought-${mock.events.length}`, productId, actionCode: 'purchase', timestamp: Date.now(), user: null });
    }
    await page.reload();
    await again.locator('.card').first().waitFor();
    await settled();
    assert.deepEqual(await idsIn(again), [14, 38]);
    await assertStill(page);
    await assertSound(page, `home with a row to buy again, ${width}`);
    await again.locator('.card').first().scrollIntoViewIfNeeded();
    const isShown = ({ body }) => body?.actionCode === 'impression' && body.shown.some(({ productId }) => productId === 14);
    await until(() => mock.requests.some(isShown), 'what the row shows is told');
    await again.getByRole('button', { name: /^Add to cart/ }).first().click();
    await until(() => mock.events.length === 5, 'the event is stored');
    await page.reload();
    await again.locator('.card').first().waitFor();
    assert.deepEqual(await idsIn(again), [38]);
  });
}

browserTest('what is taken out of the cart is gone, and the server knows', async ({ visit }) => {
  const page = await visit();
  await page.getByRole('button', { name: 'Add to cart: Saela Honey Lip Balm' }).first().click();
  await page.getByRole('link', { name: 'Cart, 1 item' }).click();
  await page.getByRole('button', { name: 'Remove: Saela Honey Lip Balm' }).click();
  await page.getByRole('heading', { name: 'Your cart is empty' }).waitFor();
  await until(() => mock.events.length === 2, 'two events are stored');
  assert.deepEqual(mock.events.map(({ actionCode }) => actionCode), ['cart', 'uncart']);
});

browserTest('a customer signs in, finds the cart of another device, and signs out', async ({ visit }) => {
  mock.events.push({ eventId: 'earlier-1', productId: 3, actionCode: 'cart', user: CUSTOMER.id, timestamp: '2026-01-01T00:00:00Z' });
  const page = await visit({ path: '/cart', mayFail: true });
  await page.getByRole('link', { name: 'Sign in' }).click();
  await logIn(page, CUSTOMER, 'wrong');
  await page.getByRole('alert').getByText('do not belong together').waitFor();
  await logIn(page, CUSTOMER);
  await page.getByRole('link', { name: 'Signed in as Linh Nguyễn' }).waitFor();
  await page.getByRole('link', { name: 'Cart, 1 item' }).waitFor();
  assert.equal(new URL(page.url()).pathname, '/cart');
  await page.getByRole('heading', { level: 2, name: 'Stridewell Cloudline Road Running Shoes' }).waitFor();
  await page.getByRole('link', { name: 'Demo Shop' }).click();
  await shelf(page, 'Chosen for you').locator('.card').first().waitFor();
  await page.getByRole('link', { name: 'Signed in as Linh Nguyễn' }).click();
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.getByRole('heading', { name: 'Welcome back' }).waitFor();
  await page.getByRole('link', { name: 'Cart, 0 items' }).waitFor(); // nobody else sees what lies in it
});

browserTest('two tabs share the cart, the language and the session', async ({ visit }) => {
  const one = await visit();
  const two = await visit({ context: one.context() });
  await one.getByRole('button', { name: 'Add to cart: Saela Honey Lip Balm' }).first().click();
  await two.getByRole('link', { name: 'Cart, 1 item' }).waitFor();
  await two.getByRole('button', { name: /VI/ }).click();
  await one.getByRole('heading', { name: 'Đang được ưa chuộng' }).waitFor();
  await one.getByRole('link', { name: 'Đăng nhập' }).click();
  await logIn(one, CUSTOMER);
  await two.getByRole('heading', { name: 'Dành riêng cho bạn' }).waitFor();
});

browserTest('the back button returns to where one was', async ({ visit }) => {
  const page = await visit();
  const link = shelf(page, 'New in the shop').getByRole('link').nth(1);
  await link.scrollIntoViewIfNeeded();
  const before = await page.evaluate(() => window.scrollY);
  assert.ok(before > 300);
  await link.click();
  await page.locator('.details').waitFor();
  assert.equal(await page.evaluate(() => window.scrollY), 0);
  await page.goBack();
  await shelf(page, 'New in the shop').locator('.card').first().waitFor();
  assert.ok(Math.abs((await page.evaluate(() => window.scrollY)) - before) < 60);
});

browserTest('a category is an address of its own, and more can be shown', async ({ visit }) => {
  const page = await visit();
  await page.getByRole('button', { name: 'Show more' }).click();
  await page.waitForFunction(() => document.querySelectorAll('.grid .card').length === 20);
  await page.getByRole('link', { name: 'Audio', exact: true }).click();
  await shelf(page, 'Popular in Audio').waitFor();
  assert.equal(new URL(page.url()).search, '?category=audio');
  assert.equal(await page.locator('.grid .card').count(), 4);
  await page.goBack();
  await shelf(page, 'Popular now').waitFor();
});

browserTest('the page can be used by keyboard alone', async ({ visit }) => {
  const page = await visit();
  await shelf(page, 'You might like').locator('.card').first().waitFor();
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate(() => document.activeElement?.textContent), 'Skip to the content');
  await page.keyboard.press('Enter');
  const forYou = shelf(page, 'You might like');
  await forYou.getByRole('button', { name: 'Next products' }).focus();
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => Number(document.querySelector('.track')?.scrollLeft) > 200);
  await forYou.getByRole('link').nth(2).focus();
  await page.keyboard.press('Enter');
  await page.locator('.details').waitFor();
  assert.equal(await page.evaluate(() => document.activeElement?.id), 'content');
});

browserTest('unknown addresses and products say so, and lead on', async ({ visit }) => {
  const page = await visit({ path: '/nowhere', mayFail: true });
  await page.getByRole('heading', { level: 1, name: 'There is no such page' }).waitFor();
  await page.goto(`${mock.url}/p/999`);
  await page.getByRole('heading', { level: 1, name: 'This product is no longer here' }).waitFor();
  await shelf(page, 'You might like').locator('.card').first().waitFor();
  assert.deepEqual(mock.events, []);
});

browserTest('customers do not load the administrators’ page', async ({ visit }) => {
  const page = await visit();
  await shelf(page, 'New in the shop').locator('.card').first().waitFor();
  const loaded = await page.evaluate(() => performance.getEntriesByType('resource').map(({ name }) => name));
  assert.ok(loaded.some((name) => name.endsWith('.js')));
  assert.ok(!loaded.some((name) => name.includes('Admin')));
});

for (const colorScheme of ['light', 'dark']) {
  for (const viewport of [PHONE, DESKTOP]) {
    browserTest(`axe finds nothing serious, ${colorScheme}, ${viewport.width} px`, async ({ visit }) => {
      const page = await visit({ viewport, colorScheme, locale: colorScheme === 'dark' ? 'vi' : 'en', path: '/p/9' });
      await page.locator('.details .button').first().click();
      await page.locator('.shelf .card').first().waitFor();
      await assertSound(page, 'product');
      for (const [path, selector] of [['/', '.card .stars'], ['/cart', '.cart-line'], ['/login', 'form'], ['/nowhere', '.message']]) {
        await page.goto(mock.url + path);
        await page.locator(selector).first().waitFor();
        await assertSound(page, path);
      }
    });
  }
}
