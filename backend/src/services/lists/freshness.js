const AHEAD_MS = 60_000; // how far machines' clocks may differ
const SWITCH_MS = 2000; // within which Python usually serves a version after it was activated
const LOAD_MS = 60_000; // within which it has loaded even a large one on a busy machine; it serves the old one meanwhile

/**
 * Return what a stored list is good for.
 *
 * @param {object} header Columns of rec_lists.
 * @param {object} wish
 * @param {number} wish.limit
 * @param {object} wish.context What `deriveContext` returns for now.
 * @param {Published | null} wish.published The active version; null where none is known.
 * @param {number} wish.now Milliseconds since 1970.
 * @param {{ttlS: number, staleS: number}} cache
 * @returns {'fresh' | 'stale' | 'miss'} Stale: may be answered while a new one is made.
 */
export function freshnessOf({ computedAt, asked, modelVersion, context }, wish, { ttlS, staleS }) {
  if (computedAt === 0 || asked < wish.limit) return 'miss';
  if (isOfAnotherVersion(modelVersion, computedAt, wish.published)) return 'miss';
  const age = wish.now - computedAt;
  if (age < -AHEAD_MS) return 'stale'; // a clock was turned back: nobody knows how old it is
  if (age >= 1000 * (ttlS + staleS)) return 'miss';
  const isPast = age >= 1000 * ttlS || isOtherContext(context, wish.context) || wasMadeWhileLoading(modelVersion, computedAt, wish);
  return isPast ? 'stale' : 'fresh';
}

/** Return a context as the table holds it. */
export function contextText({ time_of_day: time, season, device_type: device }) {
  return [time, season, device ?? ''].join('|');
}

/** A list that was made well after a version was activated is what Python serves now, whatever its name. */
function isOfAnotherVersion(modelVersion, computedAt, published) {
  return published !== null && modelVersion !== published.name && computedAt < published.activatedAt + SWITCH_MS;
}

/** What Python served while it loaded the version is good until the loading is over, and is renewed then; once, whatever it serves. */
function wasMadeWhileLoading(modelVersion, computedAt, { published, now }) {
  if (published === null || modelVersion === published.name) return false;
  const loadedAt = published.activatedAt + LOAD_MS;
  return computedAt < loadedAt && now >= loadedAt;
}

/** A device that is not known now is no other device. */
function isOtherContext(text, now) {
  const [time, season, device] = (text ?? '').split('|');
  return time !== now.time_of_day || season !== now.season || (now.device_type !== null && device !== now.device_type);
}
