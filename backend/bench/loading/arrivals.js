/**
 * Arrivals: customers who think between two looks at the page, so that they come at a rate that does not depend on how fast they are
 * answered.
 *
 * autocannon holds a rate by sending a whole second's requests at the second's start, all connections at the same moment, which nobody's
 * customers do; so this one is not autocannon's.
 */
import { Agent, request } from 'node:http';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';

import { parsedJson } from './answers.js';
import { tokenFor } from './tokens.js';

/**
 * Let customers come by a Poisson process, each answered or not when the next one comes. What an answer took begins at the moment when
 * its request was due, not when it was sent; her token was there before.
 *
 * @param {object} load
 * @param {string} load.url
 * @param {number} load.customers Customers who look at pages at the same time.
 * @param {number} load.thinkS Seconds for which each thinks between two looks, on average.
 * @param {number} load.seconds
 * @param {() => number} load.nextCustomer
 * @param {() => number} load.random From 0 to 1.
 * @param {Books} load.books
 * @returns {Promise<number>} For how many seconds it went on.
 */
export async function arrivals({ url, customers, thinkS, seconds, nextCustomer, random, books }) {
  const agent = new Agent({ keepAlive: true, maxSockets: 4 * customers });
  const started = performance.now();
  const end = started + 1000 * seconds;
  const pending = new Set();
  for (let due = started; due < end; due += (-Math.log(1 - random()) * 1000 * thinkS) / customers) {
    const customer = nextCustomer();
    const token = tokenFor(customer);
    const waitMs = due - performance.now();
    if (waitMs > 1) await sleep(waitMs);
    const task = oneAnswer({ url, agent, customer, token, due, books }).finally(() => pending.delete(task));
    pending.add(task);
  }
  await Promise.all(pending);
  agent.destroy();
  return (performance.now() - started) / 1000;
}

async function oneAnswer({ url, agent, customer, token, due, books }) {
  const began = Math.min(due, performance.now()); // timers may fire a fraction of a millisecond early
  try {
    const response = await asked(url, agent, token);
    const body = await text(response);
    books.take({ customer, status: response.statusCode, body: parsedJson(body), ms: performance.now() - began });
  } catch (error) {
    books.lose(customer, error);
  }
}

function asked(url, agent, token) {
  return new Promise((resolve, reject) => {
    request(url, { agent, headers: { Authorization: `Bearer ${token}` } }, resolve).on('error', reject).end();
  });
}
