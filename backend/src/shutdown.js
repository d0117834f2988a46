/** A graceful shutdown: its steps, each with a time limit, and what runs them. */
import { withinMs } from './concurrency/time.js';
import { finished } from './httpServer.js';

const REQUESTS_MS = 2000; // for requests that are being answered: as long as their deadlines

/**
 * @import { Server } from 'node:http'
 * @import { Services } from './app.js'
 */

/**
 * @typedef {object} Step A step of the shutdown.
 * @property {string} name
 * @property {number} ms Its time limit.
 * @property {() => Promise<unknown>} work
 * @property {boolean} [isOptional]
 */

/** The time limit of the whole shutdown, in milliseconds; `docker stop` waits for ten seconds. */
export const END_MS = 9000;

/**
 * Return the steps of the shutdown.
 *
 * Optional steps may fail, because nothing is lost: lists can be computed again, counts of a few seconds are no harm, and the system ends connections itself.
 *
 * @param {Pick<Services, 'interactions' | 'recommendations' | 'answerCounts' | 'python' | 'sequelize'> & {server: Server}} services
 *   What `startServer` has created; each is closed in its step.
 * @returns {Step[]} In their order.
 */
export function shutdownSteps({ server, interactions, recommendations, answerCounts, python, sequelize }) {
  return [ // their limits are in all less than END_MS
    { name: 'requests', ms: 2100, work: () => finished(server, REQUESTS_MS) },
    { name: 'spool', ms: 2200, work: () => interactions.close() },
    { name: 'lists', ms: 200, work: () => recommendations.close(), isOptional: true },
    { name: 'counts', ms: 140, work: () => answerCounts.close(), isOptional: true },
    { name: 'python', ms: 4200, work: () => python.close() },
    { name: 'database', ms: 150, work: () => sequelize.close(), isOptional: true },
  ];
}

/**
 * Run the steps one after the other, each within its time limit. A step that fails or takes too long does not prevent the next ones.
 *
 * @param {Step[]} steps What `shutdownSteps` returned.
 * @param {Pick<Services, 'log'>} services
 * @returns {Promise<boolean>} Whether all steps that are not optional succeeded.
 */
export async function gracefulShutdown(steps, { log }) {
  let isWell = true;
  for (const { name, ms, work, isOptional = false } of steps) {
    try {
      await withinMs(ms, work());
    } catch (error) {
      isWell &&= isOptional;
      log[isOptional ? 'warn' : 'error']({ step: name, reason: error.message }, 'a step of the shutdown failed');
    }
  }
  return isWell;
}
