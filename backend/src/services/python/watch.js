import { readFileSync, statSync } from 'node:fs';
import path from 'node:path';

/**
 * Return what the files say that a start depends on, as one text: while it stays the same, a process that could not start for a lasting
 * reason would not start now either.
 *
 * @param {string} root The folder of the script.
 * @param {Record<string, string | undefined>} environ
 * @param {string[]} more Further files: the script, the interpreter.
 * @returns {string}
 */
export function fingerprint(root, environ, more) {
  const dotenv = path.join(root, '.env');
  const models = path.resolve(root, environ.MODELS_DIR || modelsDirIn(dotenv) || 'models');
  const files = [dotenv, path.resolve(root, environ.RECSYS_TOML || 'recsys.toml'), path.join(models, 'CURRENT'), ...more];
  return files.map(mark).join('\n');
}

function mark(file) {
  try {
    const { ino, size, mtimeNs, mode } = statSync(file, { bigint: true });
    return `${ino} ${size} ${mtimeNs} ${mode}`;
  } catch {
    return 'absent';
  }
}

function modelsDirIn(dotenv) {
  try {
    return /^\s*(?:export\s+)?MODELS_DIR[ \t]*=[ \t]*["']?([^"'\n]+)/m.exec(readFileSync(dotenv, 'utf8'))?.[1].trim();
  } catch {
    return undefined; // there need not be one
  }
}
