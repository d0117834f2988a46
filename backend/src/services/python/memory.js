import { readFileSync } from 'node:fs';

/** Return the bytes of memory that a process holds; 0 where the system does not say, so that no limit is ever reached. */
export function residentBytes(pid) {
  try {
    return 1024 * Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0);
  } catch {
    return 0;
  }
}
