/**
 * The server under load: cached and new lists, for 1, 50 and 200 users at once and for 50 users at a rate, on SQLite and MariaDB.
 *
 *     node bench/load.js                                                  the shop of `make demo`: about five minutes
 *     node bench/load.js --json ../benchmarks/results/http.json           keep the figures; bench/page.js writes them into docs/PERFORMANCE.md
 *     node bench/load.js --shop tiny --quick                              a minute, on a tiny shop, to see that it runs
 *     node bench/load.js --only sqlite --seconds 30                       one database, longer
 *
 * It works on copies; the shop that the environment or `.env` names is not changed. Every answer is checked: status 200, errCode 0, the
 * requested length, no product twice, active products only, and a model's list is the one that is stored for this user. The exit status is
 * 1 if an answer was wrong, with --strict also if a target was missed.
 */
import { HELP } from './loading/help.js';

import { commandLine, refuse } from '../src/commandLine.js';
import { thenRemoved } from './loading/interrupted.js';
import { FULL, QUICK, measured } from './loading/measure.js';
import { circumstances, keep } from './loading/results.js';
import { KINDS, copiedShop, sourceShop } from './loading/shops.js';
import { terminal } from './loading/tables.js';
import { targets, total } from './loading/targets.js';

const values = commandLine(HELP, {
  shop: { type: 'string' },
  only: { type: 'string' },
  seconds: { type: 'string' },
  quick: { type: 'boolean', default: false },
  strict: { type: 'boolean', default: false },
  json: { type: 'string' },
});
const plan = { ...(values.quick ? QUICK : FULL) };
if (values.seconds !== undefined) plan.seconds = Number(values.seconds);
if (!(plan.seconds > 0)) refuse(`--seconds should be above 0. Received: ${values.seconds}.`);
if (![undefined, 'tiny'].includes(values.shop)) refuse(`--shop should be tiny, or left out for the shop of the environment or .env. Received: ${values.shop}.`);
if (![undefined, ...KINDS].includes(values.only)) refuse(`--only should be one of ${KINDS.join(', ')}. Received: ${values.only}.`);

const say = (message) => process.stderr.write(`${message}\n`);
const about = { ...circumstances(), quick: values.quick };
if (values.shop === 'tiny') say('Training a tiny shop, for ten seconds or so …');
const source = await sourceShop(values.shop, process.env).catch((error) => refuse(error.message));
const databases = {};
await thenRemoved(source, async () => {
  for (const kind of KINDS.filter((name) => [undefined, name].includes(values.only))) {
    const shop = await copiedShop(source, kind);
    if (shop.missing) say(`${kind} is left out: ${shop.missing}`);
    else databases[kind] = await thenRemoved(shop, () => measured(shop, plan, (message) => say(`${kind}: ${message}`)));
  }
});
const load = { ...about, shop: source.label, seconds: plan.seconds, databases };
if (values.json) keep(values.json, 'load', load);
process.stdout.write(`${terminal({ load })}\n`);
const loads = Object.values(databases).flatMap(({ cold, warm, thinking }) => [...Object.values(cold), ...Object.values(warm), thinking]);
for (const { words: messages } of loads) for (const message of messages) process.stdout.write(`  ${message}\n`);
const isWrong = loads.some((figures) => total(figures.wrong) > 0) || Object.values(databases).some(({ defects }) => defects.length > 0);
const isMissed = values.strict && targets({ load }).some(({ isMet }) => !isMet);
process.exitCode = isWrong || isMissed || Object.keys(databases).length === 0 ? 1 : 0;
