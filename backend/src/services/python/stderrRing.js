const RING_BYTES = 64 * 1024; // a few tracebacks; all that a flood leaves in memory
const TAIL_CHARACTERS = 4000; // what one error carries along
const WATCHDOG = /^Timeout \(/m; // how faulthandler begins its dump

// Terminal commands (colours, window titles); then control characters, line separators, and what turns the direction of text around.
const TERMINAL = /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|.?)/gs;
const UNPRINTABLE = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** The newest 64 KiB of a child's stderr. It is for people: nothing but the watchdog's mark is ever read from it. */
export class StderrRing {
  #ring = null;
  #end = 0;
  #seen = 0;

  /** Take the next bytes, over the oldest ones. */
  push(chunk) {
    this.#ring ??= Buffer.alloc(RING_BYTES);
    const kept = chunk.subarray(-RING_BYTES);
    const upToEdge = kept.copy(this.#ring, this.#end);
    kept.copy(this.#ring, 0, upToEdge);
    this.#end = (this.#end + kept.length) % RING_BYTES;
    this.#seen += chunk.length;
  }

  /** Bytes kept. */
  get bytes() {
    return Math.min(this.#seen, RING_BYTES);
  }

  /** Whether Python's watchdog has ended the process in the middle of something. */
  get hasTimeout() {
    return WATCHDOG.test(this.#text());
  }

  /** Return the end of it as one line, which can forge neither log lines nor colours; line ends show as \n. */
  tail() {
    return oneLine(this.#text()).slice(-TAIL_CHARACTERS);
  }

  #text() {
    if (this.#ring === null) return '';
    const newest = this.#ring.subarray(0, this.#end);
    return (this.#seen < RING_BYTES ? newest : Buffer.concat([this.#ring.subarray(this.#end), newest])).toString('utf8');
  }
}

function oneLine(text) {
  return text.replace(TERMINAL, '').replace(/\r\n?/g, '\n').replace(UNPRINTABLE, '').trimEnd().replaceAll('\n', '\\n');
}
