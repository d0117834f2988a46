/** Compares passwords with hashes, one after the other, in a thread of its own: each takes some 50 ms, in which a page could not be answered. */
import { parentPort } from 'node:worker_threads';

import bcrypt from 'bcryptjs';

parentPort.on('message', ({ id, password, hash }) => {
  parentPort.postMessage({ id, isRight: isRight(password, hash) });
});

/** What bcrypt cannot compare is not right: thrown, it would end the thread, and with it everybody who waits. */
function isRight(password, hash) {
  try {
    return bcrypt.compareSync(password, hash);
  } catch {
    return false;
  }
}
