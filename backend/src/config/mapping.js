/** Checks that the shop's mapping and ids fit the default schema, which this backend reads and writes. */
import { withinMs } from '../concurrency/time.js';
import { SettingsError } from './secrets.js';

/**
 * @import { Sequelize } from 'sequelize'
 * @import { Snapshot } from '../services/recommendations/snapshot.js'
 */

const CHECK_MS = 500; // the server starts without its database, too
const TABLES = ['Users', 'Products'];
const TEXT = /CHAR|TEXT|CLOB|BLOB|BINARY|UUID|ENUM/i;
const INTERACTIONS = { table: 'Interactions', user: 'userId', item: 'productId', event: 'actionCode', timestamp: 'timestamp' };
const PRODUCTS = { table: 'Products', id: 'id' };
const OWN_TABLES = 'the Python side serves such a shop by itself: recommend_api.py, or services/pythonInvoker.js in a backend of your own';

/**
 * Check that the mapping reads `Interactions` and `Products` of the default schema. More sources beside `Interactions`, and other columns
 * of `Products`, are allowed.
 *
 * @param {{shop?: any, sources?: unknown, products?: any}} toml The content of `recsys.toml`.
 * @throws {SettingsError} Training would not read the interactions stored here, or lists would name missing products.
 */
export function checkMapping({ shop, sources, products }) {
  if (shop?.preset !== undefined) throw needs('[shop]', 'the default schema and no `preset`', [{ table: `preset ${shop.preset}` }]);
  if (sources !== undefined && !listOf(sources).some((source) => reads(source, INTERACTIONS, ['since', 'one_user']))) {
    throw needs('[[sources]]', 'the table Interactions, with userId, productId, actionCode and timestamp, among them', listOf(sources));
  }
  if (products !== undefined && Object.keys(products).length > 0 && !reads(products, PRODUCTS, ['query'])) {
    throw needs('[products]', 'the table Products, with id', [products]);
  }
}

/**
 * Check that ids are whole numbers, as in tokens and requests. If the database does not answer, only the active version is checked.
 *
 * @param {{sequelize: Sequelize, snapshot: Snapshot}} services
 * @throws {SettingsError} Ids are text.
 */
export async function checkIds({ sequelize, snapshot }) {
  const version = await snapshot.current();
  if (version?.hasTextIds) throw textIdError(`the version ${version.name}`);
  const table = await withinMs(CHECK_MS, firstOfText(sequelize)).catch(() => null);
  if (table !== null) throw textIdError(`${table}.id`);
}

async function firstOfText(sequelize) {
  for (const table of TABLES) {
    const { id } = await sequelize.getQueryInterface().describeTable(table);
    if (TEXT.test(id?.type)) return table;
  }
  return null;
}

function textIdError(where) {
  return new SettingsError(`Ids of customers and products should be whole numbers, which this backend needs. Received: text, in ${where}; ${OWN_TABLES}.`);
}

function needs(where, expected, received) {
  const tables = received.map((source) => (typeof source?.table === 'string' ? source.table : 'SQL over other tables')).join(', ');
  return new SettingsError(`${where} of recsys.toml should have ${expected}, which this backend needs. Received: ${tables || 'none'}; ${OWN_TABLES}.`);
}

function listOf(sources) {
  return Array.isArray(sources) ? sources : [sources];
}

/** Whether a source reads a table: by the names of its columns, or in each of its SQL texts. */
function reads(source, names, texts) {
  if (texts.some((text) => text in Object(source))) {
    const read = new RegExp(`\\b(?:FROM|JOIN)\\s+[\`"]?${names.table}\\b`, 'i');
    return texts.every((text) => read.test(source[text]));
  }
  return Object.entries(names).every(([key, name]) => String(source?.[key]).toLowerCase() === name.toLowerCase());
}
