/** Removes temporary things and ends children, also after Ctrl-C and SIGTERM. */
import { constants } from 'node:os';

const SIGNALS = ['SIGINT', 'SIGTERM'];
const children = new Set();
const cleanUps = [];

/** Kill a child when this process ends. */
export function endsWithUs(child) {
  if (children.size === 0 && process.listenerCount('exit', killAll) === 0) process.on('exit', killAll);
  children.add(child);
  child.once('exit', () => children.delete(child));
}

/**
 * Run work on a temporary thing, then remove the thing, also after a signal.
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
  killAll(); // before the removal, because children may still write
  for (const remove of cleanUps.toReversed()) await remove();
  process.exit(128 + constants.signals[signal]);
}

function killAll() {
  for (const child of children) child.kill('SIGKILL');
}

function once(work) {
  let result = null;
  return () => (result ??= Promise.resolve().then(work));
}
