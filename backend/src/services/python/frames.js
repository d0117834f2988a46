const LF = 0x0a;
const NOTHING = Buffer.alloc(0);
const FIRST_BYTES = 4096; // an answer of ten items; it doubles from there

/**
 * Cuts a stream of bytes into lines at 0x0A and nowhere else.
 *
 * `node:readline` is no substitute: newer Nodes also split at U+2028, and no Node caps a line.
 */
export class LineSplitter {
  #maxBytes;
  #onLine;
  #held = NOTHING;
  #bytes = 0;
  #overflowed = false;

  /**
   * @param {number} maxBytes The longest line, its line end not counted.
   * @param {(line: Buffer) => void} onLine Gets each line without its line end.
   */
  constructor(maxBytes, onLine) {
    this.#maxBytes = maxBytes;
    this.#onLine = onLine;
  }

  /**
   * Take the next bytes of the stream.
   *
   * @param {Buffer} chunk
   * @returns {boolean} False once a line is too long: it is forgotten, and nothing after it is looked at.
   */
  push(chunk) {
    let start = 0;
    for (let end = chunk.indexOf(LF); end !== -1; end = chunk.indexOf(LF, start)) {
      if (!this.#fits(end - start)) return false;
      const piece = chunk.subarray(start, end);
      this.#onLine(this.#bytes === 0 ? piece : this.#joined(piece));
      start = end + 1;
    }
    return this.#fits(chunk.length - start) && this.#hold(chunk.subarray(start));
  }

  /** Return the bytes after the last line end, and forget them. */
  rest() {
    return this.#joined(NOTHING);
  }

  /** Bytes held back because their line has not ended. */
  get pendingBytes() {
    return this.#bytes;
  }

  #fits(more) {
    this.#overflowed ||= this.#bytes + more > this.#maxBytes;
    if (this.#overflowed) this.#joined(NOTHING);
    return !this.#overflowed;
  }

  #hold(piece) {
    const needed = this.#bytes + piece.length;
    if (needed > this.#held.length) {
      const larger = Buffer.allocUnsafe(Math.max(needed, Math.min(2 * this.#held.length, this.#maxBytes), FIRST_BYTES));
      this.#held.copy(larger, 0, 0, this.#bytes);
      this.#held = larger;
    }
    piece.copy(this.#held, this.#bytes);
    this.#bytes = needed;
    return true;
  }

  #joined(piece) {
    this.#hold(piece);
    const line = this.#held.subarray(0, this.#bytes);
    this.#held = NOTHING; // the line's bytes are its reader's now
    this.#bytes = 0;
    return line;
  }
}
