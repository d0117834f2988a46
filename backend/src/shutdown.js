import { withinMs } from './concurrency/withinMs.js';

/**
 * Do one thing after the other, each in the time it has; one that fails or takes too long does not keep the others from being done.
 *
 * @param {{name: string, ms: number, work: () => Promise<void>, isCourtesy?: boolean}[]} steps A courtesy may fail: the system does it anyway.
 * @param {{log: object}} services
 * @returns {Promise<boolean>} Whether all went well that has to.
 */
export async function climbDown(steps, { log }) {
  let isWell = true;
  for (const { name, ms, work, isCourtesy = false } of steps) {
    try {
      await withinMs(ms, work());
    } catch (error) {
      isWell &&= isCourtesy;
      log[isCourtesy ? 'warn' : 'error']({ step: name, reason: error.message }, 'a step of the shutdown failed');
    }
  }
  return isWell;
}
