/**
 * Asks Python for recommendations and takes nothing for an answer that is not proven to be one (docs/PROTOCOL.md).
 *
 * `createPool` keeps processes that answer in milliseconds; `runPythonInference` starts one for a single request. Both have the same
 * signature, and reject with a `PythonBridgeError` for everything that can go wrong.
 */
export { FAILURE_REASONS, PythonBridgeError } from './python/failures.js';
export { runPythonInference } from './python/oneShot.js';
export { createPool } from './python/pool.js';
