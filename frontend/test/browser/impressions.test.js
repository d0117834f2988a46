/** What lists show is told once, when it is really in view; and nothing of the page depends on it. */
import assert from 'node:assert/strict';
import { PHONE, setUp, shelf, until } from './setUp.js';
import { idsIn } from '../proof/journey.js';

const { mock, browserTest } = setUp();
const LIST = '/api/recommendations/list';

const sent = (action) => mock.requests.filter(({ path, body }) => path === '/api/interaction' && body?.actionCode === action).map(({ body }) => body);
const pairs = () => sent('impression').flatMap(({ recommendation_id: id, shown }) => shown.map(({ productId, position }) => [id, productId, position].join(' ')));

browserTest('a list is told once as seen, with the places of its products, and a click with its own', async ({ visit }) => {
  const answers = [];
  mock.change = (path, answer) => {
    if (path === LIST) answers.push(answer.recommendation_id);
    return answer;
  };
  const page = await visit({ viewport: PHONE });
  const list = shelf(page, 'You might like');
  await list.locator('.card-name a').first().waitFor();
  const ids = await idsIn(list);
  await until(() => pairs().length > 0, 'what is in view is told');
  const [id] = answers;
  assert.equal(pairs()[0], `${id} ${ids[0]} 1`);
  assert.ok(pairs().filter((pair) => pair.startsWith(id)).length < ids.length, 'what is beyond the edge of a phone is not in view');
  await page.getByRole('button', { name: /VI/ }).click(); // renders all again
  await shelf(page, 'Có thể bạn sẽ thích').locator('.card').last().scrollIntoViewIfNeeded();
  await until(() => pairs().includes(`${id} ${ids.at(-1)} ${ids.length}`), 'the last product is told when it is in view');
  await shelf(page, 'Có thể bạn sẽ thích').locator('.card-name a').last().click();
  await until(() => sent('click').length === 1 && sent('view').length === 1, 'the click and the view are told');
  const [{ productId, position, recommendation_id: clicked, session_id: visitId }] = sent('click');
  assert.deepEqual([productId, position, clicked], [ids.at(-1), ids.length, id]);
  assert.match(visitId, /^[\da-f-]{36}$/);
  await page.goBack();
  await until(() => answers.length === 2 && pairs().some((pair) => pair.startsWith(answers[1])), 'another answer is told, too');
  assert.equal(new Set(pairs()).size, pairs().length, 'each product of an answer is told once');
  assert.equal(new Set(sent('impression').map(({ session_id: one }) => one)).size, 1);
});

browserTest('a page that cannot tell what it shows is whole', async ({ visit }) => {
  mock.fault = ({ path, body }) => (path === '/api/interaction' && ['impression', 'click'].includes(body?.actionCode) ? { status: 500 } : null);
  const page = await visit({ mayFail: true });
  await shelf(page, 'You might like').locator('.card-name a').first().waitFor();
  await until(() => sent('impression').length > 0, 'it is tried');
  await shelf(page, 'You might like').locator('.card-name a').first().click();
  await page.locator('.details .price').waitFor();
  await until(() => mock.events.some(({ actionCode }) => actionCode === 'view'), 'the view is stored');
  await shelf(page, 'Also liked').locator('.card').first().waitFor();
});

browserTest('a customer without recommendations sees the shop without their rows', async ({ visit }) => {
  mock.change = (path, answer) => (path.startsWith('/api/recommendations/') ? { ...answer, data: [], source: 'none', fallbackReason: null, modelVersion: null, arm: 'without' } : answer);
  const page = await visit();
  await shelf(page, 'Popular now').locator('.card').first().waitFor();
  await page.goto(`${mock.url}/p/14`);
  await page.locator('.details .price').waitFor();
  await until(() => mock.requests.some(({ path }) => path.startsWith('/api/recommendations/similar')), 'the page has asked');
  await page.locator('.skeleton').first().waitFor({ state: 'detached' });
  for (const title of ['You might like', 'Also liked', 'Often bought together', 'Trending now']) assert.equal(await shelf(page, title).count(), 0, title);
  assert.equal(sent('impression').length, 0);
});
