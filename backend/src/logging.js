/** The logger, which masks secrets. */
import pino from 'pino';

import { scrubbed } from './config/secrets.js';

const NAMES = ['password', 'token', 'authorization'];

/**
 * Return the logger of a process. Secrets are masked, also in errors of libraries.
 *
 * @param {{logLevel: string}} settings
 * @param {import('node:stream').Writable} [stream] Standard output, if left out.
 */
export function logger({ logLevel }, stream) {
  const redact = [...NAMES, ...NAMES.map((name) => `*.${name}`)];
  return pino({ level: logLevel, redact, formatters: { log: withoutSecrets }, serializers: { err: errorShown } }, stream);
}

/** Return an error as the log shows it: without the statement and its values, which Sequelize attaches. */
export function errorShown(error) {
  const thrown = error?.raw ?? error; // pino-http passes a copy
  if (!(thrown instanceof Error)) return error;
  const { name: type, code, message, stack = '' } = thrown;
  return { type, code, message: scrubbed(message), stack: scrubbed(stack) };
}

function withoutSecrets(fields) {
  return Object.fromEntries(Object.entries(fields).map(([name, field]) => [name, typeof field === 'string' ? scrubbed(field) : field]));
}
