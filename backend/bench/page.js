/**
 * Generates the part of docs/PERFORMANCE.md with the figures of bench/load.js and bench/soak.js.
 *
 *     node bench/page.js            write it
 *     node bench/page.js --check    change nothing; exit with 1 if the page differs
 */
import { HELP } from './loading/help.js';

import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import { commandLine } from '../src/commandLine.js';
import { kept } from './loading/results.js';
import { page } from './loading/tables.js';

const PAGE = fileURLToPath(new URL('../../docs/PERFORMANCE.md', import.meta.url));

const values = commandLine(HELP, { check: { type: 'boolean', default: false } });
const before = readFileSync(PAGE, 'utf8');
const after = page(before, kept());
if (!values.check) writeFileSync(PAGE, after);
else {
  process.stdout.write(after === before ? 'PERFORMANCE.md says what was measured over HTTP.\n' : 'PERFORMANCE.md should be made again: node bench/page.js\n');
  process.exitCode = Number(after !== before);
}
