/** Both sides read the same DATABASE_URL the same way. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';

import { placeOf } from '../../src/config/databaseUrl.js';
import { PYTHON } from '../harness.js';

const REPOSITORY = fileURLToPath(new URL('../../../', import.meta.url));
const RESTS = [
  'root:pw@127.0.0.1:3307/shop',
  'root:pw@db/shop',
  'root:pw@/shop',
  'root@db/shop',
  'root:@db/shop',
  'root:p@ss@db/shop',
  'root:a:b@db/shop',
  'root:50%off@db/shop',
  'root:50%@db/shop',
  'root:p%5Bss%5D@db/shop',
  'root:p ss@db/shop',
  'root:pä密@db/shop',
  'root:p%C3%A4%e5%af%86@db/shop',
  'r%40t:%2F%23%3F%25%40%3A@db/shop',
  'root:pw@[::1]:3307/shop',
  'root@db:65535/shop',
  'root:pw@/shop?unix_socket=%2Frun%2Fmysqld.sock',
  // refused by both
  'root:hunter2/x@127.0.0.1:3306/db',
  'root:hun#ter2@127.0.0.1:3306/db',
  'root:hun?ter2@127.0.0.1:3306/db',
  'root:p[hunter2]@127.0.0.1/db',
  'root:pw@db:0/shop',
  'root:pw@db:65536/shop',
  'root:pw@db:port/shop',
  'root:pw@db',
  'root:pw@db/',
  'root:%ff@db/shop',
  'root:pw@d b/shop',
  'root:p\u0001w@db/shop',
];
const PROGRAM = `
import json, sys
from recsys.errors import SettingsError
from recsys.settings.database_url import DatabaseUrl

def read(text):
    try:
        url = DatabaseUrl.parse(text)
    except SettingsError:
        return None
    return [url.host, url.port, url.user, url.password.reveal(), url.name, url.revealed_options().get("unix_socket")]

print(json.dumps([read(text) for text in json.load(sys.stdin)]))
`;

function read(url) {
  try {
    const { host, port, user, password, name, socket } = placeOf(url);
    return [host, port, user, password, name, socket];
  } catch (error) {
    assert.equal(error.name, 'SettingsError');
    return null;
  }
}

test('a URL has the same parts in Python and in Node, or is refused by both', () => {
  const urls = ['mysql+pymysql', 'mariadb'].flatMap((scheme) => RESTS.map((rest) => `${scheme}://${rest}`));
  const options = { input: JSON.stringify(urls), encoding: 'utf8', cwd: REPOSITORY };
  const expected = JSON.parse(execFileSync(PYTHON, ['-X', 'utf8', '-c', PROGRAM], options));

  urls.forEach((url, index) => assert.deepEqual(read(url), expected[index], url));
  assert.equal(expected.filter((parts) => parts === null).length, 2 * 12);
});
