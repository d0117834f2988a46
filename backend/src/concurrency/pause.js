import { systemClock } from './clock.js';

/** A pause after a failure, during which callers fail at once instead of trying again. */
export class Pause {
  #ms;
  #clock;
  #until = -Infinity;

  /** @param {number} ms How long it lasts, in milliseconds. */
  constructor(ms, clock = systemClock) {
    this.#ms = ms;
    this.#clock = clock;
  }

  get isOn() {
    return this.#clock.now() < this.#until;
  }

  begin() {
    this.#until = this.#clock.now() + this.#ms;
  }

  end() {
    this.#until = -Infinity;
  }
}
