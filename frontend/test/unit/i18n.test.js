import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TEXTS } from '../../src/admin/texts.js';
import en from '../../src/i18n/en.js';
import { createLanguage, languageOf, translator } from '../../src/i18n/index.js';
import vi from '../../src/i18n/vi.js';
import { openStorage } from '../../src/lib/storage.js';

const slots = (text) => [...text.matchAll(/\{\w+\}/g)].map(([slot]) => slot).sort();
// Vietnamese has no plural, so it needs no form for one.
const needed = (texts) => Object.keys(texts).filter((key) => !key.endsWith('.one'));

test('both languages say the same things with the same values', () => {
  for (const [english, vietnamese] of [[en, vi], [TEXTS.en, TEXTS.vi]]) {
    assert.deepEqual(needed(english).sort(), needed(vietnamese).sort());
    for (const key of needed(english)) assert.deepEqual(slots(english[key]), slots(vietnamese[key]), key);
  }
});

test('one thing has a form of its own in English', () => {
  assert.equal(translator('en')('items', { n: 1 }), '1 item');
  assert.equal(translator('en')('items', { n: 2 }), '2 items');
  assert.equal(translator('vi')('items', { n: 1 }), '1 sản phẩm');
});

test('the visitor chooses the language, else the browser, else it is Vietnamese', () => {
  const cases = [['en', ['vi'], 'en'], [null, ['en-GB', 'vi'], 'en'], [null, ['fr', 'VI-vn'], 'vi'], ['xx', ['de'], 'vi'], [{}, [], 'vi']];
  for (const [chosen, preferred, expected] of cases) assert.equal(languageOf(chosen, preferred), expected);
});

test('the choice is remembered as long as the storage', () => {
  const storage = openStorage(() => null);
  createLanguage(storage, ['vi']).choose('en');
  assert.equal(createLanguage(storage, ['vi']).current.get(), 'en');
});
