/**
 * The whole server under mixed traffic, while faults are injected: the server is killed, its workers are killed, stopped and delayed, its
 * database is cut off, versions change, and products are sold out. This is fault F64.
 *
 *     node bench/soak.js                                             half an hour on SQLite, half an hour on MariaDB
 *     node bench/soak.js    --minutes 2 --only mariadb               one database, briefly; with --json, the other's figures stay
 *     node bench/soak.js    --json ../benchmarks/results/http.json   keep the summary; bench/page.js writes it into docs/PERFORMANCE.md
 *
 * --seed, a whole number (1), decides what happens and when. The exit status is 1 if there was a violation. Python is found as for the
 * repository's tests.
 */
import { HELP } from './loading/help.js';

import { commandLine, refuse } from '../src/commandLine.js';
import { seeded } from '../test/fakes.js';
import { TinyShop } from '../test/tinyShop.js';
import { thenRemoved } from './loading/interrupted.js';
import { progress } from './loading/progress.js';
import { circumstances, keep, kept } from './loading/results.js';
import { KINDS, copiedShop, tinySource } from './loading/shops.js';
import { soak } from './loading/soak.js';
import { terminal } from './loading/tables.js';
import { PASSWORD, addressOf } from './loading/traffic.js';

const values = commandLine(HELP, {
  minutes: { type: 'string', default: '30' },
  seed: { type: 'string', default: '1' },
  only: { type: 'string' },
  json: { type: 'string' },
});
const durationMs = 60_000 * Number(values.minutes);
const seed = Number(values.seed);
if (!(durationMs > 0) || !Number.isInteger(seed) || ![undefined, ...KINDS].includes(values.only)) {
  const received = `${values.minutes}, ${values.seed}, ${values.only}`;
  refuse(`--minutes should be above 0, --seed a whole number, --only one of ${KINDS.join(', ')}. Received: ${received}.`);
}

const about = circumstances();
process.stdout.write('Training a tiny shop, for ten seconds or so …\n');
const tiny = await TinyShop.make();
const databases = {};
await thenRemoved(tiny, async () => {
  const versions = [(await tiny.publisher('publish')).version, tiny.current];
  for (const kind of KINDS.filter((name) => [undefined, name].includes(values.only))) {
    const shop = await copiedShop(tinySource(tiny), kind);
    if (shop.missing) process.stdout.write(`${kind} is left out: ${shop.missing}\n`);
    else databases[kind] = await thenRemoved(shop, () => soaked(shop, versions));
  }
});
const summary = { ...about, shop: 'a tiny shop', seed, databases };
const others = values.only && values.json ? kept(values.json).soak?.databases : {};
if (values.json) keep(values.json, 'soak', { ...summary, databases: { ...others, ...databases } });
process.stdout.write(`\n${terminal({ soak: summary })}\n`);
for (const { words: messages } of Object.values(databases)) for (const message of messages) process.stdout.write(`  ${message}\n`);
const isClean = Object.values(databases).every(({ violations }) => Object.keys(violations).length === 0);
process.exitCode = isClean && Object.keys(databases).length > 0 ? 0 : 1;

async function soaked(shop, versions) {
  await shop.openAccounts(PASSWORD, addressOf);
  return soak(shop, { tiny, versions, durationMs, random: seeded(seed), onLook: progress(durationMs) });
}
