import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { QueryTypes } from 'sequelize';

/** The files that Python runs, too: recsys/store/migrations. */
export const MIGRATIONS = fileURLToPath(new URL('../../../recsys/store/migrations/', import.meta.url));

const RECORD = `
CREATE TABLE IF NOT EXISTS schema_migrations (name VARCHAR(191) NOT NULL PRIMARY KEY, applied_at {{datetime}} NOT NULL) {{table}}
`;
// Python takes the same lock.
const TAKE_LOCK = "SELECT GET_LOCK(CONCAT('recsys_', MD5(DATABASE())), 60)";
const GIVE_LOCK = "SELECT RELEASE_LOCK(CONCAT('recsys_', MD5(DATABASE())))";
const INDEX_EXISTS = 'ER_DUP_KEYNAME';

/**
 * Run the migrations that the database has not seen, in order of their names; Python may have run some, and knows of those that run here.
 *
 * MySQL cannot undo CREATE, so that a migration which broke off is run again from its start; all its statements allow for it.
 *
 * @param {Sequelize} sequelize
 * @param {string} [folder]
 * @returns {Promise<string[]>} The names of those that were run; none the second time.
 */
export async function applyMigrations(sequelize, folder = MIGRATIONS) {
  const dialect = sequelize.getDialect();
  const words = JSON.parse(await readFile(path.join(folder, 'dialects.json'), 'utf8'))[dialect];
  const names = (await readdir(folder)).filter((name) => name.endsWith('.sql')).sort();
  const texts = await Promise.all(names.map((name) => readFile(path.join(folder, name), 'utf8')));
  return sequelize.transaction((transaction) => // on MySQL only for its connection, which holds the lock
    inTurn(sequelize, transaction, async () => {
      await sequelize.query(spelled(RECORD, words), { transaction });
      const applied = [];
      for (const [index, name] of names.entries()) {
        if (await isApplied(sequelize, name, transaction)) continue;
        for (const statement of statementsOf(texts[index], words)) await run(sequelize, statement, transaction);
        const sql = 'INSERT INTO schema_migrations (name, applied_at) VALUES ($name, CURRENT_TIMESTAMP)';
        await sequelize.query(sql, { bind: { name }, type: QueryTypes.INSERT, transaction });
        applied.push(name);
      }
      return applied;
    }));
}

/** Return the statements of a migration in a dialect's words. */
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
  await sequelize.query(TAKE_LOCK, { transaction });
  try {
    return await work();
  } finally {
    await sequelize.query(GIVE_LOCK, { transaction }).catch(() => {}); // a broken connection has given it back
  }
}

async function isApplied(sequelize, name, transaction) {
  const sql = 'SELECT name FROM schema_migrations WHERE name = $name';
  const rows = await sequelize.query(sql, { bind: { name }, type: QueryTypes.SELECT, transaction });
  return rows.length > 0;
}

async function run(sequelize, statement, transaction) {
  try {
    await sequelize.query(statement, { transaction });
  } catch (error) {
    const isLeftOver = error.parent?.code === INDEX_EXISTS && statement.startsWith('CREATE INDEX');
    if (!isLeftOver) throw error; // MySQL has no IF NOT EXISTS for an index that an interrupted run has left
  }
}

function spelled(text, words) {
  return text.replace(/\{\{(\w+)\}\}/g, (_, word) => words[word]).trimEnd();
}
