/** Why an answer is not a model's: what may happen has a reason in a word of a closed set, which answers tell and metrics count. */
import { TooLate } from '../../concurrency/withinMs.js';
import { PythonBridgeError } from '../python/failures.js';

/** The database did not do what was asked, in time or at all. */
export class DatabaseAway extends Error {
  name = 'DatabaseAway';
  reason = 'database_unavailable';
}

/** Python has answered, but with nothing that could be shown. */
export class NothingToShow extends Error {
  name = 'NothingToShow';
  reason = 'empty_answer';
}

/** Return the reason of an error; a defect of this program has none, and is thrown on. */
export function reasonOf(error) {
  if (error instanceof TooLate) return 'deadline';
  if ([PythonBridgeError, NothingToShow, DatabaseAway].some((kind) => error instanceof kind)) return error.reason;
  throw error;
}
