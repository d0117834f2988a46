/** The shop's sources of events as SQL: the blocks of `recsys.toml`, read as recsys/store/shop_mapping.py reads them. */
import { SettingsError } from './secrets.js';
import { kindOf } from './toml.js';

/**
 * @typedef {object} Source Where the shop keeps events, but for `Interactions` as the default schema has it.
 * @property {string} name Its table, for messages.
 * @property {string} sql Selects `user_id, item_id, event, timestamp, row_id` of the user `$userId`.
 * @property {boolean} hasQuantities Whether it selects `quantity`, too.
 */

const PART = String.raw`(?:[\p{L}\p{N}_$\-]+|"(?:[^"\x00-\x1f]|"")+"|${'`(?:[^`\\x00-\\x1f]|``)+`'})`; // bare, or in the quotes of SQL
const NAME = new RegExp(String.raw`^(?!\p{Nd}+(?:\.|$))${PART}(?:\.${PART})*$`, 'u');
const PARTS = /"((?:[^"]|"")+)"|`((?:[^`]|``)+)`|([^."`]+)/g;
const NAMES = ['table', 'user', 'item', 'timestamp', 'event', 'rating', 'row_id', 'event_id'];
const CONDITIONS = ['purchase_when', 'returned_when']; // of purchases
const TEXTS = ['event_name', 'quantity', 'where', ...CONDITIONS];
const NO_COLUMNS = new Set(['true', 'false', 'null']);
const KINDS = ['event', 'event_name', 'rating']; // what tells the event of a row; there is exactly one
const DEFAULT_TABLES = new Set(['Interactions', 'Comments']); // whose names are never quoted
const COMMENT = String.raw`/\*[^]*?\*/`;
const OPAQUE = {
  mysql: String.raw`'(?:[^'\\]|''|\\[^])*'|"(?:[^"\\]|""|\\[^])*"|${'`[^`]*`'}|--(?=\s|$)[^\n]*|#[^\n]*|${COMMENT}`,
  sqlite: String.raw`'(?:[^']|'')*'|"(?:[^"]|"")*"|${'`[^`]*`'}|--[^\n]*|${COMMENT}`,
};

/**
 * Return the parts of a name of `recsys.toml`, without their quotes.
 *
 * @param {unknown} name Such as `shop.orders`, `wp-orders` or `"our orders"`.
 * @returns {string[] | null} Null for what is no name.
 */
export function partsOf(name) {
  if (typeof name !== 'string' || !NAME.test(name)) return null;
  return [...name.matchAll(PARTS)].map(([, double, back, plain]) => double?.replaceAll('""', '"') ?? back?.replaceAll('``', '`') ?? plain);
}

/**
 * Return the text that reads one user's events, `:user_id`, from a table by the names of its columns, or the shop's own text.
 *
 * @param {Record<string, any>} source A block of `[[sources]]`.
 * @param {string} [purchase] The shop's name of a purchase, which a source with conditions on purchases need not give.
 * @returns {string}
 * @throws {SettingsError} The block is not as docs/SHOP.md has it.
 */
export function oneUserSql(source, purchase = 'purchase') {
  if ('since' in source || 'one_user' in source) return textOf(source, 'one_user');
  const block = withEvent(source, purchase);
  const missing = ['table', 'user', 'item', 'timestamp'].filter((key) => !(key in block));
  const kinds = KINDS.filter((key) => key in block);
  if (missing.length > 0 || kinds.length !== 1) {
    throw wrong(`name \`table\`, \`user\`, \`item\`, \`timestamp\` and one of ${KINDS.map((key) => `\`${key}\``).join(', ')}`, Object.keys(block).join(', ') || 'nothing');
  }
  for (const key of NAMES.filter((name) => name in block)) {
    if (partsOf(block[key]) === null) throw wrong(`have a name of a table or a column as \`${key}\`, where need be in the quotes of SQL`, shown(block[key]));
  }
  for (const key of TEXTS.filter((name) => name in block)) textOf(block, key);
  const name = DEFAULT_TABLES.has(block.table) ? String : quotedName;
  const event = 'event_name' in block ? `'${block.event_name.replaceAll("'", "''")}'` : name(block.rating ?? block.event);
  const rowId = 'row_id' in block ? name(block.row_id) : '0';
  const kind = 'rating' in block ? 'rating' : 'event';
  const quantity = 'quantity' in block ? `, ${expression(block.quantity)} AS quantity` : '';
  const conditions = [
    ...('rating' in block ? [`${name(block.rating)} IS NOT NULL`] : []),
    ...[block.where, block.purchase_when].filter(Boolean).map((condition) => `(\n${condition}\n)`), // on lines of their own, for they may end with a comment
    ...('returned_when' in block ? [`CASE WHEN (\n${block.returned_when}\n) THEN 0 ELSE 1 END = 1`] : []), // null is no return
  ];
  return (
    `SELECT ${name(block.user)} AS user_id, ${name(block.item)} AS item_id, ${event} AS ${kind}, ${name(block.timestamp)} AS timestamp, ${rowId} AS row_id${quantity} ` +
    `FROM ${name(block.table)} WHERE ${[`${name(block.user)} = :user_id`, ...conditions].join(' AND ')}`
  );
}

/**
 * Return the sources that may hold purchases or carts, beside `Interactions` as it is.
 *
 * @param {{shop?: any, sources?: unknown}} toml The content of `recsys.toml`.
 * @param {'mysql' | 'sqlite'} dialect
 * @param {(source: any) => boolean} isPlain Whether a source is `Interactions` without conditions and quantities.
 * @returns {Source[]}
 */
export function sourcesOf({ shop, sources = [] }, dialect, isPlain) {
  const purchase = shop?.purchase_events?.[0] ?? 'purchase';
  const blocks = /** @type {any[]} */ (Array.isArray(sources) ? sources : [sources]).map((source) => ({ source, sql: oneUserSql(Object(source), purchase) }));
  return blocks
    .filter(({ source, sql }) => !isPlain(source) && !/\bAS\s+rating\b/i.test(sql))
    .map(({ source, sql }) => ({ name: source.table ?? 'SQL', sql: bound(sql, dialect), hasQuantities: /\bAS\s+quantity\b/i.test(sql) }));
}

/** Return a text without comments and texts in quotes, in which names may be looked for. */
export function bare(sql) {
  return String(sql).replace(new RegExp(String.raw`'(?:[^']|'')*'|--[^\n]*|${COMMENT}`, 'g'), ' ');
}

/** Return a text with a value of Sequelize for `:user_id`. What is in quotes or comments is left alone. */
function bound(sql, dialect) {
  const pieces = new RegExp(String.raw`(${OPAQUE[dialect]})|(?<![:\w]):user_id\b`, 'g');
  const escaped = sql.trim().replace(/[;\s]+$/, '').replace(/\B\$(?=[\w$])/g, '$$$$'); // else Sequelize takes them for values of its own
  return escaped.replace(pieces, (piece, opaque) => opaque ?? '$userId');
}

function withEvent(source, purchase) {
  if (!CONDITIONS.some((key) => key in source)) return source;
  if ('event' in source || 'rating' in source) {
    throw wrong('hold `purchase_when`, `returned_when` only where every row is one event, as by `event_name`; `where` leaves out rows', Object.keys(source).join(', '));
  }
  return { event_name: purchase, ...source };
}

function textOf(source, key) {
  const text = source[key];
  if (typeof text === 'string' && text.trim() !== '') return text;
  throw wrong(`hold text as \`${key}\``, shown(text));
}

/** Return a column by its name, or an expression as it is. */
function expression(text) {
  return partsOf(text) !== null && !NO_COLUMNS.has(text.toLowerCase()) ? quotedName(text) : `(\n${text}\n)`; // on lines of its own, for it may end with a comment
}

function quotedName(name) {
  return /** @type {string[]} */ (partsOf(name)).map((part) => `\`${part.replaceAll('`', '``')}\``).join('.'); // both databases know this quote
}

function wrong(expected, received) {
  return new SettingsError(`[[sources]] of recsys.toml should ${expected}. Received: ${received}.`);
}

function shown(value) {
  return typeof value === 'string' ? value.slice(0, 60) || 'empty text' : kindOf(value);
}
