/** Checks that the shop's mapping and ids fit the default schema, which this backend reads and writes. */
import { ConnectionError, TimeoutError } from 'sequelize';

import { withinMs } from '../concurrency/time.js';
import { isOfDatabase } from './databaseErrors.js';
import { SettingsError } from './secrets.js';
import { bare, partsOf, sourcesOf } from './sources.js';

/**
 * @import { Sequelize } from 'sequelize'
 * @import { Source } from './sources.js'
 * @import { Snapshot } from '../services/recommendations/snapshot.js'
 */

const CHECK_MS = 500; // the server starts without its database, too
const TABLES = ['Users', 'Products'];
const TABLE = /\b(?:FROM|JOIN)\s+((?:[\p{L}\p{N}_$]+|"[^"]+"|`[^`]+`)(?:\s*\.\s*(?:[\p{L}\p{N}_$]+|"[^"]+"|`[^`]+`))*)/giu;
const TEXT = /CHAR|TEXT|CLOB|BLOB|BINARY|UUID|ENUM/i;
const INTERACTIONS = { table: 'Interactions', user: 'userId', item: 'productId', event: 'actionCode', timestamp: 'timestamp' };
const PRODUCTS = { table: 'Products', id: 'id' };
const OWN_TABLES = 'the Python side serves such a shop by itself: recommend_api.py, or services/pythonInvoker.js in a backend of your own';

/**
 * @typedef {object} Mapping What the backend reads of the shop's events.
 * @property {boolean} isPlain Whether `Interactions` is read without conditions and quantities.
 * @property {readonly Source[]} sources The others that may hold purchases or carts.
 */

/** @type {Readonly<Mapping>} */
export const DEFAULT_MAPPING = Object.freeze({ isPlain: true, sources: Object.freeze(/** @type {Source[]} */ ([])) });

/**
 * Check that the mapping reads `Interactions` and `Products` of the default schema. More sources beside `Interactions`, conditions on its
 * rows, and other columns of `Products`, are allowed.
 *
 * @param {{shop?: any, sources?: unknown, products?: any}} toml The content of `recsys.toml`.
 * @param {{file?: string, name?: string}} database What `placeOf` returns.
 * @returns {Mapping}
 * @throws {SettingsError} Training would not read the interactions stored here, or lists would name missing products.
 */
export function checkMapping({ shop, sources, products }, { file, name }) {
  const schema = file === undefined ? name : 'main';
  if (shop?.preset !== undefined) throw needs('[shop]', 'the default schema and no `preset`', [{ table: `preset ${shop.preset}` }]);
  if (sources !== undefined && !listOf(sources).some((source) => reads(source, INTERACTIONS, ['since', 'one_user'], schema))) {
    throw needs('[[sources]]', 'the table Interactions, with userId, productId, actionCode and timestamp, among them', listOf(sources));
  }
  if (products !== undefined && Object.keys(products).length > 0 && !reads(products, PRODUCTS, ['query'], schema)) {
    throw needs('[products]', 'the table Products, with id', [products]);
  }
  if (sources === undefined) return DEFAULT_MAPPING;
  const isPlain = (source) => reads(source, INTERACTIONS, [], schema) && !('where' in source) && !('quantity' in source);
  return { isPlain: listOf(sources).some(isPlain), sources: sourcesOf({ shop, sources }, file === undefined ? 'mysql' : 'sqlite', isPlain) };
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

/**
 * Check that the sources fit the shop's tables, as training does. If the database does not answer, they are not checked.
 *
 * @param {{sequelize: Sequelize, sources: readonly Source[]}} parts
 * @throws {SettingsError} A table or a column is missing, or a condition is no SQL.
 */
export async function checkSources({ sequelize, sources }) {
  for (const { name, sql, hasQuantities } of sources) {
    const columns = `e.user_id, e.item_id, e.event, e.timestamp, e.row_id${hasQuantities ? ', e.quantity' : ''}`;
    const read = sequelize.query(`SELECT ${columns} FROM (\n${sql}\n) e LIMIT 1`, { bind: { userId: 0 } });
    await withinMs(CHECK_MS, read).catch((error) => {
      if (!isOfDatabase(error) || error instanceof ConnectionError || error instanceof TimeoutError || !isOfStatement(error)) return;
      throw new SettingsError(`[[sources]] of recsys.toml (${name}) should fit the shop's tables. Received: ${error.message}.`, { cause: error });
    });
  }
}

/** Whether a statement was refused, and not the file or the account. */
function isOfStatement(error) {
  const { original } = error;
  return original?.code === 'SQLITE_ERROR' || original?.sqlState?.startsWith('42') === true;
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

/** Whether a source reads a table: by the names of its columns, or in each of its SQL texts. Its name may have the schema in front. */
function reads(source, names, texts, schema) {
  if (texts.some((text) => text in Object(source))) return texts.every((text) => tablesOf(source[text]).some((table) => isNamed(table, names.table, schema)));
  return Object.entries(names).every(([key, name]) => isNamed(source?.[key], name, key === 'table' ? schema : undefined));
}

function isNamed(name, expected, schema) {
  const [last, ...before] = (partsOf(name) ?? []).map((part) => part.toLowerCase()).reverse();
  return last === expected.toLowerCase() && (before.length === 0 || (before.length === 1 && before[0] === schema?.toLowerCase()));
}

/** Return the names after each FROM and JOIN of a text. */
function tablesOf(sql) {
  return [...bare(sql).matchAll(TABLE)].map(([, table]) => table.replace(/\s*\.\s*/g, '.'));
}
