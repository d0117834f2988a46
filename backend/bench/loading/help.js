/** What a script says of itself: the comment at its top. Imported before anything else, so that with `--help` nothing else runs. */
import { readFileSync } from 'node:fs';

import { commandLine } from '../../src/commandLine.js';

const [comment] = /(?<=^\/\*\*\n).*?(?=^ \*\/)/ms.exec(readFileSync(process.argv[1], 'utf8'));

export const HELP = comment.replace(/^ \* ?/gm, '');

if (process.argv.slice(2).some((argument) => ['--help', '-h'].includes(argument))) commandLine(HELP);
