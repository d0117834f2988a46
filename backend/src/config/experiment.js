/** The table [experiments] of recsys.toml: two arms that are compared, as the Python side reads it. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';

import { SettingsError } from './secrets.js';

/**
 * @typedef {object} Arm How the customers of one arm are served.
 * @property {string} name
 * @property {number} share Of all customers, 0.01 to 0.99.
 * @property {string} model A scorer's name, `auto`, or `none` for no recommendations at all.
 * @property {number | null} limit The most products of a list; null leaves it to the request.
 * @property {Record<string, string | number | boolean>} request Further fields of each request to Python.
 *
 * @typedef {object} Experiment
 * @property {string} name Customers are assigned by it.
 * @property {Arm[]} arms Two.
 */

/** The names that this side shares with Python; a test compares them. */
export const NAMES = JSON.parse(readFileSync(new URL('./names.json', import.meta.url), 'utf8'));
/** The model of an arm whose customers get no recommendations at all. */
export const NO_LISTS = 'none';
export const AUTO = 'auto';

const KEYS = ['name', 'metric', 'planned_users', 'arms'];
const OF_THIS_SIDE = ['share', 'model', 'limit']; // other keys of an arm are fields of requests, with these values
/** @type {Record<string, unknown[]>} */
const FURTHER = { repeat: ['allow', 'hide'], complementary: [true, false] };
const SHORT_NAME = /^[A-Za-z0-9_-]{1,12}$/;
const ROUNDING = 1e-9;
const DIGITS = 6; // of a definition's hash

/**
 * Read the experiment; null where there is none. What concerns the report alone is checked by Python.
 *
 * @param {Record<string, any>} toml The content of `recsys.toml`, with whole numbers as BigInt.
 * @returns {Experiment | null}
 * @throws {SettingsError} A name or a value is not what it should be.
 */
export function readExperiment({ experiments }) {
  if (experiments === undefined) return null;
  checkKeys(experiments, KEYS, '[experiments]');
  const { name, arms } = experiments;
  checkName(name, '[experiments] `name`');
  check(isTable(arms) && Object.keys(arms).length === 2, '[experiments] `arms`', 'a table of two arms', arms);
  const [first, second] = Object.entries(arms).map(([armName, table]) => armOf(armName, table));
  const sum = first.share + second.share;
  check(sum <= 1 + ROUNDING, 'The `share` of both arms of [experiments]', 'numbers that sum to 1 or less', sum);
  check(described(first) !== described(second), 'The two arms of [experiments]', `different in one of ${NAMES.arm_keys.slice(1).join(', ')}`, 'two equal arms');
  return { name, arms: [first, second] };
}

/**
 * Return the beginning of what `rec_user_segments` keeps of a customer: the name, and a hash of arms and shares, as Python has it. After
 * a change of either it is another one.
 *
 * @param {Experiment} experiment
 */
export function definition({ name, arms }) {
  const rows = arms.map((arm) => [arm.name, arm.share, arm.model, arm.limit, ...Object.entries(arm.request).sort()]);
  return `${name}:${createHash('sha256').update(asPython(rows)).digest('hex').slice(0, DIGITS)}:`;
}

/** Return lists, texts and numbers as Python's `json.dumps` writes them. */
function asPython(value) {
  return Array.isArray(value) ? `[${value.map(asPython).join(', ')}]` : JSON.stringify(value);
}

/** @returns {Arm} */
function armOf(name, table) {
  const where = `[experiments.arms.${name}]`;
  checkName(name, `The name of ${where}`);
  checkKeys(table, NAMES.arm_keys, where);
  const { share, model = AUTO, limit = null } = table;
  check(typeof share === 'number' && share >= 0.01 && share <= 0.99, `${where} \`share\``, 'a number from 0.01 to 0.99', share);
  check([AUTO, NO_LISTS, ...NAMES.models].includes(model), `${where} \`model\``, `one of ${[AUTO, NO_LISTS, ...NAMES.models].join(', ')}`, model);
  check(limit === null || (typeof limit === 'bigint' && limit >= 1 && limit <= 100), `${where} \`limit\``, 'a whole number from 1 to 100', limit);
  const names = NAMES.arm_keys.filter((key) => !OF_THIS_SIDE.includes(key) && table[key] !== undefined);
  for (const key of names) check(FURTHER[key]?.includes(table[key]), `${where} \`${key}\``, `one of ${FURTHER[key]?.join(', ')}`, table[key]);
  return { name, share, model, limit: limit === null ? null : Number(limit), request: Object.fromEntries(names.map((key) => [key, table[key]])) };
}

/** Return how the customers of an arm are served, as text; without any list, nothing else counts. @param {Arm} arm */
function described({ model, limit, request: { repeat, complementary = false } }) {
  return model === NO_LISTS ? NO_LISTS : JSON.stringify([model, limit, repeat, complementary]);
}

function checkKeys(table, keys, where) {
  check(isTable(table), where, 'a table', table);
  const unknown = Object.keys(table).find((key) => !keys.includes(key));
  check(unknown === undefined, where, `a table with nothing but ${keys.join(', ')}`, unknown);
}

function checkName(name, what) {
  check(typeof name === 'string' && SHORT_NAME.test(name), what, '1 to 12 letters, digits, - or _', name);
}

function check(isGood, what, expected, received) {
  if (!isGood) throw new SettingsError(`${what} should be ${expected}. Received: ${received === undefined ? 'nothing' : shown(received)}.`);
}

function shown(value) {
  if (typeof value === 'string') return value.slice(0, 50);
  if (Number.isInteger(value)) return value.toFixed(1); // 3.0, as whole numbers are BigInt
  return String(JSON.stringify(value, (_key, one) => (typeof one === 'bigint' ? Number(one) : one))).slice(0, 50);
}

function isTable(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
