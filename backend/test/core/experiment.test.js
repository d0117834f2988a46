/** The experiment: read, assigned and named as on the Python side, by the same table of cases. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { definition, readExperiment } from '../../src/config/experiment.js';
import { SettingsError } from '../../src/config/secrets.js';
import { parsedToml } from '../../src/config/toml.js';
import { armKey, armOf, hasNoLists, requestOf, rulesOf } from '../../src/services/tracking/arms.js';
import { algorithmOf, algorithmOfList, interactionId, listEventId, newRecommendationId } from '../../src/services/tracking/listEvents.js';

const CASES = JSON.parse(readFileSync(new URL('../../../tests/tracking/experiment_cases.json', import.meta.url), 'utf8'));
const [HALVES] = CASES.accepted;
const read = (text) => readExperiment(parsedToml(text));

for (const { toml, definition: expected, arms } of CASES.accepted) {
  test(`arms are those of Python: ${expected}`, () => {
    const experiment = read(toml);
    assert.equal(definition(experiment), expected);
    assert.deepEqual(Object.fromEntries(Object.keys(arms).map((user) => [user, armOf(experiment, user)?.name ?? null])), arms);
  });
}

test('what Python refuses is refused, with what was expected and received', () => {
  for (const toml of CASES.refused) assert.throws(() => read(toml), (error) => error instanceof SettingsError && /should .* Received: /.test(error.message), toml);
  assert.throws(() => read(HALVES.toml.replace('"none"', '"gpt"')), { message: /^\[experiments\.arms\.without\] `model` should be one of auto, none, ENCM, .*\. Received: gpt\.$/ });
  assert.throws(() => read(HALVES.toml.replace('model =', 'modle =')), { message: /should be a table with nothing but share, model, limit.*\. Received: modle\.$/ });
  const limits = [['3.0', '3.0'], ['1e1', '10.0'], ['2.5', '2.5'], ['0', '0'], ['101', '101'], ['true', 'true'], ['"3"', '3'], ['[3]', '[3]']];
  for (const [limit, received] of limits) {
    const message = `[experiments.arms.without] \`limit\` should be a whole number from 1 to 100. Received: ${received}.`;
    assert.throws(() => read(HALVES.toml.replace('model =', `limit = ${limit}\nmodel =`)), { message });
  }
  assert.equal(read(''), null);
});

test('ids are built as those of Python', () => {
  for (const { user, event, id } of CASES.interaction_ids) assert.equal(interactionId(user, event), id);
  for (const { answer, kind, product, event, id } of CASES.list_event_ids) {
    assert.equal(listEventId({ recommendation_id: answer, actionCode: kind, eventId: event }, product), id);
  }
  assert.deepEqual(Object.fromEntries(Object.keys(CASES.algorithms).map((id) => [id, algorithmOf(id)])), CASES.algorithms);
  assert.match(newRecommendationId('ENCM'), /^rec_encm_[0-9a-f]{32}$/);
  assert.match(newRecommendationId('a new one'), /^rec_other_[0-9a-f]{32}$/);
  assert.notEqual(newRecommendationId('ease'), newRecommendationId('ease'));
});

test('an answer counts for what ranked it', () => {
  const list = { data: [{ modelName: 'item_cf' }], source: 'cache', fallbackReason: null };
  const cases = [[list, 'item_cf'], [{ ...list, fallbackReason: 'deadline' }, 'fallback'], [{ ...list, data: [] }, 'other'], [{ ...list, data: [], source: 'none' }, 'none']];
  for (const [answer, expected] of cases) assert.equal(algorithmOfList(answer), expected);
});

test('an arm changes the fields of requests that it sets, and the model of own lists alone', () => {
  const arm = { name: 'A', share: 0.5, model: 'ease', limit: 3, request: { budget_ms: 90 } };
  const cases = [
    [null, {}, {}],
    [{ ...arm, model: 'auto', request: {} }, {}, {}],
    [arm, { model: 'ease', budget_ms: 90 }, { budget_ms: 90 }],
  ];
  for (const [one, own, other] of cases) assert.deepEqual([requestOf(one), requestOf(one, 'similar')], [own, other]);
  const more = { ...arm, model: 'auto', request: { repeat: 'allow', complementary: true } };
  assert.deepEqual(['recommend', 'again', 'together', 'trending'].map((op) => requestOf(more, op)), [{ repeat: 'allow' }, { repeat: 'allow' }, { complementary: true }, {}]);
  const days = (repeat) => rulesOf({ repeatAfterDays: 7 }, repeat && { ...arm, request: { repeat } }).repeatAfterDays;
  assert.deepEqual([days(null), days('allow'), days('hide'), days('other')], [7, 0, Infinity, 7]);
  assert.equal(armKey(null), '');
  assert.equal(armKey({ ...arm, model: 'auto', request: {} }), '');
  assert.notEqual(armKey(arm), armKey({ ...arm, request: {} }));
  assert.deepEqual([null, arm, { ...arm, model: 'none' }].map(hasNoLists), [false, false, true]);
});

test('further keys of an arm are part of its definition, and change none without them', () => {
  const { name, arms } = read(HALVES.toml);
  const longer = { name, arms: arms.map((arm) => ({ ...arm, request: { repeat: 'allow' } })) };
  assert.notEqual(definition(longer), HALVES.definition);
});
