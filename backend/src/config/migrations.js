/** Runs the migrations of the database, the same files as Python's. */
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { QueryTypes } from 'sequelize';

/** @import { Sequelize } from 'sequelize' */

/** The folder of the migrations, which Python runs, too. */
export const MIGRATIONS = fileURLToPath(new URL('../../../recsys/store/migrations/', import.meta.url));

const RECORD = `
CREATE TABLE IF NOT EXISTS rec_schema_migrations (
    name VARCHAR(191) NOT NULL PRIMARY KEY,
    applied_at {{datetime}} NOT NULL
) {{table}}
`;
// An earlier name of the record, which other programs use, too.
const TAKE_OVER = `
INSERT INTO rec_schema_migrations (name, applied_at) SELECT name, applied_at FROM schema_migrations WHERE name IN ($names)
`;
const COLUMNS = {
  sqlite: 'SELECT name FROM pragma_table_info($table)',
  mysql: 'SELECT column_name AS name FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = $table ORDER BY ordinal_position',
};
const TABLE = /^CREATE TABLE IF NOT EXISTS (\w+) \(\n(.*)\n\)/s;
const OF_THE_SHOP = '0001_shop.sql'; // a shop may have some of its tables already, with fewer columns
// Python takes the same lock.
const TAKE_LOCK_SQL = "SELECT GET_LOCK(CONCAT('recsys_', MD5(DATABASE())), 60)";
const RELEASE_LOCK_SQL = "SELECT RELEASE_LOCK(CONCAT('recsys_', MD5(DATABASE())))";
const INDEX_EXISTS = 'ER_DUP_KEYNAME';

/**
 * Run the migrations that the database lacks, in the order of their names. Node and Python share the record of the migrations.
 *
 * MySQL cannot undo CREATE. A migration that was interrupted is therefore run again from its start; all statements allow for this.
 *
 * @param {Sequelize} sequelize
 * @param {string} [folder]
 * @returns {Promise<string[]>} The names of the migrations that were run.
 * @throws {Error} Another table of the shop has the name of a table of recsys.
 */
export async function applyMigrations(sequelize, folder = MIGRATIONS) {
  const dialect = sequelize.getDialect();
  const words = JSON.parse(await readFile(path.join(folder, 'dialects.json'), 'utf8'))[dialect];
  const names = (await readdir(folder)).filter((name) => name.endsWith('.sql')).sort();
  const texts = await Promise.all(names.map((name) => readFile(path.join(folder, name), 'utf8')));
  return sequelize.transaction((transaction) => // on MySQL only to keep one connection, which holds the lock
    inTurn(sequelize, transaction, async () => {
      await beginRecord(sequelize, spelled(RECORD, words), names, transaction);
      const applied = [];
      for (const [index, name] of names.entries()) {
        if (await isApplied(sequelize, name, transaction)) continue;
        const statements = statementsOf(texts[index], words);
        if (name !== OF_THE_SHOP) for (const statement of statements) await refuseForeign(sequelize, statement, transaction);
        for (const statement of statements) await run(sequelize, statement, transaction);
        const sql = 'INSERT INTO rec_schema_migrations (name, applied_at) VALUES ($name, CURRENT_TIMESTAMP)';
        await sequelize.query(sql, { bind: { name }, type: QueryTypes.INSERT, transaction });
        applied.push(name);
      }
      return applied;
    }));
}

/** Return the statements of a migration in the words of a dialect. */
export function statementsOf(text, words) {
  const code = text
    .split('\n')
    .filter((line) => !line.trimStart().startsWith('--'))
    .join('\n');
  const pieces = code.split(/;[ \t]*(?:\n|$)/).map((piece) => piece.trim());
  return pieces.filter(Boolean).map((statement) => spelled(statement, words));
}

async function inTurn(sequelize, transaction, work) {
  if (sequelize.getDialect() !== 'mysql') return work();
  await sequelize.query(TAKE_LOCK_SQL, { transaction });
  try {
    return await work();
  } finally {
    await sequelize.query(RELEASE_LOCK_SQL, { transaction }).catch(() => {}); // a broken connection has released it
  }
}

/** Create the record of migrations where it is missing, and copy the rows of an older record. */
async function beginRecord(sequelize, statement, names, transaction) {
  await refuseForeign(sequelize, statement.trim(), transaction);
  if ((await columnsOf(sequelize, 'rec_schema_migrations', transaction)).length > 0) return;
  await sequelize.query(statement, { transaction });
  const older = await columnsOf(sequelize, 'schema_migrations', transaction);
  if (!['name', 'applied_at'].every((column) => older.includes(column))) return;
  const places = names.map((_, index) => `$name${index}`);
  const bind = Object.fromEntries(names.map((name, index) => [`name${index}`, name]));
  await sequelize.query(TAKE_OVER.replace('$names', places.join(', ')), { bind, type: QueryTypes.INSERT, transaction });
}

/** Refuse to share a table with another program. */
async function refuseForeign(sequelize, statement, transaction) {
  const [, table, body] = TABLE.exec(statement) ?? [];
  if (!table) return;
  const columns = await columnsOf(sequelize, table, transaction);
  const expected = body.split('\n').map((line) => line.trim().split(' ')[0]).filter((word) => word !== 'PRIMARY');
  const existing = new Set(columns.map((name) => name.toLowerCase()));
  if (columns.length === 0 || expected.every((name) => existing.has(name.toLowerCase()))) return;
  throw new Error(
    `The table ${table} should be recsys' own, with the columns ${expected.join(', ')}. Received: a table with ${columns.join(', ')}. ` +
      'Rename it, or let DATABASE_URL name another database.');
}

async function columnsOf(sequelize, table, transaction) {
  const rows = await sequelize.query(COLUMNS[sequelize.getDialect()], { bind: { table }, type: QueryTypes.SELECT, transaction });
  return rows.map(({ name }) => name);
}

async function isApplied(sequelize, name, transaction) {
  const sql = 'SELECT name FROM rec_schema_migrations WHERE name = $name';
  const rows = await sequelize.query(sql, { bind: { name }, type: QueryTypes.SELECT, transaction });
  return rows.length > 0;
}

async function run(sequelize, statement, transaction) {
  try {
    await sequelize.query(statement, { transaction });
  } catch (error) {
    const isLeftOver = error.parent?.code === INDEX_EXISTS && statement.startsWith('CREATE INDEX');
    if (!isLeftOver) throw error; // an interrupted run has left it, and MySQL has no CREATE INDEX IF NOT EXISTS
  }
}

function spelled(text, words) {
  return text.replace(/\{\{(\w+)\}\}/g, (_, word) => words[word]).trimEnd();
}
