import { withinMs } from './services/withinMs.js';

/**
 * Do one thing after the other, each in the time it has; one that fails or takes too long does not keep the others from being done.
 *
 * @param {{name: string, ms: number, work: () => Promise<void>}[]} steps
 * @param {{log: object}} services
 * @returns {Promise<boolean>} Whether all went well.
 */
export async function climbDown(steps, { log }) {
  let isWell = true;
  for (const { name, ms, work } of steps) {
    try {
      await withinMs(ms, work());
    } catch (error) {
      isWell = false;
      log.error({ step: name, reason: error.message }, 'a step of the shutdown failed');
    }
  }
  return isWell;
}
