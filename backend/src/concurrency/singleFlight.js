/** Lets callers that need the same result at the same time share one computation. */
export class SingleFlight {
  #flights = new Map();

  get size() {
    return this.#flights.size;
  }

  /**
   * Return the result of the computation that is under way, or of a new one.
   *
   * @template T
   * @param {string} key Identifies the result.
   * @param {() => Promise<T>} compute
   * @returns {Promise<T>}
   */
  run(key, compute) {
    const underWay = this.#flights.get(key);
    if (underWay !== undefined) return underWay;
    const flight = Promise.resolve().then(compute);
    this.#flights.set(key, flight);
    const end = () => {
      if (this.#flights.get(key) === flight) this.#flights.delete(key);
    };
    flight.then(end, end);
    return flight;
  }

  /** Have the next caller start a new computation: the one under way is outdated. */
  forget(key) {
    this.#flights.delete(key);
  }

  /** Do so for all keys with a prefix. */
  forgetAll(prefix) {
    for (const key of this.#flights.keys()) if (key.startsWith(prefix)) this.#flights.delete(key);
  }
}
