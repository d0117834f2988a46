/** Draw every diagram of this folder as an SVG beside it. `npm run render` needs Chromium. */
import { writeFileSync } from 'node:fs';

import { CHROMIUM, NAMES, draw, withPage } from './drawing.js';

if (CHROMIUM === undefined) throw new Error('Drawing needs Chromium at /usr/bin/chromium, or where CHROMIUM says. Received: none.');
await withPage(async (page) => {
  for (const name of NAMES) writeFileSync(new URL(`${name}.svg`, import.meta.url), await draw(page, name));
});
