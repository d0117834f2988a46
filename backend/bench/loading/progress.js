/** The line in the terminal while a soak runs. */

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

function violationCounts(violations) {
  const entries = Object.entries(violations);
  return entries.length === 0 ? 'no violation' : entries.map(([kind, count]) => `${kind} ${count}`).join(', ');
}

function clock(ms) {
  const seconds = Math.round(ms / 1000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
}
