/** A closed-loop load: each connection sends its next request after the answer, so that a slow server gets fewer requests. */
import autocannon from 'autocannon';

import { parsedJson } from './recorder.js';
import { tokenFor } from './tokens.js';

const TIMEOUT_S = 30;

/**
 * Send requests with autocannon, and record every answer.
 *
 * @param {object} load
 * @param {string} load.url
 * @param {number} load.connections Users at the same time.
 * @param {() => number} load.nextUser
 * @param {Recorder} load.recorder
 * @param {{seconds: number} | {amount: number}} load.until A duration, or a number of answers.
 * @returns {Promise<number>} The duration in seconds.
 */
export async function closedLoop({ url, connections, nextUser, recorder, until }) {
  let latest = null; // the latest answer; the event with its time follows directly
  const request = {
    setupRequest(template, context) {
      context.user = nextUser();
      return { ...template, headers: { Authorization: `Bearer ${tokenFor(context.user)}` } };
    },
    onResponse: (status, body, { user }) => (latest = { user, status, body }),
  };
  const duration = 'amount' in until ? { amount: until.amount } : { duration: until.seconds };
  const started = performance.now();
  const instance = autocannon({ url, connections, timeout: TIMEOUT_S, requests: [request], ...duration });
  instance.on('response', (_client, _status, _bytes, ms) => recorder.add({ ...latest, body: parsedJson(latest.body), ms }));
  instance.on('reqError', (error) => recorder.addLost('of autocannon', error));
  await instance;
  return (performance.now() - started) / 1000;
}
