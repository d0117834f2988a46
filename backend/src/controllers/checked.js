/** The schemas of requests, and the check against them. */
import { z } from 'zod';

import { HttpError, shown } from '../middlewares/errors.js';

z.config({ jitless: true }); // without it, zod generates code and evaluates it

const DEVICES = ['desktop', 'mobile', 'tablet'];
const SORTS = /** @type {const} */ (['popular', 'new']);
const ACTIONS = ['view', 'cart', 'uncart', 'purchase', 'impression', 'click'];
const MOST_POSITION = 10_000;
/** @type {Set<PropertyKey>} */
const SECRET = new Set(['password']); // never repeated in a message
const LATEST_S = 9_999_999_999; // the year 2286; more is milliseconds by mistake

const matching = (pattern, error) => z.string({ error }).regex(pattern, { error });
const textOf = (what, least, most) => z.string({ error: what }).min(least, { error: what }).max(most, { error: what });
const idText = 'a whole number from 0 to 9007199254740991';
const flag = z.enum(['true', 'false'], { error: 'true or false' }).transform((text) => text === 'true');
const writtenId = matching(/^(?:0|[1-9]\d{0,15})$/, idText).transform(Number);
const wholeId = z.number().int({ error: idText }).min(0, { error: idText });
const id = z.union([z.number(), writtenId], { error: idText }).pipe(wholeId);
const limit = matching(/^(?:[1-9]\d?|100)$/, 'a whole number from 1 to 100').transform(Number);
const device = z.enum(DEVICES, { error: `one of ${DEVICES.join(', ')}` });

const basketText = '1 to 50 ids of products with commas between them, such as 1,2';
const basket = matching(/^\d{1,16}(?:,\d{1,16}){0,49}$/, basketText)
  .transform((text) => text.split(','))
  .pipe(z.array(writtenId.pipe(wholeId), { error: basketText }));

const answerIdText = 'the `recommendation_id` of an answer, 1 to 128 printable characters';
const answerId = matching(/^[!-~]{1,128}$/, answerIdText);
const visitId = matching(/^[!-~]{1,128}$/, '1 to 128 printable characters, random for each visit');
const positionText = `a whole number from 1 to ${MOST_POSITION}`;
const position = z.number({ error: positionText }).int({ error: positionText }).min(1, { error: positionText }).max(MOST_POSITION, { error: positionText });
const shownText = '1 to 100 objects {productId, position}';

const timestampText = 'whole seconds since 1970, or a date and time with its zone, such as 2026-11-21T09:30:00Z';
const timestamp = z.union(
  [
    z.number().int().min(0).max(LATEST_S).transform((seconds) => new Date(seconds * 1000)),
    z.iso.datetime({ offset: true }).transform((text) => new Date(text)),
  ],
  { error: timestampText },
);

/** The parameters of each route; others are refused. */
export const LISTING = z.strictObject({ limit: limit.default(10), device: device.optional() });
export const LIMIT = z.strictObject({ limit: limit.default(10) });
export const LISTING_OF_ANYBODY = z.strictObject({ limit: limit.default(10), userId: id.optional() });
export const CUSTOMER = z.strictObject({ userId: id });
export const BROWSING = z.strictObject({
  category: textOf('a text of 1 to 50 characters', 1, 50).optional(),
  sort: z.enum(SORTS, { error: `one of ${SORTS.join(', ')}` }).default('popular'),
  page: limit.default(1), // the same range, because the database reads all rows before a page
  limit: limit.default(10),
});
export const PRODUCT = z.strictObject({ productId: id });
export const BASKET = LISTING.extend({ items: basket, complementary: flag.default(false) });
export const NOTHING = z.strictObject({});
export const LOGIN = z.strictObject({
  email: textOf('an address of 1 to 255 characters', 1, 255),
  password: textOf('a text of 1 to 256 characters', 1, 256),
});
export const INTERACTION = z
  .strictObject({
    productId: id.optional(),
    actionCode: z.enum(ACTIONS, { error: `one of ${ACTIONS.join(', ')}` }),
    device: device.nullish(),
    eventId: matching(/^[\w.:-]{8,128}$/, '8 to 128 letters, digits or . _ : -').optional(),
    timestamp: timestamp.optional(),
    userId: id.optional(),
    recommendation_id: answerId.optional(),
    position: position.optional(),
    session_id: visitId.optional(),
    shown: z.array(z.object({ productId: id, position }, { error: shownText }), { error: shownText }).min(1, { error: shownText }).max(100, { error: shownText }).optional(),
  })
  .superRefine((sent, context) => {
    const refuse = (field, message) => context.addIssue({ code: 'custom', path: [field], message });
    if (sent.shown !== undefined && sent.actionCode !== 'impression') refuse('shown', 'given with `actionCode` impression alone');
    else if (sent.productId === undefined && sent.shown === undefined) refuse('productId', idText);
    else if (sent.productId !== undefined && sent.shown !== undefined) refuse('productId', 'left out with `shown`');
    else if (['impression', 'click'].includes(sent.actionCode) && sent.recommendation_id === undefined) refuse('recommendation_id', answerIdText);
  });

/**
 * Check a part of a request against a schema.
 *
 * @template {z.ZodObject} Schema
 * @param {Schema} schema
 * @param {any} input
 * @returns {z.infer<Schema>} The values in the schema's types.
 * @throws {HttpError} 400, with the expected and the received value.
 */
export function checked(schema, input) {
  const { success, data, error } = schema.safeParse(isRecord(input) ? { ...input } : input);
  if (success) return data;
  const [issue] = error.issues;
  const path = issue.code === 'unrecognized_keys' ? issue.keys.slice(0, 1) : issue.path;
  const [field] = path;
  if (field === undefined) throw new HttpError(400, `The body should be a JSON object. Received: ${shown(input)}.`);
  const name = shown(nameOf(path));
  if (issue.code === 'unrecognized_keys') {
    const known = Object.keys(schema.shape).map((key) => `\`${key}\``);
    const expected = known.length > 0 ? `nothing but ${known.join(', ')}` : 'no parameters';
    throw new HttpError(400, `There should be ${expected}. Received: \`${name}\`.`, { field: name });
  }
  const value = path.reduce((whole, key) => whole?.[key], input);
  const received = value === undefined ? 'nothing' : SECRET.has(field) ? 'something else' : shown(value);
  throw new HttpError(400, `\`${name}\` should be ${issue.message}. Received: ${received}.`, { field: name });
}

/** Return a place in the body as JavaScript writes it, such as shown[0].position. @param {PropertyKey[]} path */
function nameOf(path) {
  return path.map((key, n) => (typeof key === 'number' ? `[${key}]` : `${n > 0 ? '.' : ''}${String(key)}`)).join('');
}

function isRecord(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
