import pino from 'pino';

import { scrubbed } from './config/secrets.js';

const NAMES = ['password', 'token', 'authorization'];

/**
 * Return the logger of a process. Whatever library has raised something: no secret gets through.
 *
 * @param {{logLevel: string}} settings
 * @param {import('node:stream').Writable} [stream] Standard output, if left out.
 */
export function logger({ logLevel }, stream) {
  const redact = [...NAMES, ...NAMES.map((name) => `*.${name}`)];
  return pino({ level: logLevel, redact, formatters: { log: withoutSecrets }, serializers: { err: errorShown } }, stream);
}

/** Return what the log tells of an error: not the statement and its values, which Sequelize hangs on it. */
export function errorShown(error) {
  const thrown = error?.raw ?? error; // pino-http hands over a copy
  if (!(thrown instanceof Error)) return error;
  const { name: type, code, message, stack = '' } = thrown;
  return { type, code, message: scrubbed(message), stack: scrubbed(stack) };
}

function withoutSecrets(facts) {
  return Object.fromEntries(Object.entries(facts).map(([name, fact]) => [name, typeof fact === 'string' ? scrubbed(fact) : fact]));
}
