/** Percentiles of measured values. */

/** Return the value below which a share of the sorted values lie; 0 for no values. */
function quantile(sorted, share) {
  return sorted.length === 0 ? 0 : sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
}

/** Return the 50th, 95th and 99th percentile and the maximum of some values, rounded to three decimals. */
export function percentiles(values) {
  const sorted = Float64Array.from(values).sort();
  const rounded = (value) => Math.round(1000 * value) / 1000;
  return {
    p50: rounded(quantile(sorted, 0.5)),
    p95: rounded(quantile(sorted, 0.95)),
    p99: rounded(quantile(sorted, 0.99)),
    max: rounded(sorted.at(-1) ?? 0),
  };
}
