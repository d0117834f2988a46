/** The commands of README.md that ask a server: a shell runs them against the application. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { promisify } from 'node:util';

import bcrypt from '@node-rs/bcrypt';

import { ANSWER, stage } from './stage.js';

const PAGE = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
const COMMANDS = PAGE.match(/^ {4}token=\$\(curl(?:.|\n {4})+/m)[0];
const EMAIL = 'lan@shop.example';

test('the login and the list of README.md work in a shell', async (t) => {
  const password = COMMANDS.match(/"password": "([^"]+)"/)[1];
  const user = { id: 7, email: EMAIL, password: bcrypt.hashSync(password, 4), roleId: 'R2', statusId: 'S1' };
  const { app, asked } = stage({ users: new Map([[7, user]]) });
  const server = app.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());

  const commands = COMMANDS.replaceAll('localhost:6969', `127.0.0.1:${server.address().port}`).replace('…', EMAIL);
  const { stdout } = await promisify(execFile)('bash', ['-euc', commands]);

  assert.deepEqual(JSON.parse(stdout).data, ANSWER.data);
  assert.deepEqual(asked, [['listForUser', user.id, { limit: 3, device: null }]]);
});
