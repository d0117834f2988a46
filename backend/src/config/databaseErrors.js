/** What went wrong in the database, from the errors of Sequelize and the codes of the drivers. */
import { BaseError, ConnectionError, ForeignKeyConstraintError, UniqueConstraintError, ValidationError } from 'sequelize';

const BY_TRIGGER = 'SQLITE_CONSTRAINT_TRIGGER'; // Sequelize takes it for a duplicate
const ROW_ERRORS = new Set([
  'ER_DATA_TOO_LONG',
  'ER_TRUNCATED_WRONG_VALUE',
  'ER_TRUNCATED_WRONG_VALUE_FOR_FIELD',
  'ER_WARN_DATA_OUT_OF_RANGE',
  'ER_BAD_NULL_ERROR',
  'WARN_DATA_TRUNCATED',
  'ER_NO_DEFAULT_FOR_FIELD',
  'ER_SIGNAL_EXCEPTION',
  'ER_CHECK_CONSTRAINT_VIOLATED',
  'ER_INNODB_AUTOEXTEND_SIZE_OUT_OF_RANGE', // mysql2's name of code 4025, MariaDB's ER_CONSTRAINT_FAILED; no row causes MySQL's own 4025
  'SQLITE_CONSTRAINT_NOTNULL',
  'SQLITE_CONSTRAINT_CHECK',
  BY_TRIGGER,
]);
const DEADLOCKS = new Set(['ER_LOCK_DEADLOCK']);

/** Whether the row exists already. */
export function isDuplicate(error) {
  return error instanceof UniqueConstraintError && codeOf(error) !== BY_TRIGGER;
}

/** Whether the row itself is at fault, so that a later attempt would fail, too. */
export function isRowsFault(error) {
  return error instanceof ForeignKeyConstraintError || (error instanceof ValidationError && !isDuplicate(error)) || ROW_ERRORS.has(codeOf(error));
}

/** Whether a table is missing that the migrations make. */
export function isMissingTable(error) {
  if (codeOf(error) === 'ER_BAD_DB_ERROR') return !(error instanceof ConnectionError); // of `own_tables`, in MySQL 8
  return codeOf(error) === 'ER_NO_SUCH_TABLE' || (isOfDatabase(error) && error.message.includes('no such table'));
}

/** Do something, and once more if it was rolled back because of a deadlock: the other transaction has committed by then. */
export async function retriedAfterDeadlock(work) {
  try {
    return await work();
  } catch (error) {
    if (!DEADLOCKS.has(codeOf(error))) throw error;
    return work();
  }
}

/** Whether the database failed, rather than this program. */
export function isOfDatabase(error) {
  return error instanceof BaseError;
}

function codeOf(error) {
  return error?.original?.code ?? error?.parent?.code ?? error?.code;
}
