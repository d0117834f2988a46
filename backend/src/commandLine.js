import { parseArgs } from 'node:util';

const USAGE = 64; // the exit status of a wrong command line, as on the Python side

/**
 * Return the options of a program's command line. `--help` prints the help and exits with 0. An unknown option prints one line and exits
 * with 64.
 *
 * @param {string} help
 * @param {import('node:util').ParseArgsConfig['options']} [options]
 * @returns {Record<string, string | boolean | undefined>}
 */
export function commandLine(help, options = {}) {
  let values;
  try {
    ({ values } = parseArgs({ options: { ...options, help: { type: 'boolean', short: 'h' } } }));
  } catch (error) {
    refuse(error.message.split('\n', 1)[0].replace(/\.?$/, '.'));
  }
  if (values.help) {
    process.stdout.write(`${help.trim()}\n`);
    process.exit(0);
  }
  return values;
}

/**
 * Print why the command line is wrong, and exit with 64.
 *
 * @param {string} why
 * @returns {never}
 */
export function refuse(why) {
  process.stderr.write(`${why} --help says more.\n`);
  process.exit(USAGE);
}
