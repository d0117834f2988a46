import { createHash } from 'node:crypto';

const SUM_CHARACTERS = 16; // of SHA-256: against torn and damaged lines, not against people
const LINE_FEED = 0x0a;

/** Return a record as one line: a checksum, a blank, and JSON. */
export function encodeRecord(record) {
  const text = JSON.stringify(record);
  return Buffer.from(`${sumOf(text)} ${text}\n`);
}

/**
 * Return the records of a segment. A line that was torn by a crash or damaged on the disk is left out and counted; a torn one was never
 * acknowledged.
 *
 * @param {Buffer} bytes
 * @returns {{records: object[], damaged: number}}
 */
export function decodeRecords(bytes) {
  const records = [];
  let damaged = 0;
  for (let start = 0; start < bytes.length; ) {
    const end = bytes.indexOf(LINE_FEED, start);
    const record = end < 0 ? null : recordIn(bytes.toString('utf8', start, end));
    if (record === null) damaged += 1;
    else records.push(record);
    start = end < 0 ? bytes.length : end + 1;
  }
  return { records, damaged };
}

function recordIn(line) {
  const text = line.slice(SUM_CHARACTERS + 1);
  return line.startsWith(`${sumOf(text)} `) ? JSON.parse(text) : null;
}

function sumOf(text) {
  return createHash('sha256').update(text).digest('hex').slice(0, SUM_CHARACTERS);
}
