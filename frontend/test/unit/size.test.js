import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { MOST_BYTES, sizes } from '../../scripts/size.js';

const isBuilt = existsSync(new URL('../../dist/.vite/manifest.json', import.meta.url));

test('customers load at most 105 kB of script and style', { skip: isBuilt ? false : 'there is no build yet: npm run build' }, () => {
  const bySize = sizes();
  const names = Object.keys(bySize).join(' ');
  assert.match(names, /\.js\b.*\.css\b/);
  assert.doesNotMatch(names, /Admin/);
  const total = Object.values(bySize).reduce((sum, bytes) => sum + bytes, 0);
  assert.ok(total <= MOST_BYTES, `${total} bytes`);
});
