/** What lies in the cart is in no list, from the moment of the event and without a new computation. */
import assert from 'node:assert/strict';

import { onBothDatabases } from './databases.js';
import { FakePython, fill, happen, idsOf, NOW, serve } from './shop.js';

const USER = 7;
const RANKING = Array.from({ length: 40 }, (_, n) => 40 - n);
const SOON = { limit: 5, userId: USER };

/** How each list is requested, after a first request. */
const LISTS = {
  'the cached list': ({ service }) => service.listForUser(USER, SOON),
  'the cached list of an administrator': ({ service }) => service.getCachedForUser(USER, SOON),
  'a new list': ({ service }) => service.computeRecommendationsForUser(USER, SOON),
  'similar products': ({ service }) => service.similar(12, SOON),
  'products bought together': ({ service }) => service.together([12, 11], SOON),
  'trending products': ({ service }) => service.trending(SOON),
  'the fallback chain': ({ service, python }) => {
    python.failure = 'crashed';
    return service.computeRecommendationsForUser(USER, SOON);
  },
  'the fallback chain of similar products': ({ service, python }) => {
    python.failure = 'crashed';
    return service.similar(11, SOON);
  },
  'the fallback chain of products bought together': ({ service, python }) => {
    python.failure = 'crashed';
    return service.together([11], SOON);
  },
  'the fallback chain of trending products': ({ service, python }) => {
    python.failure = 'crashed';
    return service.trending(SOON);
  },
};

onBothDatabases((shopTest) => {
  for (const [what, request] of Object.entries(LISTS)) {
    shopTest(`${what} shows nothing of the cart`, async (shop) => {
      await fill(shop.models, 60);
      const served = serve(shop, { python: new FakePython(RANKING) });
      await served.service.listForUser(USER);
      const nRequests = served.python.requests.length;
      const ids = async () => idsOf(await request(served));
      const first = await ids();
      const [one, other] = first;
      await happen(shop.models, USER, [['cart', one], ['cart', other]], NOW - 2000);
      await happen(shop.models, 8, [['cart', first[2]]], NOW - 2000); // another user
      const without = await ids();
      assert.deepEqual([without.length, without.slice(0, 3)], [5, first.slice(2)]);
      await happen(shop.models, USER, [['uncart', one]], NOW - 1000);
      const back = await ids();
      assert.deepEqual(back.slice(0, 4), [one, ...first.slice(2)]);
      await happen(shop.models, USER, [['purchase', other]], NOW - 1000);
      assert.ok(!(await ids()).includes(other));
      if (what.startsWith('the cached list')) assert.equal(served.python.requests.length, nRequests);
      await served.service.close();
    });
  }
});
