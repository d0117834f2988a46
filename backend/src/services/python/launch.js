import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { childEnvironment } from './environment.js';
import { findPython } from './interpreter.js';
import { fingerprint } from './watch.js';

const REPOSITORY = fileURLToPath(new URL('../../../../', import.meta.url));
const SCRIPT = path.join(REPOSITORY, 'recommend_api.py');

/**
 * @typedef {object} LaunchOptions
 * @property {string} [python] The interpreter; it goes before `PYTHON_BIN` and every search.
 * @property {string} [script] The bridge's door, recommend_api.py of this repository by default.
 * @property {string[]} [scriptArgs] What its command line has besides `--worker`: nothing, for the real one.
 * @property {Record<string, string | undefined>} [env] The environment to choose the child's variables from, `process.env` by default.
 * @property {number} [scoringThreads] How many models score at once; it goes before `SCORING_THREADS`.
 */

/**
 * Return how to start the script.
 *
 * @param {LaunchOptions} options
 * @param {string[]} mode `--worker`, or nothing for one request.
 * @returns {Promise<{command: string, args: string[], cwd: string, env: Record<string, string>}>}
 * @throws {PythonBridgeError} `no_python`
 */
export async function launchPlan({ python, script = SCRIPT, scriptArgs = [], env = process.env, scoringThreads }, mode) {
  const root = path.dirname(path.resolve(script));
  const environ = python === undefined ? env : { ...env, PYTHON_BIN: python };
  return {
    command: await findPython({ root, environ }),
    args: ['-I', '-X', 'utf8', path.resolve(script), ...scriptArgs, ...mode], // -I: neither PYTHONPATH nor the current folder add modules
    cwd: root,
    env: childEnvironment(scoringThreads === undefined ? env : { ...env, SCORING_THREADS: String(scoringThreads) }),
  };
}

/** Return a text that stays the same while a start that failed for a lasting reason would fail again. */
export function watched({ python, script = SCRIPT, env = process.env }) {
  const root = path.dirname(path.resolve(script));
  const interpreter = path.resolve(root, python || env.PYTHON_BIN || path.join('.venv', 'bin', 'python'));
  return fingerprint(root, env, [path.resolve(script), interpreter]);
}
