import { withinMs } from '../concurrency/withinMs.js';
import { SettingsError } from './settingsError.js';

const LOOK_MS = 500; // the server starts without its database, too
const TABLES = ['Users', 'Products'];
const TEXT = /CHAR|TEXT|CLOB|BLOB|BINARY|UUID|ENUM/i;
const INTERACTIONS = { table: 'Interactions', user: 'userId', item: 'productId', event: 'actionCode', timestamp: 'timestamp' };
const PRODUCTS = { table: 'Products', id: 'id' };
const OWN_TABLES = 'the Python side serves such a shop by itself: recommend_api.py, or services/pythonInvoker.js in a backend of your own';

/**
 * Make sure that a shop's mapping reads the tables that this backend reads and writes: those of the default schema. More sources beside
 * `Interactions` are welcome, and so are other columns of `Products`.
 *
 * @param {object} toml What `recsys.toml` holds.
 * @throws {SettingsError} What customers do here would be read by nobody, or lists would name products that are not there.
 */
export function checkMapping({ sources, products }) {
  if (sources !== undefined && !listOf(sources).some((source) => reads(source, INTERACTIONS, ['since', 'one_user']))) {
    throw needs('[[sources]]', 'the table Interactions, with userId, productId, actionCode and timestamp, among them', listOf(sources));
  }
  if (products !== undefined && Object.keys(products).length > 0 && !reads(products, PRODUCTS, ['query'])) {
    throw needs('[products]', 'the table Products, with id', [products]);
  }
}

/**
 * Make sure that ids are whole numbers, as those of the default schema. A database that is away is believed: the active version says it, too.
 *
 * @param {{sequelize: object, snapshot: object}} services
 * @throws {SettingsError} Tokens name customers by numbers, and so do requests.
 */
export async function checkIds({ sequelize, snapshot }) {
  const version = await snapshot.current();
  if (version?.hasTextIds) throw textIn(`the version ${version.name}`);
  const table = await withinMs(LOOK_MS, firstOfText(sequelize)).catch(() => null);
  if (table !== null) throw textIn(`${table}.id`);
}

async function firstOfText(sequelize) {
  for (const table of TABLES) {
    const { id } = await sequelize.getQueryInterface().describeTable(table);
    if (TEXT.test(id?.type)) return table;
  }
  return null;
}

function textIn(where) {
  return new SettingsError(`Ids of customers and products should be whole numbers, which this backend needs. Received: text, in ${where}; ${OWN_TABLES}.`);
}

function needs(where, expected, received) {
  const tables = received.map((source) => (typeof source?.table === 'string' ? source.table : 'SQL over other tables')).join(', ');
  return new SettingsError(`${where} of recsys.toml should have ${expected}, which this backend needs. Received: ${tables || 'none'}; ${OWN_TABLES}.`);
}

function listOf(sources) {
  return Array.isArray(sources) ? sources : [sources];
}

/** Whether a source reads a table: by its names, or in each of its SQL texts. */
function reads(source, names, texts) {
  if (texts.some((text) => text in Object(source))) {
    const read = new RegExp(`\\b(?:FROM|JOIN)\\s+[\`"]?${names.table}\\b`, 'i');
    return texts.every((text) => read.test(source[text]));
  }
  return Object.entries(names).every(([key, name]) => String(source?.[key]).toLowerCase() === name.toLowerCase());
}
