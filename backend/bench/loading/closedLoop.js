/** Closed loop: so many customers, each of whom asks again as soon as she is answered. A server that is slow is asked less. */
import autocannon from 'autocannon';

import { parsedJson } from './answers.js';
import { tokenFor } from './tokens.js';

const TIMEOUT_S = 30;

/**
 * Ask a server by autocannon, and enter every answer.
 *
 * @param {object} load
 * @param {string} load.url
 * @param {number} load.connections Customers at once.
 * @param {() => number} load.nextCustomer
 * @param {Books} load.books
 * @param {{seconds: number} | {amount: number}} load.until For so long, or until so many have been answered.
 * @returns {Promise<number>} For how many seconds it went on.
 */
export async function closedLoop({ url, connections, nextCustomer, books, until }) {
  let heard = null; // what was just read: the event with its time comes right after it
  const request = {
    setupRequest(template, context) {
      context.customer = nextCustomer();
      return { ...template, headers: { Authorization: `Bearer ${tokenFor(context.customer)}` } };
    },
    onResponse: (status, body, { customer }) => (heard = { customer, status, body }),
  };
  const duration = 'amount' in until ? { amount: until.amount } : { duration: until.seconds };
  const started = performance.now();
  const instance = autocannon({ url, connections, timeout: TIMEOUT_S, requests: [request], ...duration });
  instance.on('response', (_client, _status, _bytes, ms) => books.take({ ...heard, body: parsedJson(heard.body), ms }));
  instance.on('reqError', (error) => books.lose('of autocannon', error));
  await instance;
  return (performance.now() - started) / 1000;
}
