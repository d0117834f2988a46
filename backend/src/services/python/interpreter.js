import { execFile } from 'node:child_process';
import { access, constants, stat } from 'node:fs/promises';
import path from 'node:path';

import { childEnvironment } from './environment.js';
import { PythonBridgeError } from './failures.js';

const NAMES = ['python3', 'python', 'py'];
const WINDOWS = process.platform === 'win32';
const IN_VENV = WINDOWS ? ['Scripts', 'python.exe'] : ['bin', 'python'];
const SHIM_TIMEOUT_MS = 5000; // a shim is a shell script that starts Python; on a busy machine it takes a second

const behindShims = new Map();

/**
 * Return the absolute path of the Python to run: `PYTHON_BIN`, else the repository's `.venv`, else the first of python3, python and py on
 * `PATH`.
 *
 * A shim of pyenv, asdf or mise costs 0.2 s with every start, so it is asked once which Python stands behind it.
 *
 * @param {{root: string, environ: Record<string, string | undefined>}} where
 * @returns {Promise<string>}
 * @throws {PythonBridgeError} `no_python`
 */
export async function findPython({ root, environ }) {
  const named = environ.PYTHON_BIN;
  if (named) {
    const found = await firstExecutable(isPath(named) ? [path.resolve(root, named)] : onPath([named], environ), environ);
    if (found) return found;
    throw new PythonBridgeError('no_python', `PYTHON_BIN should name an executable file. Received: ${named}.`);
  }
  const found = await firstExecutable([path.join(root, '.venv', ...IN_VENV), ...onPath(NAMES, environ)], environ);
  if (found) return found;
  throw new PythonBridgeError(
    'no_python',
    `There should be a Python: PYTHON_BIN, .venv in ${root}, or one of ${NAMES.join(', ')} on PATH.`,
  );
}

function isPath(name) {
  return name.includes('/') || (WINDOWS && name.includes('\\'));
}

function onPath(names, environ) {
  const folders = (environ.PATH ?? '').split(path.delimiter).filter((folder) => path.isAbsolute(folder)); // never the current folder
  const files = WINDOWS ? names.map((name) => (name.endsWith('.exe') ? name : `${name}.exe`)) : names;
  return files.flatMap((file) => folders.map((folder) => path.join(folder, file)));
}

async function firstExecutable(candidates, environ) {
  for (const candidate of candidates) {
    if (!(await isExecutable(candidate))) continue;
    const python = path.basename(path.dirname(candidate)) === 'shims' ? await behindShim(candidate, environ) : candidate;
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

async function behindShim(shim, environ) {
  if (!behindShims.has(shim)) {
    const asked = new Promise((resolve) => {
      const options = { env: childEnvironment(environ), timeout: SHIM_TIMEOUT_MS, killSignal: 'SIGKILL', windowsHide: true };
      execFile(shim, ['-I', '-c', 'import sys; print(sys.executable)'], options, (error, stdout) => resolve(error ? null : stdout.trim()));
    });
    const python = await asked;
    if (python === null || !(await isExecutable(python))) return null; // a shim of a Python that is not installed
    behindShims.set(shim, python);
  }
  return behindShims.get(shim);
}
