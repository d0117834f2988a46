import { BaseError, ForeignKeyConstraintError, UniqueConstraintError, ValidationError } from 'sequelize';

const UNFIT = new Set(['ER_DATA_TOO_LONG', 'ER_TRUNCATED_WRONG_VALUE', 'ER_TRUNCATED_WRONG_VALUE_FOR_FIELD', 'ER_WARN_DATA_OUT_OF_RANGE', 'ER_BAD_NULL_ERROR']);
const DEADLOCKS = new Set(['ER_LOCK_DEADLOCK']);

/** Whether the row is there already. */
export function isDuplicate(error) {
  return error instanceof UniqueConstraintError;
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
