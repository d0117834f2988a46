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
const BASE_POSIX = ['HOME', 'LANG', 'LC_ALL', 'LC_CTYPE', 'LD_LIBRARY_PATH', 'LOGNAME', 'PATH', 'SHELL', 'TERM', 'TMPDIR', 'TZ', 'USER'];
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

/** The only variables a child may see: where the shop's data is, and what any program needs. Never a secret of the web server's. */
export const ALLOWED_VARIABLES = Object.freeze([...NEEDED, ...(process.platform === 'win32' ? BASE_WINDOWS : BASE_POSIX)]);

/**
 * Return the environment of a child. An empty variable is one that is not set, for Node as for Python.
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
