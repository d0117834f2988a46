/** Lets one at a time do something, in the order in which they came. */
export class Mutex {
  #waiting = [];
  #isTaken = false;

  /**
   * Wait for one's turn.
   *
   * @param {number} limitMs How long at most: somebody who waits for himself would do so for ever.
   * @returns {Promise<() => void>} Ends the turn; a second time does nothing.
   */
  async take(limitMs) {
    if (this.#isTaken) await this.#queue(limitMs);
    this.#isTaken = true;
    let isOver = false;
    return () => {
      if (isOver) return;
      isOver = true;
      this.#pass();
    };
  }

  #queue(limitMs) {
    return new Promise((resolve, reject) => {
      const place = { resolve, timer: null };
      place.timer = setTimeout(() => {
        this.#waiting.splice(this.#waiting.indexOf(place), 1);
        reject(new Error(`The others should end their transactions within ${limitMs} ms. Received: one that is still open.`));
      }, limitMs);
      this.#waiting.push(place);
    });
  }

  #pass() {
    const next = this.#waiting.shift();
    if (next === undefined) {
      this.#isTaken = false;
      return;
    }
    clearTimeout(next.timer);
    next.resolve();
  }
}
