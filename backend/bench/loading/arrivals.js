/**
 * An open-loop load: users arrive at a rate that does not depend on the answer times.
 *
 * autocannon is not used here. It holds a rate by sending all requests of a second at its start, which real users do not do.
 */
import { Agent, request } from 'node:http';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';

import { parsedJson } from './recorder.js';
import { tokenFor } from './tokens.js';

/**
 * Send requests by a Poisson process, without waiting for answers. The time of an answer is counted from the moment when its request was
 * due, not from when it was sent. Tokens are signed before.
 *
 * @param {object} load
 * @param {string} load.url
 * @param {number} load.customers Users at the same time.
 * @param {number} load.thinkS Seconds between two requests of a user, on average.
 * @param {number} load.seconds
 * @param {() => number} load.nextUser
 * @param {() => number} load.random From 0 to 1.
 * @param {Recorder} load.recorder
 * @returns {Promise<number>} The duration in seconds.
 */
export async function arrivals({ url, customers, thinkS, seconds, nextUser, random, recorder }) {
  const agent = new Agent({ keepAlive: true, maxSockets: 4 * customers });
  const started = performance.now();
  const end = started + 1000 * seconds;
  const pending = new Set();
  for (let due = started; due < end; due += (-Math.log(1 - random()) * 1000 * thinkS) / customers) {
    const user = nextUser();
    const token = tokenFor(user);
    const waitMs = due - performance.now();
    if (waitMs > 1) await sleep(waitMs);
    const task = oneAnswer({ url, agent, user, token, due, recorder }).finally(() => pending.delete(task));
    pending.add(task);
  }
  await Promise.all(pending);
  agent.destroy();
  return (performance.now() - started) / 1000;
}

async function oneAnswer({ url, agent, user, token, due, recorder }) {
  const began = Math.min(due, performance.now()); // timers may fire a fraction of a millisecond early
  try {
    const response = await responseTo(url, agent, token);
    const body = await text(response);
    recorder.add({ user, status: response.statusCode, body: parsedJson(body), ms: performance.now() - began });
  } catch (error) {
    recorder.addLost(user, error);
  }
}

function responseTo(url, agent, token) {
  return new Promise((resolve, reject) => {
    request(url, { agent, headers: { Authorization: `Bearer ${token}` } }, resolve).on('error', reject).end();
  });
}
