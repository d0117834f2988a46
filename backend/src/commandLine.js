import { parseArgs } from 'node:util';

const USAGE = 64; // as Python's own: the command line is at fault

/**
 * Return the options of a program's command line. `--help` prints the help and ends with 0, what is not known is told in one line and ends
 * with 64; neither does anything else.
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

/** End because of the command line, and say why. */
export function refuse(why) {
  process.stderr.write(`${why} --help says more.\n`);
  process.exit(USAGE);
}
