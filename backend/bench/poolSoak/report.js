/** The terminal output of a soak: a line while it runs, and a table at its end. */

const EVERY_MS = 10_000; // between two lines, if the output is no terminal

/** Return a listener that writes the progress of a soak. */
export function progress(durationMs, stream = process.stdout) {
  let lastMs = -EVERY_MS;
  return ({ elapsedMs, asked, answered, strikes, swaps, violations }) => {
    if (!stream.isTTY && elapsedMs - lastMs < EVERY_MS) return;
    lastMs = elapsedMs;
    const line =
      `${clock(elapsedMs)} of ${clock(durationMs)}   ${asked} requests, ${answered} answered   ` +
      `${strikes} faults, ${swaps} versions   ${violationCounts(violations)}`;
    stream.write(stream.isTTY ? `\r\u001b[2K${line}` : `${line}\n`);
  };
}

/** Return the summary as a table, with the violations under it. */
export function table(summary) {
  const mebibytes = (bytes) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
  const times = ({ p50, p95, p99, max }) =>
    `p50 ${p50.toFixed(1)}   p95 ${p95.toFixed(1)}   p99 ${p99.toFixed(1)}   most ${max.toFixed(1)}`;
  const counts = (title, byName) =>
    Object.entries(byName).map(([name, count], position) => [position === 0 ? title : '', `${name} ${count}`]);
  const { versions, workers, memory, descriptors } = summary;
  const [earlyHeap, lastHeap] = [mebibytes(memory.early_heap_bytes), mebibytes(memory.last_heap_bytes)];
  const rows = [
    ['time', clock(1000 * summary.seconds)],
    ['requests', `${summary.requests}`],
    ...counts('outcomes', summary.outcomes),
    ['good ones answered', `${(100 * summary.answered_share_of_good).toFixed(2)} %`],
    ['answers, ms', times(summary.latency_ms)],
    ['past the deadline, ms', times(summary.past_deadline_ms)],
    ['held up by the machine', `${summary.most_held_up_ms} ms at most`],
    ...counts('faults', summary['harm']),
    ['start of a worker, ms', times(summary.boot_ms)],
    ['recovery, ms', times(summary.recovery_ms)],
    ['versions', `${versions.activated} activated, ${versions.answered.length} answered`],
    ['workers', `${workers.started} started, ${workers.deaths} died, ${workers.recycled} replaced in time`],
    ['memory of a worker', `${mebibytes(workers.most_rss_bytes)} at most`],
    ['memory of this process', `heap ${earlyHeap}, at the end ${lastHeap}; ${mebibytes(memory.most_rss_bytes)} in all`],
    ['descriptors', `${descriptors.before} before, ${descriptors.most} at most, ${descriptors.after} after`],
    ['violations', violationCounts(summary.violations)],
  ];
  const width = Math.max(...rows.map(([name]) => name.length));
  const lines = rows.map(([name, text]) => `${name.padEnd(width)}   ${text}`);
  return [...lines, ...summary['words'].map((message) => `  ${message}`)].join('\n');
}

function violationCounts(violations) {
  const entries = Object.entries(violations);
  return entries.length === 0 ? 'no violation' : entries.map(([kind, count]) => `${kind} ${count}`).join(', ');
}

function clock(ms) {
  const seconds = Math.round(ms / 1000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
}
