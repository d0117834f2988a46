/**
 * One event of a visitor: `POST /api/recommendations/track` with
 * `{interactionType, productId?, productHandle?, eventId?, sessionId?, metadata?, recommendationId?, position?, visitor?}`.
 *
 * `{"success": false, "logged_locally": true}` means that the event is not stored yet: the browser keeps it and sends it again.
 */
import { NextResponse, type NextRequest } from 'next/server';
import { ask } from '@/lib/service';
import { guestCookie, newGuest, noGuestCookie, ownerOf, visitorOf, type Visitor } from '@/lib/session';

const MOST_BYTES = 16_384;
const JSON_TYPE = /^application\/json\b/i; // no other site can send it without being asked first
const KEPT = { success: false, logged_locally: true };

export async function POST(request: NextRequest): Promise<Response> {
  if (!JSON_TYPE.test(request.headers.get('content-type') ?? '')) return refused(415, 'The body should be application/json.');
  const text = await textOf(request);
  if (text === null) return refused(413, `The body should have at most ${MOST_BYTES} bytes.`);
  const event = parsed(text);
  if (event === null) return refused(400, 'The body should be one JSON object.');
  const visitor = visitorOf(request.cookies);
  const owner = ownerOf(visitor, event.visitor);
  if (owner === undefined) return NextResponse.json(KEPT); // it waits until its owner is here again
  const user = owner ?? newGuest(event.sessionId);
  const [answer, hasJoined] = await Promise.all([ask('/track', { body: bodyOf(event, user) }), join(visitor)]);
  const response = answerOf(answer);
  if (user.startsWith('guest_')) response.cookies.set(guestCookie(user, isSecure(request)));
  else if (hasJoined) response.cookies.set(noGuestCookie(isSecure(request)));
  return response;
}

/** Give what a guest did to the customer who has signed in here; returns whether that is done. The next event tries again. */
async function join({ customer, guest }: Visitor): Promise<boolean> {
  if (customer === null || guest === null) return false;
  const { kind } = await ask('/track/join', { body: { guest_id: guest, user_id: customer } });
  return kind === 'answer';
}

function answerOf(answer: Awaited<ReturnType<typeof ask>>): NextResponse {
  if (answer.kind === 'answer') return NextResponse.json({ success: true, interactionId: answer.document.interaction_id });
  return answer.kind === 'away' ? NextResponse.json(KEPT) : refused(answer.status, answer.message);
}

function bodyOf(event: Record<string, any>, user: string): object {
  const { interactionType, productId, productHandle, sessionId, eventId, recommendationId, position, metadata } = event;
  const named = { product_id: productId, product_handle: productHandle, session_id: sessionId, event_id: eventId };
  return { user_id: user, interaction_type: interactionType, ...named, recommendation_id: recommendationId, position, metadata };
}

function refused(status: number, message: string): NextResponse {
  return NextResponse.json({ success: false, logged_locally: false, error: { message } }, { status });
}

function isSecure({ headers, nextUrl }: NextRequest): boolean {
  return (headers.get('x-forwarded-proto') ?? nextUrl.protocol).startsWith('https');
}

/** Return the body; null if it is too long, of which no more is read. */
async function textOf({ body }: NextRequest): Promise<string | null> {
  const parts: Uint8Array[] = [];
  let nBytes = 0;
  for await (const part of (body ?? []) as AsyncIterable<Uint8Array>) {
    nBytes += part.length;
    if (nBytes > MOST_BYTES) return null;
    parts.push(part);
  }
  return Buffer.concat(parts).toString('utf8');
}

function parsed(text: string): Record<string, any> | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : null;
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}
