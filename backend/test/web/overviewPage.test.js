/** The administrators' page: what it shows, and that values are escaped. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';

import { ConnectionRefusedError } from 'sequelize';

import { html, overviewPage, STYLE_SOURCE } from '../../src/views/overviewPage.js';
import { ANSWER, stage } from './stage.js';

const RUN = { modelName: 'BMF', metricsJson: '{"map10":0.125,"precision10":0.2,"basis":"fresh"}', recommendationsJson: '[110,111]', createdAt: new Date(0) };
const POOL = { workers: [{ state: 'ready' }, { state: 'down' }], queued: 0, breaker: 'open', answered: 5, failed: { crashed: 2, deadline: 1 }, deaths: 2, refused: 'no_model' };
const SEEN = {
  userId: 7,
  context: { time_of_day: 'evening', season: null },
  cached: ANSWER,
  runs: [],
  python: POOL,
  spool: { pending: 3, rejected: 0 },
};

/** Return a page's text, a line for each piece. */
const textOf = (page) => page.replace(/<style>.*<\/style>/s, '').replace(/<[^>]+>/g, '\n').split('\n').map((line) => line.trim()).filter(Boolean);

test('values in a template are escaped, pieces and lists of pieces are not', () => {
  const page = html`<b title="${'"\'&'}">${'<script>'}${[html`<i>${1}</i>`, '<']}${null}${undefined}</b>`;
  assert.equal(page.toString(), '<b title="&quot;&#39;&amp;">&lt;script&gt;<i>1</i>&lt;</b>');
});

test('the page shows the list, the state of Python, and alarms', () => {
  const page = overviewPage(SEEN);
  const text = textOf(page);

  for (const shown of ['Recommendations of customer 7', 'Nord tea', '0.500', 'popular', '1 of 2', 'no_model', 'evening', 'unknown']) assert.ok(text.includes(shown), shown);
  for (const alarm of ['3', '1 of 2', 'open', 'no_model']) assert.ok(page.includes(`<dd class="alarm">${alarm}</dd>`), alarm);
  assert.ok(page.includes('<dd class="">0</dd>'));
});

test('a product’s name is escaped', () => {
  const product = { id: 1, name: '<script>alert(1)</script>' };
  const page = overviewPage({ ...SEEN, cached: { ...ANSWER, data: [{ ...ANSWER.data[0], product, modelName: '"><img src=x>' }] } });

  assert.doesNotMatch(page, /<script|<img/);
  assert.match(page, /&lt;script&gt;alert\(1\)/);
});

test('an empty cache and a missing database are shown', () => {
  const page = textOf(overviewPage({ ...SEEN, cached: null, runs: null }));
  assert.ok(page.includes('Nothing is cached.') && page.includes('The database is away.'));
});

test('the newest run of each model is shown, the serving one marked', async () => {
  const rows = [RUN, { ...RUN, modelName: 'ENCM', metricsJson: null }, { ...RUN, metricsJson: '{"map10":0.9}' }, { ...RUN, modelName: 'LNCM', metricsJson: '{cut' }];
  const { agent, as } = stage({ services: { models: { ModelRun: { findAll: async () => rows } } } });
  const { body } = await agent.get('/internal/recommendations').set(as(1));
  const served = { ...ANSWER, data: [{ ...ANSWER.data[0], modelName: 'LNCM' }] };
  const page = overviewPage({ ...SEEN, cached: served, runs: body.data.runs });

  assert.deepEqual(body.data.runs.map(({ modelName, metrics }) => [modelName, metrics?.map10]), [['BMF', 0.125], ['ENCM', undefined], ['LNCM', undefined]]);
  assert.match(page, /<td>BMF<\/td>\n<td class="number">0\.125<\/td>/);
  assert.deepEqual(page.match(/<strong>.*<\/strong>/g), ['<strong>LNCM&nbsp;★</strong>']);
});

test('unreadable runs are no failure', async () => {
  const ModelRun = { findAll: async () => Promise.reject(new ConnectionRefusedError(new Error('away'))) };
  const { agent, as } = stage({ services: { models: { ModelRun } } });
  const { status, body } = await agent.get('/internal/recommendations').set(as(1));
  assert.deepEqual([status, body.data.runs], [200, null]);
});

test('the page allows its own style only', () => {
  const style = /<style>(.*)<\/style>/s.exec(overviewPage(SEEN))[1];
  assert.equal(`'sha256-${createHash('sha256').update(style).digest('base64')}'`, STYLE_SOURCE);
});

test('the Accept header chooses JSON or a page, by default JSON', async () => {
  const { agent, as } = stage();
  const type = async (accept) => (await agent.get('/internal/recommendations').set(as(1)).set('Accept', accept)).type;
  assert.deepEqual([await type('*/*'), await type('application/json'), await type('text/html,*/*;q=0.8')], ['application/json', 'application/json', 'text/html']);
});
