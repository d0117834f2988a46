/** What lists have shown: each product of an answer is told to the server once, those of a moment together. */

const PAUSE_MS = 1000; // a row that scrolls is one event, not ten
const MOST_KNOWN = 5000; // products of answers that this page remembers

/**
 * @typedef {object} Place Where a product stood.
 * @property {string} recommendationId The answer.
 * @property {number} position In the answer, from 1.
 *
 * @typedef {object} Seen
 * @property {(productId: string, place: Place) => void} see Returns at once; tells later.
 * @property {() => void} flush Tells what waits.
 */

/**
 * @param {object} options
 * @param {(place: {recommendation_id: string, shown: {productId: string, position: number}[]}) => void} options.tell
 * @param {(action: () => void, ms: number) => any} [options.setTimer]
 * @param {(timer: any) => void} [options.clearTimer]
 * @returns {Seen}
 */
export function createSeen({ tell, setTimer = (action, ms) => setTimeout(action, ms), clearTimer = (timer) => clearTimeout(timer) }) {
  /** @type {Set<string>} answers and products */
  const known = new Set();
  /** @type {Map<string, {productId: string, position: number}[]>} by answer */
  const waiting = new Map();
  /** @type {any} */
  let timer = null;

  function flush() {
    clearTimer(timer);
    timer = null;
    const groups = [...waiting];
    waiting.clear();
    for (const [recommendationId, shown] of groups) tell({ recommendation_id: recommendationId, shown });
  }

  return {
    see(productId, { recommendationId, position }) {
      const key = `${recommendationId} ${productId}`;
      if (known.has(key)) return;
      if (known.size >= MOST_KNOWN) known.clear();
      known.add(key);
      waiting.set(recommendationId, [...(waiting.get(recommendationId) ?? []), { productId, position }]);
      timer ??= setTimer(flush, PAUSE_MS);
    },
    flush,
  };
}
