/** What has to be put away is put away after Ctrl-C and SIGTERM, too. */
import { constants } from 'node:os';

const SIGNALS = ['SIGINT', 'SIGTERM'];
const children = new Set();
const cleanUps = [];

/** Let a child end with this process, however that ends. */
export function endsWithUs(child) {
  if (children.size === 0 && process.listenerCount('exit', killAll) === 0) process.on('exit', killAll);
  children.add(child);
  child.once('exit', () => children.delete(child));
}

/**
 * Do something with what has to be removed in the end, and remove it: also if a signal comes first.
 *
 * @template T
 * @param {{remove: () => Promise<void> | void}} thing
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function thenRemoved(thing, work) {
  const remove = once(() => thing.remove());
  cleanUps.push(remove);
  for (const signal of SIGNALS) if (process.listenerCount(signal, leave) === 0) process.on(signal, leave);
  try {
    return await work();
  } finally {
    await remove();
    cleanUps.splice(cleanUps.indexOf(remove), 1);
    if (cleanUps.length === 0) for (const signal of SIGNALS) process.off(signal, leave);
  }
}

async function leave(signal) {
  killAll(); // whoever still writes would be in the way
  for (const remove of cleanUps.toReversed()) await remove();
  process.exit(128 + constants.signals[signal]);
}

function killAll() {
  for (const child of children) child.kill('SIGKILL');
}

function once(work) {
  let done = null;
  return () => (done ??= Promise.resolve().then(work));
}
