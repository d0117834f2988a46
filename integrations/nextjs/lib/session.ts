/**
 * Who asks. It is read on the server from cookies alone: nothing in a query or a body can name somebody.
 *
 * A customer has the shop's session cookie, a signed token. `SESSION_COOKIE` names the cookie, by default that of Medusa's storefronts.
 * Everybody else is a guest, with a random id in a cookie that no script of a page can read.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';

const MEDUSA_COOKIE = '_medusa_jwt';
const GUEST_COOKIE = 'recsys_guest_id';
const GUEST_S = 30 * 86_400;
const GUEST = /^guest_[0-9a-f]{32}$/; // so that no guest can take a customer's id
const GUEST_BYTES = 16;
const LEAST_SESSION = 32; // characters: whoever guesses it would be the same guest
const PART = /^[\w-]+$/;
const MOST_TOKEN = 4096; // characters
const SKEW_S = 60; // how far the clock of another machine that signs tokens may be ahead
const DAY_S = 86_400;
const GUEST_TAG = 'guest';
const TAG_DIGITS = 16;

/** A cookie store: that of `next/headers`, or of a request. */
interface Cookies {
  get(name: string): { value: string } | undefined;
}

export interface Visitor {
  /** The id of the customer who has signed in. */
  customer: string | null;
  /** The id of the guest who used this browser; it may stand beside a customer. */
  guest: string | null;
}

type Claims = Record<string, unknown>;

export function visitorOf(cookies: Cookies): Visitor {
  const token = cookies.get(process.env.SESSION_COOKIE || MEDUSA_COOKIE)?.value;
  const guest = cookies.get(GUEST_COOKIE)?.value ?? '';
  return { customer: token ? customerOf(token, Date.now() / 1000) : null, guest: GUEST.test(guest) ? guest : null };
}

/**
 * Return the id of a new guest. Events of one visit get the same one, also those that are sent before the answer with the cookie is here.
 *
 * @param session The random id of the visit, which only this browser knows.
 */
export function newGuest(session: unknown): string {
  const isKnown = typeof session === 'string' && session.length >= LEAST_SESSION;
  const id = isKnown ? createHmac('sha256', process.env.JWT_SECRET ?? '').update(`guest ${session}`).digest() : randomBytes(GUEST_BYTES);
  return `guest_${id.toString('hex', 0, GUEST_BYTES)}`;
}

/** Return the cookie that keeps a guest's id for 30 days from now. */
export function guestCookie(id: string, isSecure: boolean) {
  return { name: GUEST_COOKIE, value: id, httpOnly: true, sameSite: 'lax', secure: isSecure, path: '/', maxAge: GUEST_S } as const;
}

/** Return the cookie that ends a guest's: the customer has what the guest did. */
export function noGuestCookie(isSecure: boolean) {
  return { ...guestCookie('', isSecure), maxAge: 0 };
}

/**
 * Return a name for the visitor that says nothing about them, for events that wait in the browser: an event of one customer must not be
 * counted for the next one who signs in there.
 */
export function tagOf({ customer }: Visitor): string {
  if (customer === null) return GUEST_TAG;
  return createHmac('sha256', process.env.JWT_SECRET ?? '').update(`visitor ${customer}`).digest('hex').slice(0, TAG_DIGITS);
}

/**
 * Return the id to which an event with a tag belongs: null for a guest without an id, undefined for somebody who is not here. What a guest did
 * is the customer's who has signed in since.
 */
export function ownerOf(visitor: Visitor, tag: unknown): string | null | undefined {
  if (tag === undefined || tag === GUEST_TAG || tag === tagOf(visitor)) return visitor.customer ?? visitor.guest;
  return undefined;
}

/**
 * Return the customer that a token names, or null. The rules are those of the service: HS256 whatever the header says, signed with
 * `JWT_SECRET`, and good at this moment.
 */
function customerOf(token: string, now: number): string | null {
  const secret = process.env.JWT_SECRET;
  const parts = token.split('.');
  if (!secret || parts.length !== 3 || token.length > MOST_TOKEN || !parts.every((part) => PART.test(part))) return null;
  const [header, payload, signature] = parts as [string, string, string];
  const expected = createHmac('sha256', secret).update(`${header}.${payload}`).digest();
  const given = Buffer.from(signature, 'base64url');
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) return null;
  const head = claimsIn(header);
  const claims = claimsIn(payload);
  if (head?.alg !== 'HS256' || 'crit' in head || claims === null || !isGoodAt(claims, now)) return null;
  return subjectOf(claims);
}

/** Medusa's tokens name an actor, who may also be an administrator; those of others a subject. */
function subjectOf(claims: Claims): string | null {
  const subject = 'actor_type' in claims ? (claims.actor_type === 'customer' ? claims.actor_id : null) : claims.sub;
  const text = Number.isSafeInteger(subject) ? String(subject) : subject;
  return typeof text === 'string' && text !== '' && !GUEST.test(text) ? text : null;
}

function isGoodAt({ iat, nbf = 0, exp = Number.MAX_SAFE_INTEGER }: Claims, now: number): boolean {
  if (![iat, nbf, exp].every((time) => Number.isFinite(time))) return false;
  const longest = Number(process.env.JWT_TTL_S) || DAY_S;
  const latest = now + SKEW_S;
  return Number(iat) <= latest && Number(nbf) <= latest && now < Number(exp) && now < Number(iat) + longest;
}

function claimsIn(part: string): Claims | null {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, 'base64url').toString('utf8'));
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Claims) : null;
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}
