/** A process that moves a file away and back many times, and counts how often another one had been made in between. */
import { closeSync, existsSync, openSync, renameSync } from 'node:fs';

const MOVES = 800;
const AWAY_US = 2000;
const BACK_US = 2000;

const file = process.argv[2];
let n = 0;

function wait(microseconds) {
  const until = process.hrtime.bigint() + BigInt(Math.round(microseconds * 1000));
  while (process.hrtime.bigint() < until);
}

process.once('message', () => {
  for (let move = 0; move < MOVES; move += 1) {
    renameSync(file, `${file}.away`);
    wait(Math.random() * AWAY_US);
    n += Number(existsSync(file));
    renameSync(`${file}.away`, file);
    wait(Math.random() * BACK_US);
  }
  process.send({ n }, () => process.exit(0));
});

closeSync(openSync(file, 'a'));
process.send({ n });
