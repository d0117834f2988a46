/** The context of a request: time of day, season and device, from the table that the Python side reads too. */
import { readFileSync } from 'node:fs';

const BUCKETS = JSON.parse(readFileSync(new URL('../../../../recsys/data/buckets.json', import.meta.url), 'utf8'));
const TIME_OF_HOUR = inverted(BUCKETS.time_of_day);
const SEASON_OF_MONTH = inverted(BUCKETS.season);

/** The devices that the models know. */
export const DEVICES = Object.freeze(BUCKETS.device_type);

const clocks = new Map();

/**
 * @typedef {object} Context The circumstances of a request. Null is unknown, a value that the models have learned, too.
 * @property {string} time_of_day
 * @property {string} season
 * @property {string | null} device_type
 */

/**
 * Return the `context` of a request: what is known of the circumstances before the user chooses.
 *
 * @param {object} [circumstances]
 * @param {string | null} [circumstances.device] `desktop`, `mobile` or `tablet`, in any case; anything else counts as unknown.
 * @param {number | Date} [circumstances.now] Milliseconds since 1970.
 * @param {string} [circumstances.timeZone] The time zone of the shop's users.
 * @returns {Context}
 */
export function deriveContext({ device = null, now = Date.now(), timeZone = 'UTC' } = {}) {
  const { hour, month } = localTime(Number(now), timeZone);
  return { time_of_day: TIME_OF_HOUR.get(hour), season: SEASON_OF_MONTH.get(month), device_type: knownDevice(device) };
}

/** Return a device in the table's spelling, or null if the table does not have it. */
export function knownDevice(device) {
  const folded = typeof device === 'string' ? device.trim().toLowerCase() : null;
  return DEVICES.includes(folded) ? folded : null;
}

/**
 * Return a context as `rec_lists.context` stores it.
 *
 * @param {Context} context
 * @param {string} [arm] What `armKey` returns: of which arm's requests the list is.
 */
export function contextText({ time_of_day: time, season, device_type: device }, arm = '') {
  return [time, season, device ?? '', ...(arm && [arm])].join('|');
}

/** Return the arm of a stored context. @param {string | null} text */
export function armIn(text) {
  return (text ?? '').split('|')[3] ?? '';
}

/** Whether a stored context differs from the present one. An unknown device matches any. */
export function isOtherContext(text, now) {
  const [time, season, device] = (text ?? '').split('|');
  return time !== now.time_of_day || season !== now.season || (now.device_type !== null && device !== now.device_type);
}

function localTime(now, timeZone) {
  const parts = clockOf(timeZone).formatToParts(now);
  return Object.fromEntries(parts.map(({ type, value }) => [type, Number(value)]));
}

/** Return the formatter of a time zone. It is kept, because making one costs a hundred times what using it does. */
function clockOf(timeZone) {
  if (!clocks.has(timeZone)) {
    clocks.set(timeZone, new Intl.DateTimeFormat('en', { timeZone, hourCycle: 'h23', hour: 'numeric', month: 'numeric' }));
  }
  return clocks.get(timeZone);
}

function inverted(table) {
  return new Map(Object.entries(table).flatMap(([name, numbers]) => numbers.map((number) => [number, name])));
}
