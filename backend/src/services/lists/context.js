import { readFileSync } from 'node:fs';

// The one table of the whole project: Python reads the same file.
const BUCKETS = JSON.parse(readFileSync(new URL('../../../../recsys/data/buckets.json', import.meta.url), 'utf8'));
const TIME_OF_HOUR = inverted(BUCKETS.time_of_day);
const SEASON_OF_MONTH = inverted(BUCKETS.season);

/** The devices that a customer may be known to use. */
export const DEVICES = Object.freeze(BUCKETS.device_type);

const clocks = new Map();

/**
 * Return the circumstances of a choice, known before it, as `context` of a request.
 *
 * @param {object} [circumstances]
 * @param {string | null} [circumstances.device] `desktop`, `mobile` or `tablet`, in any case; anything else is unknown.
 * @param {number | Date} [circumstances.now] Milliseconds since 1970.
 * @param {string} [circumstances.timeZone] The zone that the shop's customers live in.
 * @returns {{time_of_day: string, season: string, device_type: string | null}} Null is unknown, which the models have learned, too.
 */
export function deriveContext({ device = null, now = Date.now(), timeZone = 'UTC' } = {}) {
  const { hour, month } = localTime(Number(now), timeZone);
  return { time_of_day: TIME_OF_HOUR.get(hour), season: SEASON_OF_MONTH.get(month), device_type: knownDevice(device) };
}

/** Return a device in the table's spelling, or null where it is none of the table. */
export function knownDevice(device) {
  const folded = typeof device === 'string' ? device.trim().toLowerCase() : null;
  return DEVICES.includes(folded) ? folded : null;
}

function localTime(now, timeZone) {
  const parts = clockOf(timeZone).formatToParts(now);
  return Object.fromEntries(parts.map(({ type, value }) => [type, Number(value)]));
}

/** Making one costs a hundred times what using it does. */
function clockOf(timeZone) {
  if (!clocks.has(timeZone)) {
    clocks.set(timeZone, new Intl.DateTimeFormat('en', { timeZone, hourCycle: 'h23', hour: 'numeric', month: 'numeric' }));
  }
  return clocks.get(timeZone);
}

function inverted(table) {
  return new Map(Object.entries(table).flatMap(([name, numbers]) => numbers.map((number) => [number, name])));
}
