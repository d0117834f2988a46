/**
 * How Python is launched: interpreter, arguments and environment.
 *
 * `launchPlan` puts them together. `launchFingerprint` shows when a start that failed may succeed.
 */
import { execFile } from 'node:child_process';
import { statSync } from 'node:fs';
import { access, constants, stat } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { readDotenv } from '../../config/dotenv.js';
import { PythonBridgeError } from './failures.js';

const WINDOWS = process.platform === 'win32';
const REPOSITORY = fileURLToPath(new URL('../../../../', import.meta.url));
const SCRIPT = path.join(REPOSITORY, 'recommend_api.py');

/**
 * @import { LaunchOptions } from '../pythonInvoker.js'
 */

/** @typedef {{command: string, args: string[], cwd: string, env: Record<string, string>}} LaunchPlan How to start a process. */

/**
 * Return how to start the script.
 *
 * @param {LaunchOptions} options
 * @param {string[]} mode `--worker`, or nothing for one request.
 * @returns {Promise<LaunchPlan>}
 * @throws {PythonBridgeError} `no_python`
 */
export async function launchPlan(options, mode) {
  const { python, script = SCRIPT, scriptArgs = [], env = process.env, scoringThreads } = options;
  const root = path.dirname(path.resolve(script));
  const environ = python === undefined ? env : { ...env, PYTHON_BIN: python };
  const isolated = ['-I', '-X', 'utf8']; // -I: neither PYTHONPATH nor the current folder adds modules
  return {
    command: await findPython({ root, environ }),
    args: [...isolated, path.resolve(script), ...scriptArgs, ...mode],
    cwd: root,
    env: childEnvironment(scoringThreads === undefined ? env : { ...env, SCORING_THREADS: String(scoringThreads) }),
  };
}

/**
 * Return a text that describes the files on which a start depends: settings, the active version, the script and the interpreter.
 *
 * While it stays the same, a start that failed for a lasting reason would fail again.
 *
 * @param {LaunchOptions} options
 * @returns {string} One line per file.
 */
export function launchFingerprint({ python, script = SCRIPT, env = process.env }) {
  const root = path.dirname(path.resolve(script));
  const dotenv = path.join(root, '.env');
  const files = [
    dotenv,
    path.resolve(root, env.RECSYS_TOML || 'recsys.toml'),
    path.resolve(root, env.MODELS_DIR || modelsDirIn(dotenv) || 'models', 'CURRENT'),
    path.resolve(script),
    path.resolve(root, python || env.PYTHON_BIN || path.join('.venv', 'bin', 'python')),
  ];
  return files.map(fileState).join('\n');
}

function fileState(file) {
  try {
    const { ino, size, mtimeNs, mode } = statSync(file, { bigint: true });
    return `${ino} ${size} ${mtimeNs} ${mode}`;
  } catch {
    return 'absent';
  }
}

function modelsDirIn(dotenv) {
  try {
    return readDotenv(dotenv, {}).MODELS_DIR;
  } catch {
    return undefined; // it cannot be read
  }
}

const NEEDED = [
  'DATABASE_URL',
  'DB_HOST',
  'DB_PORT',
  'DB_NAME',
  'DB_DATABASE_NAME',
  'DB_USER',
  'DB_USERNAME',
  'DB_PASSWORD',
  'DB_PASS',
  'MODELS_DIR',
  'RECSYS_TOML',
  'SCORING_THREADS',
];
const BASE_POSIX = [
  'HOME',
  'LANG',
  'LC_ALL',
  'LC_CTYPE',
  'LD_LIBRARY_PATH',
  'LOGNAME',
  'PATH',
  'SHELL',
  'TERM',
  'TMPDIR',
  'TZ',
  'USER',
];
const BASE_WINDOWS = [
  'APPDATA',
  'HOMEDRIVE',
  'HOMEPATH',
  'LOCALAPPDATA',
  'PATH',
  'PATHEXT',
  'SYSTEMDRIVE',
  'SYSTEMROOT',
  'TEMP',
  'TMP',
  'USERNAME',
  'USERPROFILE',
];

/**
 * The only variables that a child may see: where the shop's data is, and what any program needs.
 *
 * The web server's secrets are never among them.
 */
export const ALLOWED_VARIABLES = Object.freeze([...NEEDED, ...(WINDOWS ? BASE_WINDOWS : BASE_POSIX)]);

/**
 * Return the environment of a child. An empty variable counts as unset, in Node as in Python.
 *
 * @param {Record<string, string | undefined>} environ The environment to choose from.
 * @returns {Record<string, string>}
 */
export function childEnvironment(environ) {
  const chosen = {};
  for (const name of ALLOWED_VARIABLES) {
    const value = environ[name];
    const isSet = typeof value === 'string' && value !== '';
    if (isSet && !value.startsWith('()')) chosen[name] = value; // () begins a function that old shells would run
  }
  return chosen;
}

const INTERPRETERS = ['python3', 'python', 'py'];
const IN_VENV = WINDOWS ? ['Scripts', 'python.exe'] : ['bin', 'python'];
const SHIM_TIMEOUT_MS = 5000; // a shim is a shell script that starts Python; on a busy machine it takes a second

/** @type {NodeJS.Signals} */
const SIGKILL = 'SIGKILL';

const pythonByShim = new Map();

/**
 * Return the absolute path of the Python to run.
 *
 * The order is `PYTHON_BIN`, the repository's `.venv`, then python3, python and py on `PATH`. A shim of pyenv, asdf or
 * mise costs 0.2 s with every start. It is therefore run once, to learn the path of the real interpreter.
 *
 * @param {{root: string, environ: Record<string, string | undefined>}} where
 * @returns {Promise<string>}
 * @throws {PythonBridgeError} `no_python`
 */
export async function findPython({ root, environ }) {
  const { PYTHON_BIN: configured } = environ;
  let candidates = [path.join(root, '.venv', ...IN_VENV), ...onPath(INTERPRETERS, environ)];
  let expected = `There should be a Python: PYTHON_BIN, .venv in ${root}, or one of ${INTERPRETERS.join(', ')} on PATH.`;
  if (configured) {
    candidates = isPath(configured) ? [path.resolve(root, configured)] : onPath([configured], environ);
    expected = `PYTHON_BIN should name an executable file. Received: ${configured}.`;
  }
  const python = await firstExecutable(candidates, environ);
  if (python === null) throw new PythonBridgeError('no_python', expected);
  return python;
}

function isPath(name) {
  return name.includes('/') || (WINDOWS && name.includes('\\'));
}

function onPath(names, environ) {
  const entries = (environ.PATH ?? '').split(path.delimiter);
  const folders = entries.filter((folder) => path.isAbsolute(folder)); // never the current folder
  const files = WINDOWS ? names.map((name) => (name.endsWith('.exe') ? name : `${name}.exe`)) : names;
  return files.flatMap((file) => folders.map((folder) => path.join(folder, file)));
}

async function firstExecutable(candidates, environ) {
  for (const candidate of candidates) {
    if (!(await isExecutable(candidate))) continue;
    const isShim = path.basename(path.dirname(candidate)) === 'shims';
    const python = isShim ? await resolveShim(candidate, environ) : candidate;
    if (python !== null) return python;
  }
  return null;
}

async function isExecutable(file) {
  try {
    await access(file, constants.X_OK);
    return (await stat(file)).isFile();
  } catch {
    return false;
  }
}

/** Return the interpreter behind a shim, or null if it is the shim of a Python that is not installed. */
async function resolveShim(shim, environ) {
  if (!pythonByShim.has(shim)) {
    const options = { env: childEnvironment(environ), timeout: SHIM_TIMEOUT_MS, killSignal: SIGKILL, windowsHide: true };
    const printed = promisify(execFile)(shim, ['-I', '-c', 'import sys; print(sys.executable)'], options);
    const python = await printed.then(({ stdout }) => stdout.trim(), () => '');
    if (!(await isExecutable(python))) return null;
    pythonByShim.set(shim, python);
  }
  return pythonByShim.get(shim);
}
