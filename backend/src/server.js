/** The server: `startServer` builds it from settings, and as a script this file runs it until a signal. */
import { realpathSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import { createApp } from './app.js';
import { commandLine } from './commandLine.js';
import { connectDatabase } from './config/database.js';
import { checkIds, checkSources } from './config/mapping.js';
import { scrubbed } from './config/secrets.js';
import { SettingsError, VARIABLES, readSettings } from './config/settings.js';
import { httpServer, listening } from './httpServer.js';
import { hasPage } from './middlewares/page.js';
import { defineModels } from './models/index.js';
import { logger } from './monitoring/logging.js';
import { createMetrics } from './monitoring/metrics.js';
import { AdminService } from './services/adminService.js';
import { AnswerCounts } from './services/answerCounts.js';
import { AuthService } from './services/authService.js';
import { GuestEvents } from './services/guestEvents.js';
import { InteractionService } from './services/interactionService.js';
import { Passwords } from './services/passwords.js';
import { ProductService } from './services/productService.js';
import { createPool } from './services/pythonInvoker.js';
import { RecommendationService } from './services/recommendationService.js';
import { SalesReports } from './services/salesReport.js';
import { createSnapshot } from './services/recommendations/snapshot.js';
import { folderOf, waitingElsewhere } from './services/spool/databases.js';
import { openSpool } from './services/spool/spool.js';
import { Arms } from './services/tracking/arms.js';
import { ListEvents } from './services/tracking/listEvents.js';
import { VisitorHistory } from './services/visitorHistory.js';
import { END_MS, gracefulShutdown, shutdownSteps } from './shutdown.js';

/**
 * @import { AddressInfo } from 'node:net'
 * @import { Logger } from 'pino'
 * @import { Settings } from './config/settings.js'
 * @import { InteractionRecord } from './services/interactionService.js'
 * @import { PoolEvent } from './services/pythonInvoker.js'
 */

const EXIT = { failed: 1, settings: 78 }; // as Python's own exit statuses
const HELP = `Serve recommendations over HTTP: node src/server.js, without arguments. SIGTERM and SIGINT end it.

It reads these variables from the environment and from the repository's .env; README.md has more.

${Object.entries(VARIABLES).map(([name, { default: value, meaning }]) => `  ${name.padEnd(18)}${meaning}${value ? ` (${value})` : ''}`).join('\n')}

Its exit status is 0 after a signal, 1 after a failure (such as a port in use, or a failed step of the shutdown),
64 if the command line is wrong, 78 if a setting is wrong.
`;
/** @type {Set<string>} */
const ALARMS = new Set(['refused', 'version_refused', 'breaker_open', 'quarantined', 'down']); // events of the pool that an operator should see

/**
 * Start the server.
 *
 * @param {Settings} settings
 * @param {{environ?: Record<string, string | undefined>, log?: Logger}} [options] The Python processes get a part of the environment.
 * @returns {Promise<{address: AddressInfo, close: () => Promise<boolean>}>} `close` resolves to whether the shutdown succeeded.
 */
export async function startServer(settings, { environ = process.env, log = logger(settings) } = {}) {
  const sequelize = connectDatabase(settings, { log });
  const models = defineModels(sequelize, settings.cachePrefix);
  const snapshot = createSnapshot({ modelsDir: settings.modelsDir, log });
  const { spool, elsewhere } = await Promise.all([checkIds({ sequelize, snapshot }), checkSources({ sequelize, sources: settings.mapping.sources })])
    .then(() => spoolOf(settings, log))
    .catch(async (error) => {
      await sequelize.close();
      throw error;
    });
  /** @param {PoolEvent} event */
  const onEvent = ({ type, failure, ...facts }) => {
    log[ALARMS.has(type) ? 'warn' : 'debug']({ python: type, reason: failure?.reason, detail: failure?.detail, ...facts }, `python: ${type}`);
  };
  const python = createPool({ size: settings.python.size, python: settings.python.bin ?? undefined, env: environ, onEvent });
  const metrics = createMetrics({ python: () => python.stats(), spool: () => spool.stats(), elsewhere, published: () => snapshot.current() });
  const guests = new GuestEvents({ sequelize, models, log });
  const arms = new Arms({ experiment: settings.experiment, sequelize, log });
  const lists = new ListEvents({ sequelize, models, arms, log });
  const recommendations = new RecommendationService({
    ...{ sequelize, models, python, settings, snapshot, guests, metrics, arms, log },
    choicesOf: (owner) => interactions.choicesOf(owner),
  });
  const products = new ProductService({ sequelize, snapshot });
  /** @param {InteractionRecord} interaction */
  const onStored = ({ userId, guestId, actionCode }) => {
    if (guestId !== undefined) {
      guests.trim({ guestId, actionCode }).catch((error) => log.warn({ reason: error.message }, 'old events of a guest could not be deleted'));
    } else if (userId !== undefined && actionCode === 'purchase') { // the next list takes it into account
      recommendations.invalidateUser(userId).catch((error) => log.warn({ reason: error.message }, 'a list could not be invalidated'));
    }
  };
  const onJoined = (userId) => recommendations.invalidateUser(userId);
  /** @type {InteractionService} */
  const interactions = new InteractionService({ models, spool, guests, lists, onStored, onJoined, log });
  const history = new VisitorHistory({ sequelize, guests });
  const auth = new AuthService({ settings, models, passwords: new Passwords(), log });
  const answerCounts = new AnswerCounts({ sequelize, log });
  const admin = new AdminService({ sequelize, models, recommendations, snapshot, metrics, answerCounts, interactions, python, elsewhere });
  const sales = new SalesReports({ log, python: settings.python.bin ?? undefined, environ });
  let isClosing = false;
  const services = {
    ...{ settings, sequelize, models, python, snapshot, metrics, recommendations, products, interactions, arms, lists, history, elsewhere, auth, admin, sales, answerCounts, log },
    isClosing: () => isClosing,
  };
  const server = httpServer(createApp(services));
  const steps = shutdownSteps({ server, interactions, recommendations, answerCounts, python, sequelize });
  const close = () => {
    isClosing = true;
    guests.close();
    sales.close();
    return gracefulShutdown(steps, { log });
  };
  try {
    const address = await listening(server, settings);
    if (!(await hasPage(settings))) log.warn({ folder: settings.frontendDir }, 'no page is served: `npm run build` in frontend/ makes it');
    guests.start();
    answerCounts.start();
    interactions.start(); // not earlier: a start that fails must not touch the records that wait
    return { address, close };
  } catch (error) {
    await gracefulShutdown(steps.slice(1), { log });
    throw error;
  }
}

/**
 * Open the spool of this database, and log what waits for other databases.
 *
 * @param {Pick<Settings, 'spoolDir' | 'spoolMaxBytes' | 'databaseName'>} settings
 * @param {Logger} log
 * @param {typeof import('node:fs/promises')} [fs]
 */
export async function spoolOf({ spoolDir, spoolMaxBytes, databaseName }, log, fs = undefined) {
  try {
    const folder = await folderOf(spoolDir, databaseName, fs);
    const spool = await openSpool({ folder, maxBytes: spoolMaxBytes, log, fs });
    const elsewhere = () => waitingElsewhere(spoolDir, folder);
    for (const other of elsewhere()) {
      const advice =
        other.database === null
          ? `they do not say for which database; if it is ${databaseName}, stop and move the *.spool files into ${folder}`
          : 'start the backend with that database, or move the folder away';
      log.warn(other, `interactions wait that are left alone: ${advice}`);
    }
    return { spool, elsewhere };
  } catch (error) {
    if (error.syscall === undefined) throw error;
    throw new SettingsError(`SPOOL_DIR should be a folder that can be written to. Received: ${error.message}.`, { cause: error });
  }
}

async function main() {
  commandLine(HELP);
  const settings = readSettings(process.env);
  const log = logger(settings);
  const { address, close } = await startServer(settings, { log });
  /** @type {Promise<never> | null} */
  let ending = null;
  const end = (status) => {
    if (ending !== null) process.exit(EXIT.failed); // a second signal ends the process at once
    log.info('ending: no more requests are taken');
    const giveUp = () => {
      log.error(`the shutdown took longer than ${END_MS} ms`);
      process.exit(EXIT.failed);
    };
    setTimeout(giveUp, END_MS).unref();
    ending = close().then((isWell) => process.exit(isWell ? status : EXIT.failed));
  };
  for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => end(0));
  for (const defect of ['uncaughtException', 'unhandledRejection']) {
    process.on(defect, (error) => {
      log.fatal({ err: error }, defect);
      end(EXIT.failed);
    });
  }
  log.info({ address: address.address, port: address.port }, `listening on http://${settings.host}:${address.port}`);
}

function messageOf(error) {
  if (error instanceof SettingsError) return error.message;
  if (error.code === 'EADDRINUSE') return `PORT should be free. Received: ${error.port}, where another program listens already.`;
  if (['listen', 'getaddrinfo'].includes(error.syscall)) return `HOST and PORT should be an address of this machine that may be listened on. Received: ${error.message}.`;
  return error.stack;
}

const [, script] = process.argv;
if (script !== undefined && realpathSync(script) === fileURLToPath(import.meta.url)) {
  main().catch((error) => {
    process.stderr.write(`server: ${scrubbed(messageOf(error))}\n`);
    process.exit(error instanceof SettingsError ? EXIT.settings : EXIT.failed);
  });
}
