import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ApiError, createApi, retryAfterOf } from '../../src/lib/api.js';

/** Requests to a server that answers as the list says: [status, body, headers], or an error. */
function setUp(answers, { token = null } = {}) {
  const state = { token, requests: [], pauses: [], expired: [] };
  state.api = createApi({
    async fetch(path, { method, headers, body, signal }) {
      state.requests.push({ path, method, authorization: headers.get('Authorization'), body });
      const answer = answers.length > 1 ? answers.shift() : answers[0];
      if (answer === 'hang') {
        const open = setInterval(() => {}, 1000); // like a connection, it keeps Node running; the timer of a signal does not
        return new Promise((_resolve, reject) => {
          signal.addEventListener('abort', () => {
            clearInterval(open);
            reject(signal.reason);
          });
        });
      }
      if (answer instanceof Error) throw answer;
      const [status, content, extra = {}] = answer;
      return new Response(typeof content === 'string' ? content : JSON.stringify(content), { status, headers: extra });
    },
    getToken: () => state.token,
    onExpired: (old) => {
      state.expired.push(old);
      state.token = null;
    },
    sleep: async (ms) => void state.pauses.push(ms),
    timeoutMs: 20,
  });
  return state;
}

const failure = (kind, status) => (error) => error instanceof ApiError && error.kind === kind && error.status === status;

test('a read carries the token and returns the content', async () => {
  const { api, requests } = setUp([[200, { data: 1 }]], { token: 'abc' });
  assert.deepEqual(await api.read('/api/x'), { data: 1 });
  assert.deepEqual(requests, [{ path: '/api/x', method: 'GET', authorization: 'Bearer abc', body: undefined }]);
});

test('a read is repeated twice at passing failures', async () => {
  const { api, pauses } = setUp([[503, {}], new TypeError('fetch failed'), [200, { data: 1 }]]);
  assert.deepEqual(await api.read('/api/x'), { data: 1 });
  assert.deepEqual(pauses, [400, 1600]);
  const lost = setUp([[503, {}]]);
  await assert.rejects(lost.api.read('/api/x'), failure('http', 503));
  assert.equal(lost.requests.length, 3);
});

test('a server that asks for a little time gets it, and one that asks for much is left alone', async () => {
  const short = setUp([[429, {}, { 'Retry-After': '2' }], [200, {}]]);
  await short.api.read('/api/x');
  assert.deepEqual(short.pauses, [2000]);
  const long = setUp([[429, {}, { 'Retry-After': '60' }]]);
  await assert.rejects(long.api.read('/api/x'), (error) => error.status === 429 && error.retryAfterMs === 60_000);
  assert.deepEqual([long.pauses, long.requests.length], [[], 1]);
});

test('no other failure is repeated', async () => {
  for (const [answer, kind, status] of [[[404, {}], 'http', 404], [[500, {}], 'http', 500], [[200, '<html>'], 'bad_answer', 200], ['hang', 'timeout', 0]]) {
    const { api, requests } = setUp([answer]);
    await assert.rejects(api.read('/api/x'), failure(kind, status));
    assert.equal(requests.length, 1);
  }
});

test('a token that is no longer good is given up, and the guest gets an answer', async () => {
  for (const status of [401, 403]) {
    const state = setUp([[status, {}], [200, { data: 1 }]], { token: 'old' });
    assert.deepEqual(await state.api.read('/api/recommendations/list'), { data: 1 });
    assert.deepEqual([state.expired, state.requests.map(({ authorization }) => authorization)], [['old'], ['Bearer old', null]]);
  }
});

test('to an administrators’ path 403 means that the user is none, and a wrong password ends no session', async () => {
  const admin = setUp([[403, {}]], { token: 'customers' });
  await assert.rejects(admin.api.read('/api/admin/overview'), failure('http', 403));
  const login = setUp([[401, {}]], { token: 'good' });
  await assert.rejects(login.api.send('/api/auth/login', {}), failure('http', 401));
  assert.deepEqual([admin.expired, login.expired], [[], []]);
});

test('a read that nobody waits for any more ends', async () => {
  const { api, requests } = setUp(['hang']);
  const controller = new AbortController();
  const reading = api.read('/api/x', { signal: controller.signal });
  controller.abort();
  await assert.rejects(reading, { name: 'AbortError' });
  assert.equal(requests.length, 1);
});

test('an interaction’s status is an answer, whatever it is', async () => {
  const { api, requests } = setUp([[429, {}, { 'Retry-After': '3' }]], { token: 'abc' });
  assert.deepEqual(await api.post({ productId: 7 }), { status: 429, retryAfterMs: 3000 });
  assert.deepEqual(requests.map(({ path, method, body, authorization }) => [path, method, body, authorization]), [
    ['/api/interaction', 'POST', '{"productId":7}', 'Bearer abc'],
  ]);
});

test('Retry-After is seconds or a date', () => {
  const now = Date.UTC(2026, 0, 1);
  const cases = [['5', 5000], ['0', 0], ['-3', 0], ['Thu, 01 Jan 2026 00:00:10 GMT', 10_000], ['soon', null], ['', null], [null, null]];
  for (const [header, expected] of cases) assert.equal(retryAfterOf(header, now), expected);
});
