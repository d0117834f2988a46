/**
 * A pool under steady requests while its workers are killed, stopped and sent garbage, and versions change: fault F64.
 *
 *     node bench/soak.js                                   half an hour
 *     node bench/soak.js --minutes 2 --json soak.json      two minutes, the summary also as JSON
 *
 * --seed, a whole number (1), decides what happens and when. The exit status is 1 if anything that must hold did not.
 * Python is found as for the repository's own tests.
 */
import { HELP } from './loading/help.js';

import { writeFileSync } from 'node:fs';
import os from 'node:os';

import { commandLine, refuse } from '../src/commandLine.js';
import { seeded } from '../test/fakes.js';
import { TinyShop } from '../test/tinyShop.js';
import { progress, table } from './poolSoak/report.js';
import { soak } from './poolSoak/soak.js';

const values = commandLine(HELP, {
  minutes: { type: 'string', default: '30' },
  seed: { type: 'string', default: '1' },
  json: { type: 'string' },
});
const minutes = Number(values.minutes);
const seed = Number(values.seed);
if (!(minutes > 0) || !Number.isInteger(seed)) {
  refuse(`--minutes should be above 0, and --seed a whole number. Received: ${values.minutes}, ${values.seed}.`);
}

process.stdout.write('Training a tiny shop, which takes about ten seconds …\n');
const shop = await TinyShop.make();
try {
  const durationMs = 60_000 * minutes;
  const results = await soak(shop, { durationMs, random: seeded(seed), onLook: progress(durationMs) });
  const machine = `${os.type()} ${os.arch()}, ${os.availableParallelism()} processors, Node ${process.versions.node}`;
  const summary = { minutes, seed, machine, ...results };
  process.stdout.write(`\n${table(summary)}\n`);
  if (values.json) writeFileSync(values.json, `${JSON.stringify(summary, null, 2)}\n`);
  process.exitCode = Object.keys(summary.violations).length === 0 ? 0 : 1;
} finally {
  shop.remove();
}
