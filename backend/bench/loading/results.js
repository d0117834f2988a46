/** The file of the figures. Each program writes one part, with its machine, commit and day. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const REPOSITORY = fileURLToPath(new URL('../../../', import.meta.url));

/** The figures that docs/PERFORMANCE.md is generated from. */
export const KEPT = path.join(REPOSITORY, 'benchmarks', 'results', 'http.json');

/** Return what the figures depend on. `load` is the load average of the last minute. */
export function circumstances() {
  return {
    machine: `${os.type()} ${os.arch()}, ${os.availableParallelism()} processors (${os.cpus()[0]?.model.trim() ?? 'unknown'}), Node ${process.versions.node}`,
    processors: os.availableParallelism(),
    load: Math.round(10 * os.loadavg()[0]) / 10,
    commit: commit(),
    day: new Date().toISOString().slice(0, 10),
  };
}

/** Write one part's figures into a file, without changing the others. */
export function keep(file, part, figures) {
  mkdirSync(path.dirname(path.resolve(file)), { recursive: true });
  writeFileSync(file, `${JSON.stringify({ ...kept(file), [part]: figures })}\n`);
}

/** Return the content of a file, or an empty object without one. */
export function kept(file = KEPT) {
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : {};
}

function commit() {
  try {
    return execFileSync('git', ['-C', REPOSITORY, 'rev-parse', 'HEAD'], { encoding: 'ascii', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  } catch {
    return null; // the checkout has no git history
  }
}
