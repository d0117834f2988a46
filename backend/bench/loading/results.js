/** The file that figures are kept in: one part a program, each with the machine, the commit and the day that it is of. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const REPOSITORY = fileURLToPath(new URL('../../../', import.meta.url));

/** The figures that the page is made of. */
export const KEPT = path.join(REPOSITORY, 'benchmarks', 'results', 'http.json');

/** Return what figures depend on; `load` is how many processes wanted to compute when they were begun. */
export function circumstances() {
  return {
    machine: `${os.type()} ${os.arch()}, ${os.availableParallelism()} processors (${os.cpus()[0]?.model.trim() ?? 'unknown'}), Node ${process.versions.node}`,
    processors: os.availableParallelism(),
    load: Math.round(10 * os.loadavg()[0]) / 10,
    commit: commit(),
    day: new Date().toISOString().slice(0, 10),
  };
}

/** Put one part's figures into a file and leave the others as they are. */
export function keep(file, part, figures) {
  mkdirSync(path.dirname(path.resolve(file)), { recursive: true });
  writeFileSync(file, `${JSON.stringify({ ...kept(file), [part]: figures }, null, 1)}\n`);
}

/** Return what a file holds; nothing where there is none. */
export function kept(file = KEPT) {
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : {};
}

function commit() {
  try {
    return execFileSync('git', ['-C', REPOSITORY, 'rev-parse', 'HEAD'], { encoding: 'ascii', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  } catch {
    return null; // an export without its history
  }
}
