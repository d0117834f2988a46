/**
 * A backend of its own for one database: `node process.js URL ask` answers 100 requests at once when a line comes, and says how often it
 * asked Python; `node process.js URL die` ends itself in the middle of storing a list.
 */
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';

import { connectDatabase } from '../../src/config/database.js';
import { defineModels } from '../../src/models/index.js';
import { FakePython, idsOf, serve } from './shop.js';

const COMPUTING_MS = 200; // so that the others come while it is under way
const [url, deed] = process.argv.slice(2);
const sequelize = connectDatabase({ databaseUrl: url });
const models = defineModels(sequelize);
const python = new FakePython([5, 4, 3, 2, 1]);
python.gate = sleep(COMPUTING_MS);
if (deed === 'die') {
  const { bulkCreate } = models.ModelRun;
  models.ModelRun.bulkCreate = async (...args) => {
    await bulkCreate.apply(models.ModelRun, args);
    process.kill(process.pid, 'SIGKILL');
  };
}
const { service } = serve({ sequelize, models }, { python, settings: { python: { timeoutMs: 20_000 } } });
await sequelize.authenticate();
process.stdout.write('ready\n');
await once(process.stdin, 'data');
python.gate = sleep(COMPUTING_MS);
const asking = Array.from({ length: deed === 'die' ? 1 : 100 }, () => service.listForUser(7, { limit: 5, budgetMs: 20_000 }));
const answers = await Promise.all(asking);
const lists = [...new Set(answers.map((answer) => `${idsOf(answer)} ${answer.fallbackReason}`))];
process.stdout.write(`${JSON.stringify({ computed: python.requests.length, lists })}\n`);
await service.close();
await sequelize.close();
process.exit(0);
