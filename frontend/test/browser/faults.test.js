import assert from 'node:assert/strict';
import { DESKTOP, PHONE, USERS, assertSound, assertStill, logIn, setUp, texts, until, watchShifts } from './setUp.js';

const { mock, browserTest } = setUp();
const [CUSTOMER] = USERS;

const isData = ({ path }) => path.startsWith('/api/') && !path.endsWith('/image');
const isInteraction = ({ path }) => path === '/api/interaction';

for (const [locale, title, button] of [['en-GB', 'This could not be loaded', 'Try again'], ['vi-VN', 'Không tải được phần này', 'Thử lại']]) {
  browserTest(`a server that answers 503 leaves the page whole, ${locale}`, async ({ visit }) => {
    mock.fault = (request) => (isData(request) ? { status: 503 } : null);
    const page = await visit({ locale, mayFail: true, viewport: PHONE });
    await page.getByText(title).first().waitFor();
    await assertSound(page, 'home at 503');
    mock.fault = () => null;
    await page.getByRole('button', { name: button }).first().click();
    await page.locator('.track .card .stars').first().waitFor();
  });
}

browserTest('a list that no model made is labelled, and an unknown source is not', async ({ visit }) => {
  const sources = [['cache', 'deadline', 1], ['popularity', null, 1], ['of tomorrow', null, 0]];
  for (const [source, fallbackReason, labels] of sources) {
    mock.change = (path, answer) => (path === '/api/recommendations/list' ? { ...answer, source, fallbackReason } : answer);
    const page = await visit();
    await page.locator('.track .card .stars').first().waitFor();
    assert.equal(await page.getByText('simple suggestions').count(), labels, source);
  }
});

browserTest('a category that cannot be loaded takes nothing from the rest', async ({ visit }) => {
  const page = await visit({ mayFail: true });
  await page.locator('.grid .card .stars').first().waitFor();
  mock.fault = ({ path }) => (path === '/api/products' ? { status: 500 } : null);
  await page.getByRole('link', { name: 'Audio', exact: true }).click();
  await page.getByText('Something went wrong on our side.').waitFor();
  assert.equal(await page.locator('.grid .card').count(), 0);
  assert.ok((await page.locator('.track .card').count()) > 0);
  mock.fault = () => null;
  await page.getByRole('button', { name: 'Try again' }).click();
  await page.getByRole('heading', { name: 'Popular in Audio' }).waitFor();
});

browserTest('a server that asks for time is named so, and gets it', async ({ visit }) => {
  mock.fault = (request) => (isData(request) ? { status: 429, retryAfter: 40 } : null);
  const page = await visit({ mayFail: true });
  await page.getByText('The shop is very busy. Try again in 40 seconds.').first().waitFor();
  const asked = mock.requests.filter(({ path }) => path === '/api/recommendations/list').length;
  assert.equal(asked, 1);
});

browserTest('an interaction that is refused for a moment is sent again with the same id', async ({ visit }) => {
  let refusals = 2;
  mock.fault = (request) => (isInteraction(request) && (refusals -= 1) >= 0 ? { status: refusals === 1 ? 429 : 503, retryAfter: 1 } : null);
  await visit({ path: '/p/7', mayFail: true });
  await until(() => mock.events.length === 1, 'the view is stored');
  const ids = mock.requests.filter(isInteraction).map(({ body }) => body.eventId);
  assert.equal(ids.length, 3);
  assert.equal(new Set(ids).size, 1);
});

for (const viewport of [PHONE, DESKTOP]) {
  browserTest(`a slow server gets a page with its places reserved, and blocks no click, ${viewport.width} px`, async ({ visit }) => {
    mock.fault = (request) => (isData(request) ? { delayMs: isInteraction(request) ? 60_000 : 900 } : null);
    const page = await visit({ viewport, prepare: watchShifts });
    await page.locator('.skeleton').first().waitFor();
    await page.locator('.grid .card .stars').first().waitFor();
    await page.locator('.add').first().click();
    await page.locator('.count[data-count="1"]').waitFor();
    await page.locator('.card-name a').first().click();
    await page.locator('.details .rating').waitFor();
    await page.locator('.track .card .stars').first().waitFor();
    await assertStill(page);
  });
}

browserTest('while the server is dead the page stays, and what is done is kept for its return', async ({ visit }) => {
  const page = await visit({ mayFail: true, viewport: PHONE });
  await page.locator('.card .stars').first().waitFor();
  mock.fault = ({ path }) => (path.startsWith('/api/') ? { isCut: true } : null);
  await page.getByRole('button', { name: 'Add to cart: Saela Honey Lip Balm' }).first().click();
  await page.locator('.card a[href="/p/14"]').first().click();
  await page.getByText('The shop cannot be reached.').first().waitFor();
  await page.getByRole('link', { name: 'Cart, 1 item' }).click();
  await page.getByRole('heading', { level: 2, name: 'Saela Honey Lip Balm' }).waitFor();
  await page.getByRole('button', { name: 'Buy now' }).click();
  await page.getByRole('heading', { name: 'Thank you!' }).waitFor();
  assert.deepEqual(mock.events, []);
  mock.fault = () => null;
  await page.reload();
  await until(() => mock.events.length === 2, 'the events are stored');
  assert.deepEqual(mock.events.map(({ actionCode, productId }) => [actionCode, productId]), [['cart', 38], ['purchase', 38]]);
});

browserTest('without a connection the page says so, and sends what is done when it is back', async ({ visit }) => {
  const page = await visit({ mayFail: true });
  await page.locator('.card .stars').first().waitFor();
  await page.context().setOffline(true);
  await page.getByText('You seem to be offline.').waitFor();
  await page.locator('.add').first().click();
  await page.context().setOffline(false);
  await until(() => mock.events.length === 1, 'the event is stored');
  await page.getByText('You seem to be offline.').waitFor({ state: 'detached' });
});

browserTest('an act just before the page is left arrives', async ({ visit }) => {
  const page = await visit({
    prepare: (opened) =>
      opened.addInitScript(() => {
        const { fetch } = window;
        const isLost = () => !window.location.search;
        window.fetch = (path, options) => (path === '/api/interaction' && isLost() ? new Promise(() => {}) : fetch(path, options));
      }),
  });
  await page.locator('.add').first().waitFor();
  await page.evaluate(() => {
    setTimeout(() => {
      /** @type {HTMLElement} */ (document.querySelector('.add')).click();
      window.location.href = '/cart?later';
    });
  });
  await page.waitForURL('**/cart?later');
  await until(() => mock.requests.filter(isInteraction).length === 2, 'the event comes by a beacon, and again from the next page');
  await page.waitForFunction(() => !Object.keys(localStorage).some((key) => key.startsWith('shop.event.')));
  assert.equal(mock.events.length, 1);
});

browserTest('a token that ends while the page is open costs no interaction', async ({ visit }) => {
  const page = await visit({ path: '/login', mayFail: true });
  await logIn(page, CUSTOMER);
  await page.locator('.card .stars').first().waitFor();
  mock.tokens.clear();
  await page.locator('.add').first().click();
  const banner = page.getByRole('alert').filter({ hasText: 'Your sign-in has expired' });
  await banner.waitFor();
  await page.locator('.brand').click();
  await page.getByRole('heading', { name: 'You might like' }).waitFor();
  assert.deepEqual(mock.events, []);
  await banner.getByRole('link', { name: 'Sign in' }).click();
  await logIn(page, CUSTOMER);
  await until(() => mock.events.length === 1, 'the event is stored');
  assert.deepEqual([mock.events[0].user, mock.events[0].actionCode], [CUSTOMER.id, 'cart']);
  await banner.waitFor({ state: 'detached' });
});

browserTest('with storage switched off the page works until it is closed', async ({ visit }) => {
  const page = await visit({
    prepare: (opened) =>
      opened.addInitScript(() => {
        Object.defineProperty(window, 'localStorage', {
          get() {
            throw new DOMException('denied', 'SecurityError');
          },
        });
      }),
  });
  await page.getByRole('button', { name: 'Add to cart: Saela Honey Lip Balm' }).first().click();
  await page.getByRole('button', { name: /VI/ }).click();
  await page.getByRole('link', { name: 'Giỏ hàng, 1 sản phẩm' }).click();
  await page.getByRole('button', { name: 'Mua ngay' }).click();
  await page.getByRole('heading', { name: 'Cảm ơn bạn!' }).waitFor();
  await until(() => mock.events.length === 2, 'the events are stored');
});

const HOSTILE = [
  { name: '<img src=x onerror="globalThis.isHacked = true">' },
  { name: 'قهوة طازجة \u202eevil' },
  { name: 'W'.repeat(300) },
  { name: null, price: null, originalPrice: null, discountPrice: null, image: null, stars: null, category: null },
  { name: '" onclick="globalThis.isHacked = true', image: '/api/nothing.png', stars: 9, price: 'free' },
  { name: '</script><script>globalThis.isHacked = true</script>', image: 'javascript:globalThis.isHacked = true', price: 1e15, originalPrice: 1e16 },
];

for (const viewport of [PHONE, DESKTOP]) {
  browserTest(`hostile and incomplete products leave the page whole, ${viewport.width} px`, async ({ visit }) => {
    HOSTILE.forEach((fields, index) => Object.assign(mock.products[index], fields, { unknown: { deep: [1] } }));
    mock.change = (path, answer) => {
      if (path !== '/api/recommendations/list') return answer;
      const data = answer.data.map((row, index) => ({ ...row, product: mock.products[index], why: [{ code: 'viewed', itemId: 40, name: 'W'.repeat(300) }, { code: 'tomorrow' }, null][index % 3] }));
      return { ...answer, data: [null, { product: null }, ...data], source: 'of tomorrow', more: {} };
    };
    const page = await visit({ viewport, mayFail: true });
    await page.locator('.track .card .rating').first().waitFor();
    await page.getByText('Product 4').first().waitFor();
    await assertSound(page, 'home');
    for (const id of [1, 2, 3, 4, 5, 6]) {
      await page.goto(`${mock.url}/p/${id}`);
      await page.locator('.details .button').first().click();
      await assertSound(page, `product ${id}`);
    }
    await page.goto(`${mock.url}/cart`);
    await page.getByText('2 products without a price are not in the total.').waitFor();
    await assertSound(page, 'cart');
    assert.equal((await texts(page, '.cart-line')).length, 6);
    assert.equal(await page.evaluate(() => globalThis.isHacked), undefined);
  });
}

browserTest('answers that are empty or no lists are shown as such', async ({ visit }) => {
  for (const answer of [{ errCode: 0, data: [] }, { errCode: 0 }, { data: 'x' }, []]) {
    mock.change = () => answer;
    const page = await visit();
    await page.getByText('There is nothing here yet.').first().waitFor();
    await page.goto(`${mock.url}/p/7`);
    await page.locator('.details, .failed, .message, .skeleton').first().waitFor();
  }
});
