import { BaseError, ForeignKeyConstraintError, UniqueConstraintError, ValidationError } from 'sequelize';

const BY_TRIGGER = 'SQLITE_CONSTRAINT_TRIGGER'; // to Sequelize it is a duplicate
const UNFIT = new Set([
  'ER_DATA_TOO_LONG',
  'ER_TRUNCATED_WRONG_VALUE',
  'ER_TRUNCATED_WRONG_VALUE_FOR_FIELD',
  'ER_WARN_DATA_OUT_OF_RANGE',
  'ER_BAD_NULL_ERROR',
  'WARN_DATA_TRUNCATED',
  'ER_NO_DEFAULT_FOR_FIELD',
  'ER_SIGNAL_EXCEPTION',
  'ER_CHECK_CONSTRAINT_VIOLATED',
  'ER_INNODB_AUTOEXTEND_SIZE_OUT_OF_RANGE', // 4025, as mysql2 names it: to MariaDB it is ER_CONSTRAINT_FAILED, and no row meets MySQL's
  'SQLITE_CONSTRAINT_NOTNULL',
  'SQLITE_CONSTRAINT_CHECK',
  BY_TRIGGER,
]);
const DEADLOCKS = new Set(['ER_LOCK_DEADLOCK']);

/** Whether the row is there already. */
export function isDuplicate(error) {
  return error instanceof UniqueConstraintError && codeOf(error) !== BY_TRIGGER;
}

/** Whether the row itself is at fault, so that it would fail at any other time, too. */
export function isRowsFault(error) {
  return error instanceof ForeignKeyConstraintError || (error instanceof ValidationError && !isDuplicate(error)) || UNFIT.has(codeOf(error));
}

/** Whether the database has undone one of two transactions that waited for each other: the same again passes. */
export function isDeadlock(error) {
  return DEADLOCKS.has(codeOf(error));
}

/** Whether it was the database that failed, and not this program. */
export function isOfDatabase(error) {
  return error instanceof BaseError;
}

function codeOf(error) {
  return error?.original?.code ?? error?.parent?.code ?? error?.code;
}
