/**
 * The server under load: lists from the cache and new ones, for 1, 50 and 200 customers at once and for 50 who think, on SQLite and MariaDB.
 *
 *     node bench/load.js                                                  the shop of `make demo`: about five minutes
 *     node bench/load.js --json ../benchmarks/results/http.json           keep the figures; bench/page.js writes them into docs/PERFORMANCE.md
 *     node bench/load.js --shop tiny --quick                              a minute, on a tiny shop: does it run?
 *     node bench/load.js --only sqlite --seconds 30                       one database, longer
 *
 * It works on copies; the shop that the environment or `.env` names stays as it is. Every answer is checked: 200, errCode 0, as long as
 * asked for, nothing twice, nothing that is not sold, and a model's list is the one that is stored for this customer. It leaves with 1 if
 * one was wrong, with --strict also if a figure that is asked for was not reached.
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

const say = (words) => process.stderr.write(`${words}\n`);
const about = { ...circumstances(), quick: values.quick };
if (values.shop === 'tiny') say('Training a tiny shop, for ten seconds or so …');
const source = await sourceShop(values.shop, process.env).catch((error) => refuse(error.message));
const databases = {};
await thenRemoved(source, async () => {
  for (const kind of KINDS.filter((name) => [undefined, name].includes(values.only))) {
    const shop = await copiedShop(source, kind);
    if (shop.missing) say(`${kind} is left out: ${shop.missing}`);
    else databases[kind] = await thenRemoved(shop, () => measured(shop, plan, (words) => say(`${kind}: ${words}`)));
  }
});
const load = { ...about, shop: source.label, seconds: plan.seconds, databases };
if (values.json) keep(values.json, 'load', load);
process.stdout.write(`${terminal({ load })}\n`);
const wrong = Object.values(databases).flatMap(({ cold, warm, thinking }) => [...Object.values(cold), ...Object.values(warm), thinking]);
for (const { words } of wrong) for (const word of words) process.stdout.write(`  ${word}\n`);
const isWrong = wrong.some((figures) => total(figures.wrong) > 0) || Object.values(databases).some(({ defects }) => defects.length > 0);
const isMissed = values.strict && targets({ load }).some(({ isMet }) => !isMet);
process.exitCode = isWrong || isMissed || Object.keys(databases).length === 0 ? 1 : 0;
