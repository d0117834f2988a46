import assert from 'node:assert/strict';
import { test } from 'node:test';
import { translator } from '../../src/i18n/index.js';
import { whyText } from '../../src/lib/why.js';

const [en, vi] = [translator('en'), translator('vi')];
const why = (fields) => ({ code: 'viewed', itemId: null, name: null, category: null, ...fields });

test('a reason names the product or the category', () => {
  assert.equal(whyText(why({ code: 'viewed', name: 'Mug' }), en), 'Because you viewed \u2068Mug\u2069');
  assert.equal(whyText(why({ code: 'popular', category: 'Audio' }), vi), 'Được ưa chuộng trong \u2068Audio\u2069');
});

test('every code has a text with and without a name, in both languages', () => {
  for (const t of [en, vi]) {
    for (const code of ['viewed', 'bought', 'cart', 'similar', 'together', 'popular', 'new']) {
      const [plain, named] = [whyText(why({ code }), t), whyText(why({ code, name: 'X', category: 'X' }), t)];
      assert.ok(plain && !plain.startsWith('why.') && !/[{\u2068]/.test(plain), plain);
      assert.ok(named?.includes('\u2068X\u2069'), named);
    }
  }
});

test('what may be needed again names nothing', () => {
  for (const t of [en, vi]) {
    const text = whyText(why({ code: 'again', name: 'X', category: 'X' }), t);
    assert.ok(text && !text.startsWith('why.') && !/[X\u2068]/.test(text), text);
  }
});

test('there is no text for an unknown reason or none', () => {
  assert.equal(whyText(null, en), null);
  for (const code of ['tomorrow', 'constructor', '']) assert.equal(whyText(why({ code }), en), null);
});

test('a name may contain what looks like a slot', () => {
  assert.equal(whyText(why({ name: '{name} $& {x}' }), en), 'Because you viewed \u2068{name} $& {x}\u2069');
});
