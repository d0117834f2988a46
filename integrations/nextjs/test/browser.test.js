/** The built shop in Chromium: lists, views, what is sent when a page is left, and what happens while the service is away. */
import assert from 'node:assert/strict';
import { DESKTOP, PHONE, assertSound, assertStill, setUp, until, watchShifts } from '../../../frontend/test/browser/setUp.js';
import { Storefront, sessionOf } from './storefront.js';

/** @type {{mock: Storefront, browserTest: ReturnType<typeof setUp>['browserTest']}} */
const { mock, browserTest } = setUp({ start: Storefront.start });

const product = (page, id) => page.goto(`${mock.url}/products/${id}`);
/** Products of a hundred that were viewed. An event counts once by its id; each test has a hundred, as late events of another one may arrive. */
const views = (hundred) => {
  const seen = mock.service.events('view').filter(({ product_id: id }) => Math.floor(id / 100) * 100 === hundred);
  return [...new Map(seen.map(({ event_id: id, product_id: viewed }) => [id, viewed])).values()];
};
const keptIn = (page) => page.evaluate(() => Object.keys(localStorage).filter((key) => key.startsWith('recsys.event.')).length);

/** Before the page is opened: remember each beacon, and let none leave if `isLost`. */
function watchBeacons(page, { isLost = false } = {}) {
  return page.addInitScript((lost) => {
    const send = navigator.sendBeacon.bind(navigator);
    navigator.sendBeacon = (address, blob) => {
      /** @type {Blob} */ (blob).text().then((text) => console.debug(`beacon ${address} ${/** @type {Blob} */ (blob).type} ${text}`));
      return lost ? false : send(address, blob);
    };
  }, isLost);
}

function beaconsOf(page) {
  const beacons = [];
  page.on('console', (message) => {
    const [, address, type, text] = /^beacon (\S+) (\S+) (.*)$/.exec(message.text()) ?? [];
    if (address) beacons.push({ address, type, body: JSON.parse(text) });
  });
  return beacons;
}

/** Pretend that the page is left, as a phone does when another program comes to the front. */
function hide(page) {
  return page.evaluate(() => {
    Object.defineProperty(document, 'visibilityState', { value: 'hidden', configurable: true });
    document.dispatchEvent(new Event('visibilitychange'));
  });
}

for (const viewport of [PHONE, DESKTOP]) {
  browserTest(`lists are shown, nothing moves and all can be read at ${viewport.width} px`, async ({ visit }) => {
    const page = await visit({ viewport, prepare: watchShifts });
    await page.locator('.card a').nth(15).waitFor();
    assert.deepEqual(await page.locator('h2').allInnerTexts(), ['For you', 'Most viewed']);
    assert.match(await page.locator('.card').first().innerText(), /Tea 101\s+5\.50\s+Because of what you viewed/);
    assert.equal(await page.evaluate(() => /** @type {any} */ (globalThis).isHacked), undefined);
    await assertSound(page, 'the home page');
    await assertStill(page);
    await product(page, 901);
    await page.locator('.card a').first().waitFor();
    await assertSound(page, 'a product’s page');
  });
}

browserTest('a view is counted once per product and five seconds, with reloads and other pages between', async ({ visit }) => {
  const page = await visit();
  await page.clock.install();
  for (const id of [201, 202, 201]) await product(page, id);
  await page.reload();
  await until(async () => (await keptIn(page)) === 0 && views(200).length >= 2, 'the views are stored');
  assert.deepEqual(views(200), ['201', '202']);

  await page.clock.fastForward(5001);
  await page.reload();
  await until(() => views(200).length === 3, 'a later view counts');
  assert.deepEqual(views(200), ['201', '202', '201']);
  const events = mock.service.events('view').filter(({ product_id: id }) => id < 300 && id > 200);
  assert.equal(new Set(events.map(({ session_id: id }) => id)).size, 1);
  assert.equal(new Set(events.map(({ user_id: id }) => id)).size, 1);
});

browserTest('a click and what was seen name the list and the place', async ({ visit }) => {
  const page = await visit();
  await page.locator('.shelf').first().locator('.card a').nth(2).click();
  await page.waitForURL('**/products/103');
  await until(() => mock.service.events('click').length === 1 && views(100).length === 1, 'click and view are stored');

  const [click] = mock.service.events('click');
  assert.deepEqual([click.product_id, click.recommendation_id, click.position], [103, 'rec_1', 3]);
  await until(() => mock.service.events('impression').length > 0, 'cards that were seen are told');
  const seen = mock.service.events('impression').map(({ product_id: id, position }) => [id, position]);
  assert.ok(seen.every(([id, position]) => id - 100 === position), JSON.stringify(seen));
});

browserTest('a page that is left hands over what waits, as a beacon of JSON', async ({ visit }) => {
  mock.service.mode = 'hangs';
  const page = await visit({ path: '/products/301', prepare: watchBeacons });
  const beacons = beaconsOf(page);
  const asked = () => mock.service.events('view').filter(({ product_id: id }) => id === '301');
  await until(async () => (await keptIn(page)) === 1, 'the view waits');
  await hide(page);
  await until(() => beacons.length === 1, 'a beacon leaves');

  const [{ address, type, body }] = beacons;
  assert.deepEqual([address, type], ['/api/recommendations/track', 'application/json']);
  assert.deepEqual([body.interactionType, body.productId, body.visitor], ['view', '301', 'guest']);
  await until(() => asked().length >= 2, 'request and beacon reach the service');
  assert.deepEqual(views(300), ['301']);
  await hide(page);
  assert.deepEqual(beacons.slice(1), []);
});

browserTest('events of a service that is away are sent again later, under the same ids', async ({ visit }) => {
  mock.service.mode = 'away';
  const page = await visit({ path: '/products/401' });
  await until(() => views(400).length === 1, 'the view is tried');
  await until(async () => (await keptIn(page)) === 1, 'it is kept');
  mock.service.mode = 'answers';
  await until(async () => (await keptIn(page)) === 0, 'it is stored without an act of the visitor');

  const [first, second] = mock.service.events('view').filter(({ product_id: id }) => id === '401');
  assert.deepEqual(second, first);
  assert.deepEqual(views(400), ['401']);
});

browserTest('events that were not stored before a page was closed are sent at the next visit', async ({ visit }) => {
  mock.service.mode = 'away';
  const page = await visit({ path: '/products/501' });
  await until(() => views(500).length > 0, 'the view is tried');
  const context = page.context();
  await page.close();
  mock.service.reset();
  await visit({ context });

  await until(() => views(500).length === 1, 'the view of the earlier visit');
  assert.deepEqual(views(500), ['501']);
});

browserTest('an event of a customer waits while another one is signed in', async ({ visit }) => {
  const signIn = (context, id) => context.addCookies([{ name: '_medusa_jwt', value: sessionOf({ sub: id }), url: mock.url }]);
  mock.service.mode = 'away';
  const page = await visit();
  await signIn(page.context(), '7');
  await product(page, 601);
  await until(() => views(600).length > 0, 'the view is tried');

  mock.service.reset();
  await signIn(page.context(), '8');
  await product(page, 602);
  await until(() => views(600).length > 0, 'the view of the other customer');
  await signIn(page.context(), '7');
  await page.goto(mock.url);
  await until(() => views(600).length === 2, 'the view of the first one');
  assert.deepEqual(mock.service.events('view').filter(({ product_id: id }) => id > 600 && id < 700).map(({ user_id: user, product_id: id }) => [user, id]), [['8', '602'], ['7', '601']]);
});

for (const mode of ['away', 'hangs', 'garbage']) {
  browserTest(`pages stay whole while the service ${mode === 'away' ? 'is away' : `gives ${mode === 'hangs' ? 'nothing' : mode}`}`, async ({ visit }) => {
    mock.service.mode = mode;
    const page = await visit({ path: '/products/801' });
    await page.getByRole('heading', { level: 1, name: 'Product 801' }).waitFor();
    await page.locator('.shelf').waitFor({ state: 'detached' });
    await assertSound(page, 'a page without lists');
  });
}

browserTest('a visitor who allows no storage is tracked until the page is closed', async ({ visit }) => {
  const forbid = (page) =>
    page.addInitScript(() => {
      for (const name of ['localStorage', 'sessionStorage']) {
        Object.defineProperty(globalThis, name, {
          get() {
            throw new DOMException('no', 'SecurityError');
          },
        });
      }
    });
  await visit({ path: '/products/701', prepare: forbid });

  await until(() => views(700).length === 1, 'the view is stored');
  assert.deepEqual(views(700), ['701']);
});
