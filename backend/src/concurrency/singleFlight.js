/** Lets those who want the same thing at the same time share one attempt at it. */
export class SingleFlight {
  #flights = new Map();

  get size() {
    return this.#flights.size;
  }

  /**
   * Return the outcome of the attempt that is under way, or of a new one.
   *
   * @template T
   * @param {string} key What is wanted.
   * @param {() => Promise<T>} attempt
   * @returns {Promise<T>}
   */
  run(key, attempt) {
    const underWay = this.#flights.get(key);
    if (underWay !== undefined) return underWay;
    const flight = Promise.resolve().then(attempt);
    this.#flights.set(key, flight);
    const end = () => {
      if (this.#flights.get(key) === flight) this.#flights.delete(key);
    };
    flight.then(end, end);
    return flight;
  }

  /** Let the next one who wants it start anew: what is under way has been overtaken. */
  forget(key) {
    this.#flights.delete(key);
  }

  /** Forget all whose keys begin so. */
  forgetAll(prefix) {
    for (const key of this.#flights.keys()) if (key.startsWith(prefix)) this.#flights.delete(key);
  }
}
