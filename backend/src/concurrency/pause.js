import { systemClock } from './clock.js';

/** A pause after a failure: while it lasts, nobody tries again and waits for another one. */
export class Pause {
  #ms;
  #clock;
  #until = -Infinity;

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
