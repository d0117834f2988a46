/** The help of a script: the comment at its top. Import this first, so that nothing else runs with `--help`. */
import { readFileSync } from 'node:fs';

import { commandLine } from '../../src/commandLine.js';

const [comment] = /(?<=^\/\*\*\n).*?(?=^ \*\/)/ms.exec(readFileSync(process.argv[1], 'utf8'));

export const HELP = comment.replace(/^ \* ?/gm, '');

if (process.argv.slice(2).some((argument) => ['--help', '-h'].includes(argument))) commandLine(HELP);
