/** Appends records until it is killed, and prints each acknowledged one's name: `spoolWriter.js FOLDER LIFE`. */
import { writeSync } from 'node:fs';

import pino from 'pino';

import { openSpool } from '../../src/services/spool/spool.js';

const [folder, life] = process.argv.slice(2);
const spool = await openSpool({ folder, maxBytes: 1 << 26, log: pino({ level: 'silent' }) });

for (let number = 0; ; number += 3) {
  const names = [number, number + 1, number + 2].map((one) => `${life}-${one}`);
  await Promise.all(names.map((name) => spool.append(name, { name }).then(() => writeSync(1, `${name}\n`))));
}
