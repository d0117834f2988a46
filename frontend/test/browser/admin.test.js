import assert from 'node:assert/strict';
import { DESKTOP, PHONE, USERS, assertSound, logIn, setUp } from './setUp.js';

const { mock, browserTest } = setUp();
const [CUSTOMER, ADMINISTRATOR, WITHOUT_LIST] = USERS;

for (const colorScheme of ['light', 'dark']) {
  for (const viewport of [PHONE, DESKTOP]) {
    browserTest(`an administrator sees the version, the models, the answers and a customer, ${colorScheme}, ${viewport.width} px`, async ({ visit }) => {
      const page = await visit({ viewport, colorScheme, path: '/admin?user=1' });
      await page.getByRole('main').getByRole('link', { name: 'Sign in' }).click();
      await logIn(page, ADMINISTRATOR);
      await page.getByText('20261120T0310Z-4f2a', { exact: true }).waitFor();
      await page.getByText('NeuMF serves: of ten recommended products').waitFor();
      await page.getByRole('cell', { name: '0.0412 [0.0374; 0.0450]' }).waitFor();
      await page.getByRole('cell', { name: 'deadline' }).waitFor();
      await page.getByRole('heading', { level: 3, name: 'Linh Nguyễn' }).waitFor();
      await page.getByText('scores were not finite').waitFor();
      await page.getByText('“with” is better than “without”.').waitFor();
      await page.getByRole('cell', { name: '4.2 % [4.05 %; 4.35 %]' }).waitFor();
      await page.getByRole('img', { name: 'After a click: 13.7 %, Only seen in a list: 17.1 %, Without a list: 69.2 %' }).waitFor();
      assert.equal(new URL(page.url()).search, '?user=1');
      assert.deepEqual(await page.evaluate(paintedCharts), [true, true, true]);
      await assertSound(page, 'admin');
    });
  }
}

browserTest('an unknown customer is said to be unknown', async ({ visit }) => {
  const page = await visit({ path: '/login', mayFail: true });
  await logIn(page, ADMINISTRATOR);
  await page.locator('.card .stars').first().waitFor();
  await page.goto(`${mock.url}/admin`);
  await page.getByLabel('Customer id').fill('4711');
  await page.getByRole('button', { name: 'Show' }).click();
  await page.getByText('There is no customer 4711.').waitFor();
});

browserTest('a customer without a list gets one by the button', async ({ visit }) => {
  const page = await visit({ path: '/login' });
  await logIn(page, ADMINISTRATOR);
  await page.locator('.card .stars').first().waitFor();
  await page.goto(`${mock.url}/admin?user=${WITHOUT_LIST.id}`);
  await page.getByText('This customer has no list yet.').waitFor();
  await page.getByRole('button', { name: 'Make a list' }).click();
  await page.getByRole('region', { name: 'List' }).getByRole('row').nth(10).waitFor();
  await page.getByRole('button', { name: 'Make a new list' }).waitFor();
});

browserTest('a customer is told that the page is for administrators', async ({ visit }) => {
  const page = await visit({ path: '/login', mayFail: true });
  await logIn(page, CUSTOMER);
  await page.locator('.card .stars').first().waitFor();
  await page.goto(`${mock.url}/admin`);
  await page.getByText('The server did not accept Linh Nguyễn as one').waitFor();
});

browserTest('an overview without figures, and a server without one, leave the page whole', async ({ visit }) => {
  const page = await visit({ path: '/login', mayFail: true, viewport: PHONE });
  await logIn(page, ADMINISTRATOR);
  await page.locator('.card .stars').first().waitFor();
  mock.change = (path, answer) => (path.startsWith('/api/admin') ? { errCode: 0 } : answer);
  await page.goto(`${mock.url}/admin?user=1`);
  await page.getByText('No version is active.').waitFor();
  await page.getByText('Nothing is known of this customer yet.').waitFor();
  await assertSound(page, 'admin without figures');
  mock.fault = ({ path }) => (path.startsWith('/api/admin') ? { status: 503 } : null);
  await page.reload();
  await page.getByText('The shop is being looked after at the moment.').first().waitFor();
});

browserTest('missing intervals and counts, and what is wrong with the server, are told in both languages', async ({ visit }) => {
  const page = await visit({ path: '/login', viewport: PHONE });
  await logIn(page, ADMINISTRATOR);
  await page.locator('.card .stars').first().waitFor();
  mock.change = (path, answer) => (path === '/api/admin/overview' ? withFaults(answer) : answer);
  await page.goto(`${mock.url}/admin?user=1`);
  await page.getByText('The counts cannot be read at the moment.').waitFor();
  await page.getByRole('cell', { name: '0.0412', exact: true }).waitFor();
  assert.equal(await page.getByText('The lines on the bars are 95 % intervals.').count(), 0);
  await page.locator('dd.alarm', { hasText: 'no_model' }).waitFor();
  await page.locator('dd.alarm', { hasText: 'other-shop' }).waitFor();
  await assertSound(page, 'admin with faults');
  await page.getByRole('button', { name: 'Tiếng Việt' }).click();
  await page.getByText('Không khởi động được').waitFor();
  await page.getByText('Đang chờ cơ sở dữ liệu khác').waitFor();
});

browserTest('a report that is being made, one without an experiment, and one that cannot be made are told', async ({ visit }) => {
  const page = await visit({ path: '/login', viewport: PHONE });
  await logIn(page, ADMINISTRATOR);
  await page.locator('.card .stars').first().waitFor();
  let state = { report: null, computedAt: null, isComputing: true };
  mock.change = (path, answer) => (path === '/api/admin/sales' ? { ...answer, ...state, report: state.report && { ...answer.report, ...state.report } } : answer);
  await page.goto(`${mock.url}/admin`);
  await page.getByText('The report is being made').waitFor();
  state = { report: { comparison: null }, isComputing: false };
  await page.getByText('Would they have bought anyway?').waitFor();
  await page.getByText('After a click').first().waitFor();
  await assertSound(page, 'sales without an experiment');
  state = { report: { comparison: null, total: { purchases: 0, revenue: 0 } }, failure: { code: 'settings', message: 'There is no table.' } };
  await page.reload();
  await page.getByText('Nothing was bought in these days.').waitFor();
  await page.getByText('The report could not be made: There is no table.').waitFor();
  state = { report: null, failure: { code: 'too_large', message: '' } };
  await page.reload();
  await page.getByText('There are too many impressions and clicks').waitFor();
});

function withFaults({ models, python, spool, ...answer }) {
  return {
    ...answer,
    answers: null,
    models: models.map(({ name, kind, precision10, map10, winner }) => ({ name, kind, precision10, map10, winner, precision10Low: null, map10High: null })),
    python: { ...python, ready: 0, refused: 'no_model' },
    spool: { ...spool, elsewhere: ['other-shop'] },
  };
}

/** Return for each canvas whether anything is drawn on it. Runs in the page. */
function paintedCharts() {
  return [...document.querySelectorAll('canvas')].map((canvas) => {
    const { data } = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d')).getImageData(0, 0, canvas.width, canvas.height);
    return data.some((value) => value > 0);
  });
}
