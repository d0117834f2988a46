/**
 * Has Python answer requests, and validates every answer (docs/PROTOCOL.md).
 *
 * `createPool` keeps processes that answer in milliseconds. `runPythonInference` starts one for a single request. Both
 * take the same request, and reject with a `PythonBridgeError` whatever goes wrong.
 */
export { FAILURE_REASONS, PythonBridgeError } from './python/failures.js';
export { runPythonInference } from './python/oneShot.js';
export { createPool } from './python/pool.js';
