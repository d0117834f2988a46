/** Ids of answers, as the service gives them: impressions and clicks come back with one. */
import { createHash, randomUUID } from 'node:crypto';

import { NAMES, NO_LISTS } from '../../config/experiment.js';

const FALLBACK = 'fallback';
const OTHER = 'other';
const ALGORITHMS = new Set(NAMES.algorithms);
const DIGITS = 32; // of an interaction's id

/**
 * Return the id of one answer.
 *
 * @param {string} algorithm What ranked it; one that is not known counts as `other`.
 */
export function newRecommendationId(algorithm) {
  return `rec_${known(algorithm)}_${randomUUID().replaceAll('-', '')}`;
}

/** Return the algorithm that an id names; `other` where it names none that is known. */
export function algorithmOf(recommendationId) {
  const [, name = ''] = /^rec_(?:(.*)_)?[^_]*$/s.exec(recommendationId) ?? [];
  return known(name);
}

/**
 * Return what ranked an answer.
 *
 * @param {{data: {modelName: string}[], source: string, fallbackReason: string | null}} list
 */
export function algorithmOfList({ data, source, fallbackReason }) {
  if (source === NO_LISTS) return NO_LISTS;
  return fallbackReason === null ? (data[0]?.modelName ?? OTHER) : FALLBACK;
}

/**
 * Return the id of an event: of user and event id together, so that nobody can take another user's event ids.
 *
 * @param {string} userId
 * @param {string} eventId
 */
export function interactionId(userId, eventId) {
  const text = `${Buffer.byteLength(userId)}:${userId}${eventId}`;
  return `int_${createHash('sha256').update(text).digest('hex').slice(0, DIGITS)}`;
}

function known(algorithm) {
  const name = algorithm.toLowerCase();
  return ALGORITHMS.has(name) ? name : OTHER;
}
