/** A soak for people: a line while it runs, a table at its end. */

const EVERY_MS = 10_000; // a line, where there is no terminal to write over the last one

/** Return a listener that says how a soak is getting on. */
export function progress(durationMs, stream = process.stdout) {
  let told = -EVERY_MS;
  return ({ elapsedMs, asked, answered, strikes, swaps, violations }) => {
    if (!stream.isTTY && elapsedMs - told < EVERY_MS) return;
    told = elapsedMs;
    const line =
      `${clock(elapsedMs)} of ${clock(durationMs)}   ${asked} asked, ${answered} answered   ` +
      `${strikes} times harm, ${swaps} versions   ${faults(violations)}`;
    stream.write(stream.isTTY ? `\r\u001b[2K${line}` : `${line}\n`);
  };
}

/** Return the summary as a table, and what was wrong under it. */
export function table(summary) {
  const mebibytes = (bytes) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
  const times = ({ p50, p95, p99, max }) => `p50 ${p50.toFixed(1)}   p95 ${p95.toFixed(1)}   p99 ${p99.toFixed(1)}   most ${max.toFixed(1)}`;
  const counts = (named) => Object.entries(named).map(([name, count]) => `${name} ${count}`);
  const { workers, memory, descriptors } = summary;
  const rows = [
    ['time', clock(1000 * summary.seconds)],
    ['questions', `${summary.requests}`],
    ...counts(summary.outcomes).map((text, number) => [number === 0 ? 'outcomes' : '', text]),
    ['good ones answered', `${(100 * summary.answered_share_of_good).toFixed(2)} %`],
    ['answers, ms', times(summary.latency_ms)],
    ['past the deadline, ms', times(summary.past_deadline_ms)],
    ['held up by the machine', `${summary.most_held_up_ms} ms at most`],
    ...counts(summary.harm).map((text, number) => [number === 0 ? 'harm' : '', text]),
    ['start of a worker, ms', times(summary.boot_ms)],
    ['recovery, ms', times(summary.recovery_ms)],
    ['versions', `${summary.versions.activated} activated, ${summary.versions.answered.length} answered`],
    ['workers', `${workers.started} started, ${workers.deaths} died, ${workers.recycled} replaced in time, ${mebibytes(workers.most_rss_bytes)} at most`],
    ['this process', `heap ${mebibytes(memory.early_heap_bytes)}, at the end ${mebibytes(memory.last_heap_bytes)}; ${mebibytes(memory.most_rss_bytes)} in all`],
    ['descriptors', `${descriptors.before} before, ${descriptors.most} at most, ${descriptors.after} after`],
    ['what should not be', faults(summary.violations)],
  ];
  const width = Math.max(...rows.map(([name]) => name.length));
  return [...rows.map(([name, text]) => `${name.padEnd(width)}   ${text}`), ...summary.words.map((words) => `  ${words}`)].join('\n');
}

function faults(violations) {
  const found = Object.entries(violations);
  return found.length === 0 ? 'nothing wrong' : found.map(([kind, count]) => `${kind} ${count}`).join(', ');
}

function clock(ms) {
  const seconds = Math.round(ms / 1000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
}
