/** The tables of a test's database, made by Python's migrations. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

import { PYTHON, REPOSITORY } from '../harness.js';

const PROGRAM = 'import sys; from recsys.store import connect, migrate\nwith connect(sys.argv[1]) as db: migrate(db)';

/**
 * Make the tables of an empty database.
 *
 * @param {string} url `mysql://…` or `sqlite:///path` of a file that exists.
 */
export async function migrate(url) {
  await promisify(execFile)(PYTHON, ['-c', PROGRAM, url.replace(/^mysql:/, 'mysql+pymysql:')], { cwd: REPOSITORY });
}
