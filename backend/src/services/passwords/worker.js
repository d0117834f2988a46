/** The thread that compares passwords with hashes, one after the other. Each comparison takes about 50 ms. */
import { parentPort } from 'node:worker_threads';

import bcrypt from 'bcryptjs';

parentPort.on('message', ({ id, password, hash }) => {
  parentPort.postMessage({ id, isMatch: isMatch(password, hash) });
});

/** Whether a password matches a hash; false if bcrypt cannot compare them. An exception would end the thread and fail all that wait. */
function isMatch(password, hash) {
  try {
    return bcrypt.compareSync(password, hash);
  } catch {
    return false;
  }
}
